//! `vmgl-proxy ctl`: a question to a proxy that serves, and its answer as JSON.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use vmgl_proxy::Address;
use vmgl_proxy::ctl::{self, Command};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Its socket
    path: PathBuf,
    #[command(subcommand)]
    what: Tell,
}

#[derive(Debug, Subcommand)]
enum Tell {
    /// How it stands, with the sensors' readings
    Status,
    /// Who looks
    Viewers,
    /// Connect to another server and load its picture, while the present one is shown
    Prepare {
        /// The other server
        to: Address,
    },
    /// Keep input back until the next rehome is done, or a cancel: the present server stands still and forgets what it hears
    Hold,
    /// Show the prepared server, or this one, or the present one by a new connection
    Rehome {
        /// The other server
        to: Option<Address>,
    },
    /// Stay with the present server
    Cancel,
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) async fn run(Arguments { path, what }: Arguments) -> Result<()> {
    let command = match what {
        Tell::Status => Command::Status {},
        Tell::Viewers => Command::Viewers {},
        Tell::Prepare { to } => Command::Prepare { to: to.to_string() },
        Tell::Hold => Command::Hold {},
        Tell::Rehome { to } => Command::Rehome { to: to.map(|to| to.to_string()) },
        Tell::Cancel => Command::Cancel {},
    };
    println!("{:#}", ctl::ask(&path, &command).await?);
    Ok(())
}
