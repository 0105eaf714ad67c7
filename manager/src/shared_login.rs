//! One login for many questions: the `ssh` program keeps a connection for a minute after its last stream has ended, and whoever
//! comes meanwhile goes over that. A login takes a dozen round trips, one more stream two.
//!
//! For what is short, or mostly waits for words ([`control::open_soon`](crate::control::open_soon)). Memory, screens and networks of
//! agents have connections of their own, which nothing else delays. Whoever has named a `ControlPath` for a host keeps his settings.
//!
//! Fault model: `ssh` that can make no socket ends, after its login; so a socket is made before. A connection that is dead and not yet
//! known to be is for who uses it (`open_soon`).

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

/// The folder of the sockets, in the site's.
const FOLDER: &str = "ssh";
/// How long a connection is kept after its last stream, in seconds.
const KEPT_S: u32 = 60;
/// Longest path of a socket in bytes, less what `ssh` appends while it makes one.
const PATH_MAX: usize = 107 - 17;
/// A dead line is noticed after some 15 s, also where an address has no options of ours.
const ALIVE: [&str; 2] = ["ServerAliveInterval=5", "ServerAliveCountMax=3"];
/// The user's settings may have programs run (`Match exec`).
const SETTINGS: Duration = Duration::from_secs(5);

/// A link's words, so that its connection is shared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Program and arguments.
    pub(crate) words: Vec<String>,
    /// Somebody keeps a connection already.
    pub(crate) is_there: bool,
}

/// Has a link's connection shared through a socket in a site's folder. `None` where its program is not `ssh`, the user's settings say
/// something else, or there is no place for a socket.
pub(crate) async fn shared(home: &Path, words: &[String]) -> Option<Shared> {
    let (program, rest) = words.split_first()?;
    if program.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let folder = std::path::absolute(home).ok()?.join(FOLDER);
    let socket = socket(&folder, words)?;
    let is_there = match UnixStream::connect(&socket).await {
        Ok(_) => true,
        // Somebody listens, and takes nobody on.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    if !is_there && (has_setting(program, rest).await || !takes_sockets(&folder)) {
        return None;
    }
    let own = ["ControlMaster=auto", &format!("ControlPersist={KEPT_S}"), &format!("ControlPath={socket}")];
    let options = own.into_iter().chain(ALIVE).flat_map(|option| ["-o".to_owned(), option.to_owned()]);
    let words = std::iter::once(program.clone()).chain(options).chain(rest.iter().cloned()).collect();
    Some(Shared { words, is_there })
}

/// The socket for a link with these words, if its path is short enough and means to `ssh` what it says.
fn socket(folder: &Path, words: &[String]) -> Option<String> {
    let name = blake3::hash(words.join("\0").as_bytes()).to_hex();
    let path: PathBuf = folder.join(&name[..16]);
    let text = path.into_os_string().into_string().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    (text.len() <= PATH_MAX && text.bytes().all(is_plain)).then_some(text)
}

/// Of this process: two at a time do not take each other's away.
static TRIES: AtomicU32 = AtomicU32::new(0);

/// Is the folder this user's alone, and can sockets be made there as `ssh` makes them: by another name, then linked?
fn takes_sockets(folder: &Path) -> bool {
    let makes = || -> io::Result<bool> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let found = std::fs::symlink_metadata(folder)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0
        {
            return Ok(false);
        }
        let (process, nth) = (std::process::id(), TRIES.fetch_add(1, Ordering::Relaxed));
        let [first, second] = ["a", "b"].map(|end| folder.join(format!("try-{process}-{nth}{end}")));
        let made = UnixListener::bind(&first).and_then(|_| std::fs::hard_link(&first, &second));
        for path in [first, second] {
            std::fs::remove_file(path).ok();
        }
        made.map(|()| true)
    };
    makes().unwrap_or(false)
}

/// Do the user's settings for a link name a socket? So they do where they cannot be had. (`ControlPath none` is not shown.)
async fn has_setting(program: &str, rest: &[String]) -> bool {
    let mut command = Command::new(program);
    command.arg("-G").args(rest).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(SETTINGS, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
            text.lines().any(|line| line.starts_with("controlpath "))
        }
        _ => true,
    }
}

