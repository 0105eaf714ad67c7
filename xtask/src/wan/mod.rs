//! `cargo xtask wan`: two network namespaces with a long, narrow line between them, on a kernel without
//! netem: real TCP, real SSH, over TUN devices joined in user space.

mod check;
mod frame;
mod line;
mod pump;
mod tunnel;
mod units;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use check::{Iperf, TCP_HEADERS, ping, tcp};
use line::Settings;
pub(crate) use tunnel::{DEVICE, Shape, Side, Tunnel, inside};
pub(crate) use units::{bytes, show_rate, show_time};

/// Two network namespaces with a long, narrow line between them.
///
/// The command runs on this machine and finds the names of the two namespaces in SNOWBIRD_WAN_A and
/// SNOWBIRD_WAN_B, for `ip netns exec`; they are 10.66.0.1 and 10.66.0.2. When it ends, everything it
/// left running in them is ended.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  cargo xtask wan check --rate 100mbit --rtt 66ms
  cargo xtask wan --rtt 100ms -- sh -c 'ip netns exec $SNOWBIRD_WAN_A ping -c 3 10.66.0.2'")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    wan: Wan,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure the line with ping and iperf3; fails unless it is what was asked for.
    Check(check::Arguments),
}

/// What the line is like, each way.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wan {
    /// Bits of IP packets a second, each way: kbit, mbit, gbit.
    #[arg(long, default_value = "100mbit", value_parser = units::rate)]
    pub(crate) rate: u64,
    /// There and back, on an idle line.
    #[arg(long, default_value = "66ms", value_parser = units::time)]
    pub(crate) rtt: Duration,
    /// Up to so much later, a packet, each way; the order is kept.
    #[arg(long, default_value = "0ms", value_parser = units::time)]
    pub(crate) jitter: Duration,
    /// The share of packets that is lost, each way: 0.001 or 0.1%.
    #[arg(long, default_value = "0", value_parser = units::share)]
    pub(crate) loss: f64,
    /// Bytes that may wait to be sent, each way; by default what the rate sends in a round trip, at least 64k.
    #[arg(long, value_parser = units::bytes)]
    pub(crate) queue: Option<u64>,
    /// Of loss and jitter.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The largest packet.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..=9000))]
    pub(crate) mtu: u16,
    /// TCP's congestion control at both sides.
    #[arg(long, default_value = "cubic")]
    pub(crate) congestion: String,
    /// Let one frame stand for many packets of a TCP stream, as a network card does. Cheaper by far, but
    /// they are sent, lost and delivered together. By default from 300 Mbit/s without loss.
    #[arg(long, value_name = "BOOL")]
    pub(crate) offload: Option<bool>,
}

impl Wan {
    /// What the rate sends in a round trip, in bytes.
    pub(crate) fn bandwidth_delay(&self) -> u64 {
        let bits = u128::from(self.rate) * self.rtt.as_micros() / 1_000_000;
        u64::try_from(bits / 8).unwrap_or(u64::MAX)
    }

    /// The tunnel that is asked for.
    pub(crate) fn shape(&self) -> Shape {
        let way = Settings {
            rate: self.rate,
            delay: self.rtt / 2,
            jitter: self.jitter,
            loss: self.loss,
            queue: self.queue.unwrap_or_else(|| self.bandwidth_delay().max(64 << 10)),
        };
        Shape {
            way,
            seed: self.seed,
            mtu: self.mtu,
            offload: self.offload.unwrap_or(self.rate >= 300_000_000 && self.loss == 0.0),
            congestion: self.congestion.clone(),
        }
    }
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.what {
        Some(What::Check(wanted)) => check::main(wanted),
        None => run(arguments),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let tunnel = Tunnel::make(&arguments.wan.shape())?;
    let (program, words) = arguments.command.split_first().context("no command")?;
    let status = Command::new(program)
        .args(words)
        .env("SNOWBIRD_WAN_A", &tunnel.a.namespace)
        .env("SNOWBIRD_WAN_B", &tunnel.b.namespace)
        .env("SNOWBIRD_WAN_ADDRESS_A", tunnel.a.address)
        .env("SNOWBIRD_WAN_ADDRESS_B", tunnel.b.address)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    for (counts, name) in tunnel.close()?.iter().zip(["A to B", "B to A"]) {
        eprintln!(
            "wan: {name}: {} bytes in {} packets; dropped: {} by a full queue, {} by chance",
            counts.bytes, counts.packets, counts.full, counts.lost
        );
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
