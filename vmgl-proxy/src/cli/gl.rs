//! `vmgl-proxy gl`: the agent's OpenGL. `install` and the watcher are for the agent, `stat` and `renew` ask a proxy; the
//! renderer is started by it, what draws in software by a program's library.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use vmgl_proxy::Address;
use vmgl_proxy::ctl::{self, Command};
use vmgl_proxy::gl::{soft, watch};

use super::install;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vmgl-proxy gl install --to tcp:DESK:7300              # in the agent, as root, for all users
  vmgl-proxy gl install --prefix ~/vmgl && . ~/vmgl/share/vmgl/env.sh    # for one shell
  vmgl-proxy gl install --own-libgl --to tcp:DESK:7300  # where libglvnd is missing
  vmgl-proxy gl check                                   # in a session of the agent's: who draws?
  vmgl-proxy gl install --remove
  vmgl-proxy gl watch --to unix:/run/vmgl/gl.sock       # in the agent, beside its X server
  vmgl-proxy gl stat /run/proxy.ctl                     # at the desk
  vmgl-proxy gl renew /run/proxy.ctl                    # at the desk, before its renderers are replaced
  vmgl-proxy gl renew /run/proxy.ctl --to tcp:DESK2:7300  # at the desk: all programs go on at another one
  vmgl-proxy gl open /run/proxy.ctl tcp:127.0.0.1:7300  # at the desk: a proxy that runs draws from now on
  vmgl-proxy gl shut /run/proxy.ctl
  vmgl-proxy gl leave /run/proxy.ctl                    # at the desk, before another one has its address")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// In the agent: put the library in place, so that OpenGL programs draw at the desk, and look whether they do
    Install(install::Arguments),
    /// In the agent: say which OpenGL a program gets, and what to do where it is not VMGL's
    Check(install::Check),
    /// In the agent: tell the proxy where windows with OpenGL pictures are seen, until the X server ends. The library starts one where
    /// none is; one that is started by hand takes its place
    Watch {
        /// The X server; $DISPLAY if it is not given
        #[arg(long, value_name = "DISPLAY")]
        display: Option<String>,
        /// What the proxy was given as --gl-listen, as it is reached from here
        #[arg(long, value_name = "ADDR")]
        to: Address,
        /// Start it as nobody's child: what the library does
        #[arg(long, hide = true)]
        beside: bool,
        /// End where there is one
        #[arg(long, hide = true)]
        first: bool,
    },
    /// Programs that draw at a proxy: calls, bytes, pictures a second, and which commands each has waited for, how often and how
    /// long; whether a compositing manager runs in the agent
    Stat {
        /// The proxy's ctl socket
        path: PathBuf,
    },
    /// Have all programs bring home what only their renderers hold (pictures drawn into textures), and take other renderers. A program
    /// that finds none keeps the one it has, and says so
    Renew {
        /// The proxy's ctl socket
        path: PathBuf,
        /// Those of another desk: what its proxy was given as --gl-listen, as it is reached from the agent. Programs that begin later go
        /// where `gl install --to` said
        #[arg(long, value_name = "ADDR")]
        to: Option<Address>,
    },
    /// Have a proxy that runs listen for programs; says where, which is the place of an open door if there is one
    Open {
        /// The proxy's ctl socket
        path: PathBuf,
        /// As --gl-listen
        at: Address,
    },
    /// Have it listen for them no longer; those that are drawn for go on
    Shut {
        /// The proxy's ctl socket
        path: PathBuf,
    },
    /// Have it listen no longer, and all programs bring home what only their renderers hold and go: another desk will answer at its place
    /// soon. Says how many were told, and how many stay all the same
    Leave {
        /// The proxy's ctl socket
        path: PathBuf,
    },
    /// In the agent: draw for one program in software, into its own windows; started by the program's library, with a socket as
    /// standard input
    #[command(hide = true)]
    Soft {
        /// Be the process that draws, and not the one that starts it
        #[arg(long)]
        stay: bool,
    },
    /// Look which OpenGL a program gets, and say it as JSON: started by `check`
    #[command(hide = true)]
    Probe,
    /// Draw for one program: started by the proxy, with its socket as standard input
    #[command(hide = true)]
    Render,
}

impl Arguments {
    /// Draws or probes, if that is what is wanted: before any thread is started, which would be outside the sandbox.
    pub(super) fn render(&self) -> Option<Result<()>> {
        match self.what {
            What::Render => Some(render()),
            What::Probe => Some(install::probe()),
            _ => None,
        }
    }
}

fn render() -> Result<()> {
    let proxy = std::io::stdin().as_fd().try_clone_to_owned().context("the proxy's socket")?;
    let parts = vmgl_gl_renderer::sandbox::enter();
    tracing::info!("confined: {parts:?}");
    // What a foreign program sends is read by drivers, which nobody here has checked.
    anyhow::ensure!(
        parts.calls,
        "a renderer could start programs and connect to others here, and draws for nobody; run the proxy on a kernel with filters of system calls (CONFIG_SECCOMP_FILTER)"
    );
    Ok(vmgl_gl_renderer::run(proxy, parts.missing())?)
}

/// Starts a process that stays, as nobody's child: the program that wanted it waits for this one only.
fn start_beside(command: &mut std::process::Command) -> Result<()> {
    command
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting what stays beside the program")?;
    Ok(())
}

fn this_program(arguments: &[&str]) -> Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("gl").args(arguments);
    Ok(command)
}

fn soft_beside() -> Result<()> {
    let mut command = this_program(&["soft", "--stay"])?;
    start_beside(command.stdin(Stdio::inherit()).env("LIBGL_ALWAYS_SOFTWARE", "1"))
}

fn watch_beside(display: Option<String>, to: &Address, first: bool) -> Result<()> {
    let mut command = this_program(&["watch"])?;
    command.args(first.then_some("--first")).args(["--to", &to.to_string()]);
    command.args(display.iter().flat_map(|display| ["--display", display]));
    // It outlives the program, and must not hold what whoever started that waits for the end of.
    start_beside(command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null()))
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::Install(arguments) => install::run(&arguments),
        What::Check(arguments) => install::check(&arguments),
        What::Watch { display, to, beside: true, first } => watch_beside(display, &to, first),
        What::Watch { display, to, first, .. } => {
            let watching = tokio::task::spawn_blocking(move || watch::run(display.as_deref(), &to, !first));
            Ok(watching.await.context("the watcher")??)
        }
        What::Stat { path } => {
            println!("{:#}", ctl::ask(&path, &Command::Gl {}).await?);
            Ok(())
        }
        What::Renew { path, to } => {
            let to = to.map(|to| to.to_string());
            println!("{:#}", ctl::ask(&path, &Command::GlRenew { to }).await?);
            Ok(())
        }
        What::Open { path, at } => {
            println!("{:#}", ctl::ask(&path, &Command::GlOpen { at: at.to_string() }).await?);
            Ok(())
        }
        What::Leave { path } => {
            println!("{:#}", ctl::ask(&path, &Command::GlLeave {}).await?);
            Ok(())
        }
        What::Shut { path } => {
            println!("{:#}", ctl::ask(&path, &Command::GlShut {}).await?);
            Ok(())
        }
        What::Soft { stay: false } => soft_beside(),
        What::Soft { stay: true } => {
            let program = std::io::stdin().as_fd().try_clone_to_owned().context("the program's socket")?;
            Ok(tokio::task::spawn_blocking(move || soft::run(program)).await.context("drawing")??)
        }
        What::Probe => install::probe(),
        What::Render => render(),
    }
}
