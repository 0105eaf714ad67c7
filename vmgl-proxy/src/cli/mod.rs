//! The command line: a file for each command, with its words and what is done for them.

mod browsers;
mod gl;
mod install;
mod record;
mod replay;
mod report;
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
  vmgl-proxy serve --upstream unix:/run/agent.vnc --listen tcp:127.0.0.1:5900 --ws tcp:127.0.0.1:6080
      # then open http://127.0.0.1:6080/ in a browser
  vmgl-proxy serve --upstream unix:/run/agent.vnc --listen tcp:127.0.0.1:5900 --gl-listen unix:/run/vmgl/gl.sock
      # OpenGL of the agent's programs is drawn here; in the agent: vmgl-proxy gl watch --to ADDR
  vmgl-proxy ctl /run/proxy.ctl prepare tcp:127.0.0.1:5942
  vmgl-proxy ctl /run/proxy.ctl rehome
  vmgl-proxy record --upstream unix:/run/agent.vnc --listen tcp:127.0.0.1:5900 --out work.session
  vmgl-proxy replay --to tcp:127.0.0.1:5942 work.session --report far"
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
    /// Record what one viewer does
    Record(record::Arguments),
    /// Do what was recorded, and measure the answers
    Replay(replay::Arguments),
    /// Draw reports of replays into one picture
    Report(report::Arguments),
    /// The agent's OpenGL, drawn here
    Gl(gl::Arguments),
}

impl Arguments {
    /// What has to be done in a process of one thread; none if that was not asked for.
    pub(crate) fn alone(&self) -> Option<Result<()>> {
        match &self.what {
            What::Gl(arguments) => arguments.render(),
            _ => None,
        }
    }

    /// Does what was asked for.
    pub(crate) async fn run(self) -> Result<()> {
        match self.what {
            What::Serve(arguments) => serve::run(arguments).await,
            What::Ctl(arguments) => tell::run(arguments).await,
            What::Record(arguments) => record::run(arguments).await,
            What::Replay(arguments) => replay::run(arguments).await,
            What::Report(arguments) => report::run(arguments),
            What::Gl(arguments) => gl::run(arguments).await,
        }
    }
}
