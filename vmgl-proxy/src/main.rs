//! The program `vmgl-proxy`.

#![forbid(unsafe_code)]

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use vmgl_proxy::ctl::{self, Command};
use vmgl_proxy::display::Display;
use vmgl_proxy::link::Means;
use vmgl_proxy::tap::Tap;
use vmgl_proxy::{Address, Hub, viewer};
use vmgl_rfb::{Framebuffer, Security};

/// Most viewers at once.
const VIEWERS: usize = 64;

/// Viewers stay connected while the VNC server behind the proxy changes.
///
/// ADDR is tcp:HOST:PORT or unix:PATH.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  vmgl-proxy serve --upstream unix:/run/agent.vnc --listen tcp:127.0.0.1:5900 --ctl /run/proxy.ctl
  vmgl-proxy ctl /run/proxy.ctl prepare tcp:127.0.0.1:5942
  vmgl-proxy ctl /run/proxy.ctl rehome"
)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serve viewers
    Serve {
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
    },
    /// Ask or tell a proxy that serves
    Ctl {
        /// Its socket
        path: PathBuf,
        #[command(subcommand)]
        what: Tell,
    },
}

#[derive(Subcommand)]
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
    /// Show the prepared server, or this one, or the present one by a new connection
    Rehome {
        /// The other server
        to: Option<Address>,
    },
    /// Stay with the present server
    Cancel,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Args::parse().what {
        What::Ctl { path, what } => tell(&path, what).await,
        What::Serve { upstream, listen, ctl, trace, view_only, password_file, upstream_password_file } => {
            let means = Means {
                display: Display::new(Framebuffer::new(1024, 768)?),
                tap: Tap::new(trace.as_deref()).context("the trace's file")?,
                password: upstream_password_file.as_deref().map(password).transpose()?,
            };
            let known = password_file.as_deref().map(password).transpose()?;
            serve(upstream, listen, ctl, view_only, known, means).await
        }
    }
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
async fn tell(path: &Path, what: Tell) -> Result<()> {
    let command = match what {
        Tell::Status => Command::Status {},
        Tell::Viewers => Command::Viewers {},
        Tell::Prepare { to } => Command::Prepare { to: to.to_string() },
        Tell::Rehome { to } => Command::Rehome { to: to.map(|to| to.to_string()) },
        Tell::Cancel => Command::Cancel {},
    };
    println!("{:#}", ctl::ask(path, &command).await?);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "who starts it has to learn the port that was given")]
async fn serve(
    upstream: Address,
    listen: Address,
    ctl: Option<PathBuf>,
    view_only: bool,
    known: Option<Vec<u8>>,
    means: Means,
) -> Result<()> {
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

fn security(known: Option<&Vec<u8>>) -> Result<Security> {
    let Some(password) = known else { return Ok(Security::None) };
    let mut challenge = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut challenge)?;
    Ok(Security::VncAuth { password: password.clone(), challenge })
}

fn password(path: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read(path).with_context(|| format!("the password in {}", path.display()))?;
    Ok(text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}
