//! `sync` of a disk never seen that has a tree of files as users have them, beside `rsync -z` of the same image.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::process;
use crate::sites::PORT;
use crate::wan::show_time;

/// Who brings the image there.
const PEERS: [(&str, Option<&str>); 3] = [
    ("wandisk sync", None),
    // What rsync takes by itself where both ends know it; and what it takes of an older one.
    ("rsync -z", Some("--compress")),
    ("rsync -z, zlib", Some("--compress-choice=zlib")),
];

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    let copy = bench.image.with_file_name("rsync.img");
    let remote = format!("ssh -F {} -p {PORT}", a.ssh_config.display());
    let (mut seconds, mut bytes): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    let mut ways = serde_json::Value::Null;
    for run in 1..=arguments.runs {
        for (at, (name, compress)) in PEERS.into_iter().enumerate() {
            let (before, began) = (bench.sites.moved()?, Instant::now());
            if let Some(compress) = compress {
                let mut rsync = a.inside("rsync");
                rsync.args([compress, "--sparse", "-e", &remote]).arg(&bench.image);
                rsync.arg(format!("root@{}:{}", b.address, copy.display()));
                process::output(&mut rsync)?;
            } else {
                let report = a.ask(&["sync", "d", "--site", "b"])?;
                if report["missing"] != 0 {
                    bail!("the sync is not whole: {report}");
                }
            }
            seconds[at].push(began.elapsed().as_secs_f64());
            bytes[at].push((bench.sites.moved()? - before) as f64);
            println!(
                "run {run}: {name:<20}{:>10.1} s{:>14.0} bytes",
                seconds[at][run - 1],
                bytes[at][run - 1]
            );
            if compress.is_none() {
                ways = a.ask(&["status", "d"])?["fetch"]["ways"].take();
                b.ask(&["rm", "d", "--replica-only"])?;
            } else {
                process::output(Command::new("cmp").arg(&bench.image).arg(&copy)).context("rsync's copy")?;
                std::fs::remove_file(&copy)?;
            }
        }
    }
    let [ours, default, zlib] = bytes.each_mut().map(|all| median(all));
    println!("\n{:<20}{:>12}{:>16}{:>12}{:>12}", "medians", "time", "on the wire", "of -z", "of zlib");
    for ((name, _), (seconds, bytes)) in PEERS.into_iter().zip(seconds.iter_mut().zip([ours, default, zlib]))
    {
        let took = show_time(Duration::from_secs_f64(median(seconds)));
        println!("{name:<20}{took:>12}{bytes:>16.0}{:>12.3}{:>12.3}", bytes / default, bytes / zlib);
    }
    println!("chosen: went {}, level {}, rate_in {}", ways["went"], ways["level"], ways["rate_in"]);
    Ok(())
}