#[cfg(test)]
#[path = "../../wandisk/link/tests/support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, Signal, kill_process};
    use serde_json::json;
    use tempfile::TempDir;
    use test_guard::Guard;
    use test_kit::eventually;

    use super::support::Sshd;
    use super::*;
    use crate::control::{Open, Opening, PROTOCOL, Request, ask, open_soon};
    use crate::sites::{Site, Sites};

    const SOON: Duration = Duration::from_secs(60);

    /// A site that knows another one behind a real sshd, where a script answers and notes over which connection it was asked.
    struct World {
        sshd: Sshd,
        /// Ends what keeps connections when the test cannot.
        _guard: Guard,
        dir: TempDir,
    }

    impl Drop for World {
        fn drop(&mut self) {
            for keeper in self.keepers() {
                kill_process(keeper, Signal::KILL).ok();
            }
        }
    }

    impl World {
        /// With more settings of the user's.
        fn new(more: impl FnOnce(&Path) -> String) -> World {
            let dir = tempfile::Builder::new().prefix("s").rand_bytes(5).tempdir().unwrap();
            let at = dir.path().display();
            let script = format!(
                "echo \"$SSH_CONNECTION\" >> {at}/came; read opening; echo '{{\"ok\": null}}'; read line; echo '{{\"ok\": 7}}'"
            );
            std::fs::write(dir.path().join("far"), script).unwrap();
            let sshd = Sshd::start_with("ed25519", &[&format!("ForceCommand=sh {at}/far")]);
            sshd.configure(&more(dir.path()));
            World { sshd, _guard: Guard::of(dir.path()).unwrap(), dir }
        }

        fn site(&self) -> Site {
            let address =
                format!("cmd:ssh -F {} -p {} 127.0.0.1", self.sshd.path("config").display(), self.sshd.port);
            let sites = json!({ "format": 1, "id": "x", "name": "a", "sites": [{ "name": "b", "address": address,
                "remote_home": null, "remote_wandisk": null, "id": null, "reads_only": false }] });
            std::fs::write(self.dir.path().join("site.json"), sites.to_string()).unwrap();
            Sites::read(self.dir.path()).unwrap().site("b").unwrap().clone()
        }

        async fn asks(&self) {
            let opening =
                Opening { snowbird: PROTOCOL, agent: "vm".to_owned(), open: Open::Control, document: None };
            let mut stream = open_soon(&self.site(), &opening).await.unwrap();
            assert_eq!(ask(&mut stream, &Request::Status, SOON, |_| ()).await.unwrap(), 7);
        }

        /// Times it was asked, and over how many connections.
        fn came(&self) -> (usize, usize) {
            let text = std::fs::read_to_string(self.dir.path().join("came")).unwrap();
            let mut came: Vec<&str> = text.lines().collect();
            let times = came.len();
            came.sort_unstable();
            came.dedup();
            (times, came.len())
        }

        /// The processes that keep a connection.
        fn keepers(&self) -> Vec<Pid> {
            let sockets = self.dir.path().join(FOLDER).display().to_string();
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let keeping = processes.filter_map(|entry| {
                let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
                let pid = entry.file_name().to_str()?.parse().ok()?;
                (words.contains(&sockets) && words.contains("[mux]")).then(|| Pid::from_raw(pid))?
            });
            keeping.collect()
        }
    }

    #[tokio::test]
    async fn what_is_asked_in_a_row_takes_one_login() {
        let world = World::new(|_| String::new());
        for _ in 0..3 {
            world.asks().await;
        }
        assert_eq!(world.came(), (3, 1));
    }

    #[tokio::test]
    async fn a_connection_that_died_without_a_word_is_not_waited_for() {
        let world = World::new(|_| String::new());
        world.asks().await;
        let keeper = eventually("a connection is kept", || world.keepers().pop());
        kill_process(keeper, Signal::STOP).unwrap();
        world.asks().await;
        kill_process(keeper, Signal::KILL).unwrap();
        // Its socket is still there.
        world.asks().await;
        assert_eq!(world.came(), (3, 3));
    }

    #[tokio::test]
    async fn whoever_has_a_socket_of_his_own_keeps_it_and_what_is_no_ssh_is_not_shared() {
        let world = World::new(|dir| format!("ControlPath {}/own\n", dir.display()));
        for _ in 0..2 {
            world.asks().await;
        }
        assert_eq!(world.came(), (2, 2));
        let words = ["env".to_owned(), "ssh".to_owned(), "host".to_owned()];
        assert_eq!(shared(world.dir.path(), &words).await, None);
    }

    #[tokio::test]
    async fn where_no_socket_can_be_made_each_logs_in() {
        let world = World::new(|_| String::new());
        std::fs::write(world.dir.path().join(FOLDER), "no folder").unwrap();
        for _ in 0..2 {
            world.asks().await;
        }
        assert_eq!(world.came(), (2, 2));
    }

    #[test]
    fn a_socket_is_where_ssh_finds_it_by_its_words_or_nowhere() {
        let words = |host: &str| ["ssh".to_owned(), host.to_owned()];
        let at = |folder: &str, host: &str| socket(Path::new(folder), &words(host));
        assert_eq!(at("/srv/me/ssh", "x"), at("/srv/me/ssh", "x"));
        assert_ne!(at("/srv/me/ssh", "x"), at("/srv/me/ssh", "y"));
        for odd in ["/a home/ssh", "/%h/ssh", "/${HOME}/ssh", &format!("/{}", "x".repeat(80))] {
            assert_eq!(at(odd, "x"), None, "{odd}");
        }
    }
}
