//! `vmgl-proxy gl install` and `gl check`: OpenGL programs of this machine, the agent, draw at the desk.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use vmgl_proxy::Address;
use vmgl_proxy::gl::check::{self, Found, Way};
use vmgl_proxy::gl::install::{self, For, Layout, Parts};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The proxy's --gl-listen as it is reached from here; without it VMGL_GL of each session says it, else
    /// unix:/run/vmgl/gl.sock
    #[arg(long, value_name = "ADDR", conflicts_with = "remove")]
    to: Option<Address>,
    /// Not for all users: into this folder, for whoever reads its share/vmgl/env.sh
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// For all users of the system below this folder, which need not run
    #[arg(long, value_name = "DIR", conflicts_with = "prefix")]
    root: Option<PathBuf>,
    /// libGLX_vmgl.so, if it is not beside this program
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    library: Option<PathBuf>,
    /// The system has no libglvnd: VMGL's library is its libGL.so.1, libEGL.so.1, libGLESv2.so.2, libGLESv1_CM.so.1, libOpenGL.so.0 and
    /// libGLX.so.0, which come before those of the system. Without a renderer `vmgl-proxy` then draws in software, by the system's
    /// own libEGL.so.1 if there is one; without that programs have no OpenGL
    #[arg(long)]
    own_libgl: bool,
    /// Take all of it away again
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// What was installed into this folder, whether or not this session has read its env.sh
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

fn whom(prefix: Option<&Path>, root: Option<&Path>) -> Result<For> {
    Ok(match (prefix, root) {
        (Some(prefix), _) => For::Prefix(absolute(prefix)?),
        (None, root) => For::Everybody(absolute(root.unwrap_or(Path::new("/")))?),
    })
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let whom = whom(arguments.prefix.as_deref(), arguments.root.as_deref())?;
    let program = std::env::current_exe().context("where this program is")?;
    let library = match &arguments.library {
        // What is removed is known by its name.
        _ if arguments.remove => PathBuf::new(),
        Some(library) => absolute(library)?,
        None => install::library_beside(&program)?,
    };
    let to = arguments.to.as_ref().map(ToString::to_string);
    let parts = Parts { library: &library, to: to.as_deref(), proxy: Some(&program) };
    let mut layout = Layout::new(&whom, parts)?;
    // What may have been installed is removed, too.
    if arguments.own_libgl || arguments.remove {
        layout = layout.with_own_libgl();
    }
    let done = if arguments.remove { install::remove(&layout)? } else { install::install(&layout)? };
    for (path, done) in &done {
        println!("{}: {}", path.display(), done.word());
    }
    if let Some(root) = &layout.linker {
        refresh(root);
    }
    if arguments.remove {
        println!("removed; sessions that are open keep their environment until they end");
        return Ok(());
    }
    match &whom {
        For::Everybody(root) if root != Path::new("/") => return Ok(()),
        For::Everybody(_) => println!("sessions that begin from now on draw by VMGL"),
        For::Prefix(prefix) => println!("turn it on with: . {}/share/vmgl/env.sh", prefix.display()),
    }
    if std::env::var_os("DISPLAY").is_none() {
        println!("there is no DISPLAY here: run `vmgl-proxy gl check` in a session");
        return Ok(());
    }
    told(&check::check(&program, &environment(&layout))?.1, false)
}

/// The dynamic linker hears of the folder. Where there is no `ldconfig`, as with other C libraries, it is said.
#[allow(clippy::print_stderr, reason = "a warning of a program's")]
fn refresh(root: &Path) {
    let tried = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find_map(|name| {
        let done = Command::new(name).arg("-r").arg(root).output().ok()?;
        Some(done.status.success())
    });
    if tried != Some(true) {
        eprintln!(
            "warning: ldconfig could not be run below {}; run it before programs start",
            root.display()
        );
    }
}

/// An installation's environment, with what this session has of the linker's path behind it.
fn environment(layout: &Layout) -> Vec<(String, String)> {
    let mut environment = layout.environment.clone();
    for (name, value) in &mut environment {
        if let (true, Ok(before)) = (name == "LD_LIBRARY_PATH", std::env::var("LD_LIBRARY_PATH")) {
            value.push(':');
            value.push_str(&before);
        }
    }
    environment
}

/// `gl check`.
pub(super) fn check(arguments: &Check) -> Result<()> {
    let program = std::env::current_exe().context("where this program is")?;
    let environment = match &arguments.prefix {
        None => Vec::new(),
        Some(prefix) => {
            let to = to_of(prefix);
            let parts = Parts { library: Path::new(""), to: to.as_deref(), proxy: Some(&program) };
            let layout = Layout::new(&whom(Some(prefix), None)?, parts)?;
            environment(&layout)
        }
    };
    told(&check::check(&program, &environment)?.1, arguments.json)
}

/// The renderer's address that an installation's script has.
fn to_of(prefix: &Path) -> Option<String> {
    let script = std::fs::read_to_string(prefix.join("share/vmgl/env.sh")).ok()?;
    install::renderer_of(&script)
}

/// Says what was found; an error where VMGL is not in use both ways.
#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
fn told(found: &[Found], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(found)?);
    }
    for it in found.iter().filter(|_| !json) {
        let way = match it.way {
            Way::Glx => "GLX",
            Way::Egl => "EGL",
        };
        println!("{way}: {}", it.who);
        if let Some(advice) = &it.advice {
            println!("     {advice}");
        }
    }
    if found.iter().any(|it| !it.is_vmgl) {
        bail!("OpenGL programs that are started as this was do not draw by VMGL, or not in each way");
    }
    Ok(())
}

/// `gl probe`.
#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) fn probe() -> Result<()> {
    println!("{}", serde_json::to_string(&vmgl_gl_renderer::probe::look())?);
    Ok(())
}
