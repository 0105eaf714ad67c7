//! `vmgl-proxy serve`: the hub, the doors viewers come by, and `ctl`, until one of them fails or an interrupt.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use vmgl_proxy::display::Display;
use vmgl_proxy::link::Means;
use vmgl_proxy::tap::Tap;
use vmgl_proxy::{Address, Hub, ctl, viewer};
use vmgl_rfb::Framebuffer;

use super::secret::{password, security};

/// Most viewers at once.
const VIEWERS: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The VNC server
    #[arg(long, value_name = "ADDR")]
    upstream: Address,
    /// Where viewers connect; its address is printed once it is open
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    /// Socket for `vmgl-proxy ctl`
    #[arg(long, value_name = "PATH")]
    ctl: Option<PathBuf>,
    /// Record what the sensors see
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Viewers only look
    #[arg(long)]
    view_only: bool,
    /// The password viewers have to know (VNC authentication, 8 bytes): the file's first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The VNC server's password: the file's first line
    #[arg(long, value_name = "FILE")]
    upstream_password_file: Option<PathBuf>,
}

#[allow(clippy::print_stdout, reason = "who starts it has to learn the port that was given")]
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { upstream, listen, ctl, trace, view_only, password_file, upstream_password_file } =
        arguments;
    let means = Means {
        display: Display::new(Framebuffer::new(1024, 768)?),
        tap: Tap::new(trace.as_deref()).context("the trace's file")?,
        password: upstream_password_file.as_deref().map(password).transpose()?,
        pull: false,
    };
    let known = password_file.as_deref().map(password).transpose()?;
    let listener = listen.listen().await.with_context(|| format!("listening at {listen}"))?;
    let ways = Hub::start(upstream, means.clone());
    println!("listening {}", listener.address()?);
    let answers = async {
        match ctl {
            Some(path) => ctl::serve(&path, ways.clone(), means.clone()).await.context("the ctl socket"),
            None => std::future::pending().await,
        }
    };
    let viewers = async {
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            while tasks.len() >= VIEWERS {
                tasks.join_next().await;
            }
            let (stream, from) = listener.accept().await.context("accepting viewers")?;
            let security = security(known.as_ref())?;
            let (display, said) = (means.display.clone(), ways.said.clone());
            tasks.spawn(async move {
                let name = from.clone();
                if let Err(why) = viewer::run(stream, from, security, view_only, display, said).await {
                    tracing::info!("viewer from {name}: {why}");
                }
            });
            while tasks.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        ended = answers => ended,
        ended = viewers => ended,
        ended = tokio::signal::ctrl_c() => ended.context("waiting for the interrupt"),
    }
}
