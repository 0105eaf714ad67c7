//! `vmgl-proxy serve`: the hub, the doors viewers come by, and `ctl`, until one of them fails or an interrupt.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use vmgl_proxy::display::Display;
use vmgl_proxy::gl::entrance::Entrance;
use vmgl_proxy::gl::renderers::Renderers;
use vmgl_proxy::link::Means;
use vmgl_proxy::reception::Reception;
use vmgl_proxy::tap::Tap;
use vmgl_proxy::{Address, Hub, ctl, web};
use vmgl_rfb::Framebuffer;

use super::browsers::Browsers;
use super::secret::password;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The VNC server
    #[arg(long, value_name = "ADDR")]
    upstream: Address,
    /// Where viewers connect; its address is printed once it is open
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    #[command(flatten)]
    browsers: Browsers,
    /// Socket for `vmgl-proxy ctl`
    #[arg(long, value_name = "PATH")]
    ctl: Option<PathBuf>,
    /// Where the agent's OpenGL programs, and the watcher of their windows, connect: what they draw is drawn here (`gl open` does it later)
    #[arg(long, value_name = "ADDR")]
    gl_listen: Option<Address>,
    /// A command of OpenGL's that takes longer ends its renderer: a shader without an end would hold its program for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    gl_limit: u16,
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
    let Arguments { upstream, listen, browsers, ctl, gl_listen, trace, view_only, .. } = arguments;
    let read = |file: Option<PathBuf>| file.as_deref().map(password).transpose();
    let means = Means {
        display: Display::new(Framebuffer::new(1024, 768)?),
        tap: Tap::new(trace.as_deref()).context("the trace's file")?,
        password: read(arguments.upstream_password_file)?,
        pull: false,
    };
    let known = read(arguments.password_file)?;
    let listener = listen.listen().await.with_context(|| format!("listening at {listen}"))?;
    let front = browsers.open(known.is_some()).await?;
    let limit = Duration::from_secs(arguments.gl_limit.into());
    let gl = Entrance::new(Renderers::new(means.display.clone(), means.tap.clone(), limit));
    if let Some(at) = gl_listen {
        gl.open(&at).await.with_context(|| format!("listening at {at}"))?;
    }
    let ways = Hub::start(upstream, means.clone());
    let reception = Reception::new(means.display.clone(), ways.said.clone(), known, view_only);
    let listening = listener.address()?;
    println!("listening {listening}");
    let doors = ctl::Doors { listening, browse: front.as_ref().map(|front| front.url.clone()), gl: Some(gl) };
    let answers = async {
        match ctl {
            Some(path) => {
                ctl::serve(&path, doors, ways.clone(), means.clone()).await.context("the ctl socket")
            }
            None => std::future::pending().await,
        }
    };
    let pages = async {
        match front {
            Some(front) => {
                println!("browse {}", front.url);
                let (reception, ways, tap) = (reception.clone(), ways.clone(), means.tap.clone());
                let house = web::House { reception, ways, tap, guard: front.guard, shelf: front.shelf };
                web::serve(front.listener, house).await
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = answers => ended,
        never = reception.door(listener) => match never {},
        never = pages => match never {},
        ended = tokio::signal::ctrl_c() => ended.context("waiting for the interrupt"),
    }
}
