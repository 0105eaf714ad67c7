//! `sync` of a disk never seen, beside iperf3 and a bare `ssh`.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::process;
use crate::sites::PORT;
use crate::wan::{self, Iperf, show_rate};

/// Measures.
pub(super) fn measure(bench: &Bench, image: &Path, arguments: &Arguments) -> Result<()> {
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

        let began = Instant::now();
        let mut cat = bench.sites.a.inside("ssh");
        cat.arg("-F").arg(&bench.sites.a.ssh_config).args(["-p", PORT]);
        cat.arg(format!("root@{}", bench.sites.b.address)).arg("cat >/dev/null");
        let status = cat.stdin(File::open(image)?).stdout(Stdio::null()).status()?;
        if !status.success() {
            bail!("{}: {status}", process::line(&cat));
        }
        ssh.push(size * 8.0 / began.elapsed().as_secs_f64());

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
    for (name, rate) in [("wandisk sync", ours), ("ssh cat", ssh), ("iperf3", iperf)] {
        println!("{name:<32}{:>16}{:>12.3}", show_rate(rate), rate / iperf);
    }
    println!("wandisk sync / ssh cat: {:.3}; bytes on the wire a byte of the disk: {wire:.3}", ours / ssh);
    Ok(())
}
