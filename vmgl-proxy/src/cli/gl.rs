//! `vmgl-proxy gl`: the agent's OpenGL. The watcher runs in the agent, `stat` asks a proxy; the renderer is started by it.

use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use vmgl_proxy::Address;
use vmgl_proxy::ctl::{self, Command};
use vmgl_proxy::gl::watch;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vmgl-proxy gl watch --to unix:/run/vmgl/gl.sock       # in the agent, beside its X server
  vmgl-proxy gl stat /run/proxy.ctl                     # at the desk")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// In the agent: tell the proxy where windows with OpenGL pictures are seen, until the X server ends
    Watch {
        /// The X server; $DISPLAY if it is not given
        #[arg(long, value_name = "DISPLAY")]
        display: Option<String>,
        /// What the proxy was given as --gl-listen, as it is reached from here
        #[arg(long, value_name = "ADDR")]
        to: Address,
    },
    /// Programs that draw at a proxy: calls, bytes, waits, pictures a second
    Stat {
        /// The proxy's ctl socket
        path: PathBuf,
    },
    /// Draw for one program: started by the proxy, with its socket as standard input
    #[command(hide = true)]
    Render,
}

impl Arguments {
    /// Draws, if that is what is wanted: before any thread is started, which would be outside the sandbox.
    pub(super) fn render(&self) -> Option<Result<()>> {
        matches!(self.what, What::Render).then(render)
    }
}

fn render() -> Result<()> {
    let proxy = std::io::stdin().as_fd().try_clone_to_owned().context("the proxy's socket")?;
    let parts = vmgl_gl_renderer::sandbox::enter();
    tracing::info!("confined: {parts:?}");
    Ok(vmgl_gl_renderer::run(proxy)?)
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::Watch { display, to } => {
            let watching = tokio::task::spawn_blocking(move || watch::run(display.as_deref(), &to));
            Ok(watching.await.context("the watcher")??)
        }
        What::Stat { path } => {
            println!("{:#}", ctl::ask(&path, &Command::Gl {}).await?);
            Ok(())
        }
        What::Render => render(),
    }
}
