//! `cargo xtask dist`: programs for other machines, in one folder.
//!
//! Those of sites need nothing of the machine they run on: `snowbird site setup SITE --from target/dist` brings them to a site. They
//! are linked statically with the C library, and without OpenSSL: links over SSH are made by the program `ssh`. That nothing else is
//! needed is shown by running each in a root in which there is nothing else.
//!
//! Those of VMGL are linked dynamically: OpenGL programs load the library into themselves, and the proxy's renderers load libEGL, so that
//! both have to go with the glibc that is there. From which version on they do is read from them ([`needs`]) and said. That an agent needs
//! nothing but the folder is shown by installing from it, without this one's environment, into a root of its own.

mod needs;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::rig::Scratch;
use crate::{process, workspace};
use needs::Needs;

/// The package, its features, and its program.
const PROGRAMS: [(&str, &[&str], &str); 2] =
    [("wandisk", &["--no-default-features", "--features", "ublk"], "wandisk"), ("manager", &[], "snowbird")];
/// The display proxy, which also installs and checks VMGL in an agent.
const PROXY: &str = "vmgl-proxy";
/// What OpenGL programs of an agent load.
const LIBRARY: &str = "libGLX_vmgl.so";
/// Where `gl install` puts that.
const INSTALLED: &str = "usr/local/lib/vmgl/libGLX_vmgl.so.0";

/// Build programs for other Linux machines of this processor, into target/dist.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask dist
  snowbird site setup big --from target/dist
  cargo xtask dist vmgl      # then, in an agent that has the folder: ./vmgl-proxy gl install --to tcp:10.0.2.2:PORT")]
pub(crate) struct Arguments {
    /// These only; by default all
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// wandisk and snowbird, for any Linux.
    Sites,
    /// vmgl-proxy and libGLX_vmgl.so, for one with glibc.
    Vmgl,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let folder = workspace::target().join("dist");
    fs::create_dir_all(&folder)?;
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Sites) {
        sites(&folder)?;
    }
    if wanted(Part::Vmgl) {
        vmgl(&folder)?;
    }
    fs::write(folder.join("README"), readme(&folder)?)?;
    println!("in {}; its README says what goes where", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn sites(folder: &Path) -> Result<()> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    for (package, features, program) in PROGRAMS {
        let mut build = workspace::cargo();
        build.args(["build", "--release", "--target", &target, "--package", package, "--bin", program]);
        // With --target, build scripts and macros are compiled without it.
        build.args(features).env("RUSTFLAGS", "-C target-feature=+crt-static");
        process::run(&mut build)?;
        let megabytes = put(folder, &workspace::target().join(&target).join("release").join(program))?;
        println!("{program}: {megabytes}, {}", alone(folder, program)?);
    }
    Ok(())
}

fn vmgl(folder: &Path) -> Result<()> {
    let mut build = workspace::cargo();
    process::run(build.args(["build", "--release", "--package", "vmgl-proxy", "--package", "vmgl-gl"]))?;
    for name in [PROXY, LIBRARY] {
        let megabytes = put(folder, &workspace::target().join("release").join(name))?;
        println!("{name}: {megabytes}, for {}", Needs::of(&folder.join(name))?);
    }
    installs(folder)
}

/// Copies a file that was built; how large it is.
fn put(folder: &Path, made: &Path) -> Result<String> {
    let name = made.file_name().context("a file without a name")?;
    let bytes =
        fs::copy(made, folder.join(name)).with_context(|| format!("cannot copy {}", made.display()))?;
    Ok(megabytes(bytes))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one place")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// What a program says of its version in a root where there is nothing but these programs.
fn alone(folder: &Path, program: &str) -> Result<String> {
    let mut command = Command::new(process::find("unshare").context("unshare (util-linux) is not there")?);
    command
        .args(["--user", "--map-root-user", "--root"])
        .arg(folder)
        .arg(format!("/{program}"))
        .arg("--version");
    let said = process::output(&mut command)?;
    if !said.starts_with(program) {
        bail!("{program} says of itself: {said}");
    }
    Ok(said.trim().to_owned())
}

/// The proxy finds the library beside itself, and puts it where an agent's programs find it.
fn installs(folder: &Path) -> Result<()> {
    let root = Scratch::make("dist")?;
    let mut install = Command::new(folder.join(PROXY));
    install.env_clear().current_dir("/").args(["gl", "install", "--root"]).arg(root.path());
    process::output(&mut install)?;
    let installed = fs::read(root.path().join(INSTALLED)).context("nothing was installed")?;
    ensure!(installed == fs::read(folder.join(LIBRARY))?, "another library was installed than the folder's");
    Ok(())
}

/// What an administrator reads who has nothing but the folder.
fn readme(folder: &Path) -> Result<String> {
    let mut text = format!(
        "Snowbird {}, programs for Linux on {}.\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    if PROGRAMS.iter().all(|(_, _, program)| folder.join(program).exists()) {
        text.push_str(
            "\nsnowbird, wandisk: for each site; they need no library of it.\n\
             \x20 snowbird site setup SITE --from FOLDER    brings them to a site, from one that has this folder\n",
        );
    }
    if [PROXY, LIBRARY].iter().all(|name| folder.join(name).exists()) {
        text.push_str(&format!(
            "\n{PROXY}: {}; at a desk, beside snowbird, where `snowbird view` finds it. It draws by libEGL.so.1.\n\
             {LIBRARY}: {}; with {PROXY} in an agent whose OpenGL programs are to be drawn at the desk.\n\
             \x20 ldd --version                                       says which glibc a machine has\n\
             \x20 snowbird view AGENT --gl                            at the agent's home; says the port\n\
             \x20 ./{PROXY} gl install --to tcp:10.0.2.2:PORT     in the agent, as root, in this folder, which is not needed after it\n\
             \x20 ./{PROXY} gl check                              in a session there: who draws, and what to do if it is not VMGL\n\
             \x20 --own-libgl                                         with install, where libglvnd is missing: {LIBRARY} is libGL, libEGL and libGLESv2\n",
            Needs::of(&folder.join(PROXY))?,
            Needs::of(&folder.join(LIBRARY))?,
        ));
    }
    Ok(text)
}
