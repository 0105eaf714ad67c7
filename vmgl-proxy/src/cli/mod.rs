//! The command line: a file for each command, with its words and what is done for them.

mod secret;
mod serve;
mod tell;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Viewers stay connected while the VNC server behind the proxy changes.
///
/// ADDR is tcp:HOST:PORT or unix:PATH.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  vmgl-proxy serve --upstream unix:/run/agent.vnc --listen tcp:127.0.0.1:5900 --ctl /run/proxy.ctl
  vmgl-proxy ctl /run/proxy.ctl prepare tcp:127.0.0.1:5942
  vmgl-proxy ctl /run/proxy.ctl rehome"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serve viewers
    Serve(serve::Arguments),
    /// Ask or tell a proxy that serves
    Ctl(tell::Arguments),
}

impl Arguments {
    /// Does what was asked for.
    pub(crate) async fn run(self) -> Result<()> {
        match self.what {
            What::Serve(arguments) => serve::run(arguments).await,
            What::Ctl(arguments) => tell::run(arguments).await,
        }
    }
}
