//! `sync` of a disk never seen, beside iperf3 and a bare `ssh`.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::sites::PORT;
use crate::wan::{self, Iperf, show_rate};

/// Medians, in bits of payload a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) ours: f64,
    pub(super) ssh: f64,
    pub(super) iperf: f64,
}

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Rates> {
    let (from, to) = (bench.sites.a.side(), bench.sites.b.side());
    let _server = Iperf::serve(&to)?;
    let size = arguments.size as f64;
    let mtu = f64::from(arguments.wan.mtu);
    let (mut ours, mut ssh, mut iperf, mut wire) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 1..=arguments.runs {
        let before = bench.sites.moved()?;
        let began = Instant::now();
        let report = bench.sites.a.ask(&["sync", "d", "--site", "b"])?;
        let took = began.elapsed().as_secs_f64();
        if report["missing"] != 0 {
            bail!("the sync is not whole: {report}");
        }
        ours.push(size * 8.0 / took);
        wire.push((bench.sites.moved()? - before) as f64 / size);
        bench.sites.b.ask(&["rm", "d", "--replica-only"])?;

        ssh.push(size * 8.0 / ssh_cat(bench, arguments)?);

        // Payload, as the others are.
        let packets = wan::tcp([&from, &to], &arguments.wan, 10, false).context("iperf3")?;
        iperf.push(packets * (mtu - wan::TCP_HEADERS) / mtu);
        println!(
            "run {run}: wandisk sync {}, ssh cat {}, iperf3 {}",
            show_rate(ours[run - 1]),
            show_rate(ssh[run - 1]),
            show_rate(iperf[run - 1])
        );
    }
    let [ours, ssh, iperf, wire] = [&mut ours, &mut ssh, &mut iperf, &mut wire].map(|all| median(all));
    println!("\n{:<32}{:>16}{:>12}", "bytes of the disk or payload", "median", "of iperf3");
    for (name, rate) in [
        ("wandisk sync", ours),
        (format!("ssh cat, {} at once", arguments.connections).as_str(), ssh),
        ("iperf3", iperf),
    ] {
        println!("{name:<32}{:>16}{:>12.3}", show_rate(rate), rate / iperf);
    }
    println!("wandisk sync / ssh cat: {:.3}; bytes on the wire a byte of the disk: {wire:.3}", ours / ssh);
    Ok(Rates { ours, ssh, iperf })
}

/// The seconds that it takes to bring the image's bytes by so many `ssh cat` at once, a part of it each.
fn ssh_cat(bench: &Bench, arguments: &Arguments) -> Result<f64> {
    let part = arguments.size.div_ceil(arguments.connections);
    let began = Instant::now();
    let mut running = Vec::new();
    for at in 0..arguments.connections {
        let mut file = File::open(&bench.image)?;
        file.seek(SeekFrom::Start(at * part))?;
        let mut cat = bench.sites.a.inside("bash");
        let ssh = format!(
            "head -c {part} | ssh -F {} -p {PORT} root@{} 'cat >/dev/null'",
            bench.sites.a.ssh_config.display(),
            bench.sites.b.address
        );
        running.push(cat.args(["-o", "pipefail", "-c", &ssh]).stdin(file).stdout(Stdio::null()).spawn()?);
    }
    for mut cat in running {
        let status = cat.wait()?;
        if !status.success() {
            bail!("ssh: {status}");
        }
    }
    Ok(began.elapsed().as_secs_f64())
}
