//! Measures the line with ping and iperf3 and compares it with what was asked for.

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Side, Tunnel, Wan, show_rate, show_time};
use crate::process;

/// How far the idle line's median round trip may be off.
const RTT_OFF: Duration = Duration::from_millis(1);
/// How far the rate may be off, as a share.
const RATE_OFF: f64 = 0.02;
/// IPv4's header, and TCP's with time stamps.
pub(crate) const TCP_HEADERS: f64 = 52.0;
/// IPv4's header, and UDP's.
const UDP_HEADERS: f64 = 28.0;
/// Up to here UDP is measured and TCP only shown.
const UDP_UP_TO: u64 = 300_000_000;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wan: Wan,
    /// Seconds of iperf3, each way, after as many round trips as TCP needs to begin.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
}

/// Measures; fails if the line is not what was asked for.
pub(super) fn main(arguments: &Arguments) -> Result<ExitCode> {
    for program in ["ping", "iperf3"] {
        process::find(program).with_context(|| format!("{program} is missing: cargo xtask setup"))?;
    }
    let wan = &arguments.wan;
    if wan.loss > 0.0 || !wan.jitter.is_zero() {
        bail!("a line with loss or jitter has no exact rate and round trip to compare with");
    }
    let tunnel = Tunnel::make(&wan.shape())?;
    let mut good = true;
    println!("{:<24}{:>16}{:>16}{:>10}", "", "asked for", "measured", "off");
    let rtt = ping(&tunnel.a, &tunnel.b)?;
    good &= rtt.abs_diff(wan.rtt) <= RTT_OFF;
    let off = show_time(rtt.abs_diff(wan.rtt));
    println!("{:<24}{:>16}{:>16}{off:>10}", "round trip, idle", show_time(wan.rtt), show_time(rtt));
    let _server = Iperf::serve(&tunnel.b)?;
    let sides = [&tunnel.a, &tunnel.b];
    for (name, back) in [("A to B", false), ("B to A", true)] {
        // TCP fills a line up to its own losses; more UDP than fits fills it always, where sending it is
        // not more work than this machine can do.
        let udp = wan.rate <= UDP_UP_TO;
        let tcp = tcp(sides, wan, arguments.seconds, back)?;
        good &= row(&format!("TCP, {name}"), wan, tcp, !udp);
        if udp {
            good &= row(&format!("UDP, {name}"), wan, self::udp(sides, wan, arguments.seconds, back)?, true);
        }
    }
    tunnel.close()?;
    if !good {
        println!(
            "the line is not what was asked for: it may be off by {RTT_OFF:?} and {} %",
            RATE_OFF * 100.0
        );
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The median round trip.
pub(crate) fn ping(from: &Side, to: &Side) -> Result<Duration> {
    let mut ping = from.command("ping");
    let said = process::output(ping.args(["-n", "-c", "15", "-i", "0.1", to.address]))?;
    let mut times: Vec<f64> =
        said.split("time=").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).context("ping told no times")?;
    Ok(Duration::from_secs_f64(median / 1e3))
}

/// An iperf3 server; ended when dropped.
#[derive(Debug)]
pub(crate) struct Iperf(Child);

impl Iperf {
    pub(crate) fn serve(side: &Side) -> Result<Self> {
        let mut command = side.command("iperf3");
        let child = command.args(["-s", "-J"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let server = Self(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        // Asked of the kernel: a connection would be taken for a client.
        while !process::output(side.command("ss").args(["-Hltn", "sport = 5201"]))?.contains("LISTEN") {
            if Instant::now() > deadline {
                bail!("iperf3 does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Iperf {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Prints a rate; whether it is what was asked for, if that is asked.
fn row(name: &str, wan: &Wan, rate: f64, judged: bool) -> bool {
    let asked = wan.rate as f64;
    let off = rate / asked - 1.0;
    let (asked, rate) = (show_rate(asked), show_rate(rate));
    let remark = if judged { "" } else { "  (not judged)" };
    println!("{name:<24}{asked:>16}{rate:>16}{:>8.2} %{remark}", off * 100.0);
    !judged || off.abs() <= RATE_OFF
}

/// Runs iperf3 from A; the bits of payload a second that arrived in the median second.
///
/// Not its sum: that begins and ends by the sender's clock, a queue and a way from the receiver's.
fn iperf(sides: [&Side; 2], wan: &Wan, seconds: u32, back: bool, words: &[String]) -> Result<f64> {
    let begin = (wan.rtt.as_secs_f64() * 40.0).ceil().clamp(1.0, 8.0);
    let [from, to] = sides;
    let mut command: Command = from.command("iperf3");
    command.args(["-J", "-c", to.address, "-t", &seconds.to_string(), "-O", &begin.to_string()]);
    command.args(words).arg(if back { "-R" } else { "--get-server-output" });
    let report: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let receiver = if back { &report } else { &report["server_output_json"] };
    let each = receiver["intervals"].as_array().context("iperf3 told no seconds")?;
    let sums = each.iter().map(|second| &second["sum"]);
    let whole = sums.filter(|sum| sum["omitted"] == false && sum["seconds"].as_f64() > Some(0.9));
    let mut rates: Vec<f64> = whole.filter_map(|sum| sum["bits_per_second"].as_f64()).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().context("iperf3 told no rate")
}

/// Bits of packets a second that TCP brings, after it has begun.
pub(crate) fn tcp(sides: [&Side; 2], wan: &Wan, seconds: u32, back: bool) -> Result<f64> {
    let streams = ["-P".to_owned(), streams(wan).to_string()];
    let payload = iperf(sides, wan, seconds, back, &streams)?;
    let mtu = f64::from(wan.mtu);
    Ok(payload * mtu / (mtu - TCP_HEADERS))
}

/// Bits of packets a second that arrive when there is a tenth more than fits.
fn udp(sides: [&Side; 2], wan: &Wan, seconds: u32, back: bool) -> Result<f64> {
    let mtu = f64::from(wan.mtu);
    let sent = (wan.rate + wan.rate / 10).to_string();
    let piece = (mtu - UDP_HEADERS).to_string();
    let payload = iperf(sides, wan, seconds, back, &["-u", "-b", &sent, "-l", &piece].map(str::to_owned))?;
    Ok(payload * mtu / (mtu - UDP_HEADERS))
}

/// How many streams of TCP fill the line: each has at most some MiB under way, by the kernel's limits.
fn streams(wan: &Wan) -> u64 {
    wan.bandwidth_delay().div_ceil(1 << 20).clamp(1, 16)
}
