//! `gl install` in an agent that has a folder as `cargo xtask dist` makes it, and neither cargo nor the source: a root of its own, in
//! which there are the C library, libglvnd and libX11, and after that nothing but what was installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::agent::built;
use crate::desk::Desk;
use crate::peers::{Running, eventually};
use crate::unmodified::build;

/// Enters the root `$0`, where the system's devices and X servers are to be seen.
const ENTER: &str = r#"for at in proc dev tmp/.X11-unix; do mount --rbind "/$at" "$0/$at" || exit; done; exec chroot "$0" "$@""#;
/// Where it has the desk's door.
const DOOR: &str = "/gl";
/// Where it has the folder.
const UNPACKED: &str = "/unpacked";
/// Where it has a program that draws, and the words that have it do so.
const DRAW: &str = "/draw";
const DRAW_LISTS: [&str; 2] = [DRAW, "lists"];
/// And one that draws by EGL.
const DRAW_EGL: &str = "/draw_egl";
const INSTALL: [&str; 5] = ["/unpacked/vmgl-proxy", "gl", "install", "--to", "unix:/gl"];

/// Libraries that the loader takes for these files, where it looks for them.
fn libraries(files: &[&Path]) -> BTreeSet<PathBuf> {
    let done = Command::new("ldd").args(files).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    said.split_whitespace()
        .filter(|it| it.starts_with('/') && !it.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

/// The agent's system.
struct Root(tempfile::TempDir);

impl Root {
    /// With a program at its top.
    fn with(program: &Path, libraries: BTreeSet<PathBuf>) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for folder in ["proc", "dev", "tmp/.X11-unix", "etc", "sbin"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        for library in libraries {
            let to = root.path(library.to_str().unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(library, to).unwrap();
        }
        fs::copy(program, root.path(DRAW)).unwrap();
        // Ubuntu's is a script before the program.
        let linkers = ["/sbin/ldconfig.real", "/sbin/ldconfig"].map(Path::new);
        let ldconfig = linkers.into_iter().find(|path| path.exists()).expect("glibc has an ldconfig");
        fs::copy(ldconfig, root.path("sbin/ldconfig")).unwrap();
        fs::write(root.path("etc/ld.so.conf"), "include /etc/ld.so.conf.d/*.conf\n").unwrap();
        root
    }

    /// The folder, as it came; and the desk's door.
    fn unpack(&self, desk: &Desk) {
        fs::create_dir(self.path(UNPACKED)).unwrap();
        for (from, name) in in_dist().iter().zip(["vmgl-proxy", "libGLX_vmgl.so"]) {
            fs::copy(from, self.path(UNPACKED).join(name)).unwrap();
        }
        fs::hard_link(&desk.door, self.path(DOOR)).unwrap();
    }

    /// What `gl check` finds, of what was installed.
    fn check(&self, display: &str) -> Value {
        let check = ["/usr/local/lib/vmgl/vmgl-proxy", "gl", "check", "--json"];
        let done = self.command(display, &check).output().unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", said(&done)))
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    /// A command in it, with what a login there has.
    fn command(&self, display: &str, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", ENTER])
            .arg(self.0.path())
            .args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DISPLAY", display);
        let logins = fs::read_to_string(self.path("etc/environment")).unwrap_or_default();
        command.envs(
            logins.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')),
        );
        command
    }
}

fn in_dist() -> [PathBuf; 2] {
    [PathBuf::from(env!("CARGO_BIN_EXE_vmgl-proxy")), built()]
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

#[test]
fn an_agent_needs_nothing_but_the_folder_and_after_the_installation_not_even_that() {
    let desk = Desk::unwatched("320x240", &[]);
    let display = desk.server.display.as_str();
    let dir = tempfile::tempdir().unwrap();
    let draws = build(dir.path(), "draw", &["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    let draws_by_egl = build(dir.path(), "draw_egl", &["-l:libEGL.so.1", "-l:libX11.so.6"]);
    let [proxy, library] = in_dist();
    let root = Root::with(&draws, libraries(&[&draws, &draws_by_egl, &proxy, &library]));
    root.unpack(&desk);

    let done = root.command(display, &INSTALL).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert!(!said(&done).contains("warning"), "{}", said(&done));

    fs::remove_dir_all(root.path(UNPACKED)).unwrap();
    let found = root.check(display);
    let ways = found.as_array().unwrap();
    assert!(ways.len() == 2 && ways.iter().all(|way| way["is_vmgl"] == true), "{found}");

    // A program's windows are told of, by the watcher that the library finds.
    let mut far = root.command(display, &DRAW_LISTS);
    let _far = Running(far.stdout(Stdio::null()).spawn().unwrap());
    eventually("the library has started its watcher", || (desk.stat()["watched"] == true).then_some(()));
}

#[test]
fn where_libglvnd_is_missing_the_library_is_libgl_and_libegl_and_it_is_said_how_that_is_had() {
    let desk = Desk::new("320x240");
    let display = desk.server.display.as_str();
    let dir = tempfile::tempdir().unwrap();
    let draws = build(dir.path(), "draw", &["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    let draws_by_egl = build(dir.path(), "draw_egl", &["-l:libEGL.so.1", "-l:libX11.so.6"]);
    let [proxy, library] = in_dist();
    let mut libraries = libraries(&[&draws, &draws_by_egl, &proxy, &library]);
    let is_of_it = |name: &str| name.starts_with("libGL") || name.starts_with("libEGL");
    libraries.retain(|path| !is_of_it(path.file_name().unwrap().to_str().unwrap()));
    let root = Root::with(&draws, libraries);
    fs::copy(&draws_by_egl, root.path(DRAW_EGL)).unwrap();
    root.unpack(&desk);

    let done = root.command(display, &INSTALL).output().unwrap();
    assert!(!done.status.success() && said(&done).contains("--own-libgl"), "{}", said(&done));

    let own = [INSTALL.as_slice(), &["--own-libgl"]].concat();
    let done = root.command(display, &own).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let found = root.check(display);
    assert_eq!((&found[0]["is_vmgl"], &found[1]["is_vmgl"]), (&true.into(), &true.into()), "{found}");

    for draw in [DRAW_LISTS, [DRAW_EGL, "es3"]] {
        let mut far = root.command(display, &draw);
        let far = Running(far.stdout(Stdio::null()).spawn().unwrap());
        eventually("the desk has its picture", || (desk.frames(far.0.id()) == 1).then_some(()));
    }
}
