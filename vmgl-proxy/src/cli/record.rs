//! `vmgl-proxy record`: one viewer works, and what it does is written down.

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use vmgl_proxy::Address;
use vmgl_proxy::display::Display;
use vmgl_proxy::link::Means;
use vmgl_proxy::redux::record::{Recorder, SIDE};
use vmgl_proxy::redux::session::SIDE_MAX;
use vmgl_proxy::tap::Tap;
use vmgl_rfb::Framebuffer;

use super::secret::{password, security};

#[derive(Debug, Args)]
#[command(after_help = "The recording begins when the viewer connects and ends when it leaves, or at an
interrupt. The file holds every key that was pressed, passwords too: it is made
for its owner's eyes only.

Example:
  vmgl-proxy record --upstream unix:/run/agent.vnc \\
      --listen tcp:127.0.0.1:5900 --out work.session")]
pub(super) struct Arguments {
    /// The VNC server
    #[arg(long, value_name = "ADDR")]
    upstream: Address,
    /// Where the viewer connects; its address is printed once the server's picture is there
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    /// The session's file, which must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Side of the square around the pointer that is kept before each button, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = SIDE, value_parser = clap::value_parser!(u16).range(1..=i64::from(SIDE_MAX)))]
    snapshot: u16,
    /// Record what the sensors see, too
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The password the viewer has to know (VNC authentication, 8 bytes): the file's first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The VNC server's password: the file's first line
    #[arg(long, value_name = "FILE")]
    upstream_password_file: Option<PathBuf>,
    /// Say what was recorded as JSON
    #[arg(long)]
    json: bool,
}

#[allow(clippy::print_stdout, reason = "who starts it has to learn the port that was given")]
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { upstream, listen, out, snapshot, trace, password_file, upstream_password_file, json } =
        arguments;
    let means = Means {
        display: Display::new(Framebuffer::new(1024, 768)?),
        tap: Tap::new(trace.as_deref()).context("the trace's file")?,
        password: upstream_password_file.as_deref().map(password).transpose()?,
        pull: false,
    };
    let known = password_file.as_deref().map(password).transpose()?;
    let recorder = Recorder::connect(upstream, means, snapshot).await?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&out);
    let file = BufWriter::new(file.with_context(|| format!("making {}", out.display()))?);
    let listener = listen.listen().await.with_context(|| format!("listening at {listen}"))?;
    println!("listening {}", listener.address()?);
    let mut ended = signal(SignalKind::terminate()).context("waiting for the signal to end")?;
    let stop = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = ended.recv() => {}
        }
    };
    let security = || security(known.as_ref());
    let done = recorder.record(&listener, security, file, stop).await?;
    if json {
        println!("{}", serde_json::to_string(&done)?);
    } else {
        println!("{} inputs, {} of them buttons, in {:.1} s", done.inputs, done.buttons, done.seconds);
    }
    Ok(())
}
