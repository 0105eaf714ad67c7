//! `snowbird dashboard`: opens the page's door, says where it is, and stays until it is interrupted.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::told::{Told, print, progress};
use crate::control::Here;
use crate::dashboard::Dashboard;

pub(super) const DASHBOARD: &str = "Examples:
  snowbird dashboard --open
  snowbird dashboard --listen 127.0.0.1:7077
  ssh -L 7077:127.0.0.1:7077 desk            to look at it from another machine

The address that is printed ends in a word that is new each time: whoever has it can do all that the page can, which is what this
user can do with agents. Without it there is nothing to be seen, for other users of this machine either. There is no TLS: reach it from
another machine by ssh, or behind something that brings TLS and keeps `Host` (with --name NAME).
Nothing is kept: it may be ended at any time, and agents go on.";

#[derive(Debug, Args)]
pub(super) struct DashboardArgs {
    /// Where browsers connect; port 0: any that is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Listen at an address that other machines can reach, without TLS.
    #[arg(long)]
    beyond_this_machine: bool,
    /// A name by which browsers may call it, beside addresses and localhost; may be repeated.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Open it in this user's browser.
    #[arg(long)]
    open: bool,
}

pub(super) fn run(here: Here, args: &DashboardArgs, json: bool) -> Result<()> {
    if !args.listen.ip().is_loopback() && !args.beyond_this_machine {
        return Err(Told::new(format!("{} can be reached from other machines", args.listen))
            .hint("use `ssh -L` and a loopback address, or say --beyond-this-machine: what the page shows and takes then goes unencrypted")
            .into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let dashboard = Dashboard::open(here, args.listen, args.name.clone()).await?;
        if let Some(advice) = dashboard.advice {
            progress(json, &json!({ "phase": format!("screens are not shown in the page: {advice}") }));
        }
        let told = json!({ "url": dashboard.url, "listen": dashboard.at });
        print(json, &told, || dashboard.url.clone())?;
        if args.open {
            open(&dashboard.url)?;
        }
        tokio::select! {
            ended = dashboard.run() => ended,
            pressed = tokio::signal::ctrl_c() => pressed.context("waiting for the interrupt"),
        }
    })
}

/// Has the desktop open an address.
fn open(url: &str) -> Result<()> {
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = command.spawn();
    started.map(drop).map_err(|error| {
        Told::new(format!("no browser could be opened: {error}"))
            .hint("open the printed address yourself")
            .into()
    })
}
