//! Ends what a test, a bench or a demonstration has started, also when that is killed.
//!
//! Supervisors, keepers and machines are daemons: they outlive whoever starts them, which is what they are for. A test's folder
//! tells them apart, and the test ends them when it is done; but one that is killed, by the time limit of its runner or by hand,
//! ends nothing. So a [`Guard`] is a process of its own, outside the test's group, that waits until the test is gone: a pipe ends
//! then, however it went.
//!
//! Where processes are in groups with quotas or in network namespaces of the run's own, the guard is told of those, too.
//!
//! Invariant: a test that says that it is done is believed, and nothing is killed; else whatever has the folder in its command
//! line, or is in it, or in a group or namespace of the run, is killed until nothing of it is left, and all of these are removed.
//! (Of the folder only what is on its own file system.)

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads what there is besides, a word and a name a line, until it is `done`; if that never came, ends everything of `$GUARDED` and
/// the rest until five looks in a row have found nothing.
const SCRIPT: &str = r#"
groups= namespaces= files=
while read -r word name; do
    case $word in
        done) exit ;;
        group) groups="$groups $name" ;;
        namespace) namespaces="$namespaces $name" ;;
        file) files="$files $name" ;;
    esac
done
inside() {
    for group in $groups; do cat "$group/cgroup.procs"; done
    for namespace in $namespaces; do ip netns pids "$namespace"; done
}
quiet=0
while [ "$quiet" -lt 5 ]; do
    quiet=$((quiet + 1))
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        [ "$pid" = "$$" ] && continue
        case "$(readlink "$process/cwd")" in
            "$GUARDED" | "$GUARDED"/*) ;;
            *) case "$(tr '\0' ' ' < "$process/cmdline")" in
                *"$GUARDED"*) ;;
                *) continue ;;
            esac ;;
        esac
        kill -9 "$pid" && quiet=0
    done
    for pid in $(inside); do
        kill -9 "$pid" && quiet=0
    done
    sleep 0.1
done
for group in $groups; do rmdir "$group"; done
for namespace in $namespaces; do ip netns del "$namespace"; done
rm -f -- $files
rm -rf --one-file-system -- "$GUARDED"
"#;

/// What a run has outside of its folder. Names have no white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also<'a> {
    /// A group of processes (a cgroup), by its folder.
    Group(&'a Path),
    /// A network namespace.
    Namespace(&'a str),
    /// A file, which is removed.
    File(&'a Path),
}

/// See the module.
#[derive(Debug)]
pub struct Guard {
    process: Child,
    alive: Option<ChildStdin>,
}

impl Guard {
    /// Begins to guard a folder that is the test's alone.
    ///
    /// # Errors
    /// When there is no shell, or no process more.
    pub fn of(folder: &Path) -> io::Result<Guard> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).env("GUARDED", folder).current_dir("/").process_group(0);
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let alive = process.stdin.take();
        Ok(Guard { process, alive })
    }

    /// Guards this, too.
    ///
    /// # Errors
    /// When the guard has gone.
    pub fn also(&mut self, what: Also<'_>) -> io::Result<()> {
        let line = match what {
            Also::Group(folder) => format!("group {}\n", folder.display()),
            Also::Namespace(name) => format!("namespace {name}\n"),
            Also::File(file) => format!("file {}\n", file.display()),
        };
        self.alive.as_mut().map_or(Ok(()), |alive| alive.write_all(line.as_bytes()))
    }
}

impl Drop for Guard {
    /// The test is done, and has ended what it started.
    fn drop(&mut self) {
        if let Some(mut alive) = self.alive.take() {
            alive.write_all(b"done\n").ok();
        }
        self.process.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use super::*;

    use std::time::{Duration, Instant};

    fn gone(process: &mut Child) -> bool {
        let end = Instant::now() + Duration::from_secs(60);
        while process.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    #[test]
    fn what_a_killed_test_has_started_ends_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().unwrap().keep();
        let other = tempfile::tempdir().unwrap();
        let mut guard = Guard::of(&folder).unwrap();
        let owner = other.path().join("owner");
        std::fs::write(&owner, "").unwrap();
        guard.also(Also::File(&owner)).unwrap();
        let sleeps = |folder: &Path| Command::new("sleep").arg("600").current_dir(folder).spawn().unwrap();
        let (mut inside, mut stranger) = (sleeps(&folder), sleeps(other.path()));
        let mut names = Command::new("sh");
        names.args(["-c", "while :; do sleep 1; done", "sh"]).arg(folder.join("file"));
        let mut names = names.process_group(0).spawn().unwrap();
        // As when the test dies: the pipe ends without a word.
        drop(guard.alive.take());
        assert!(gone(&mut inside) && gone(&mut names) && gone(&mut guard.process));
        assert!(!folder.exists() && !owner.exists());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    /// (A group of the kernel's needs root; this is a folder that says who is in it.)
    #[test]
    fn who_is_in_a_group_of_a_killed_run_ends_wherever_it_is() {
        let (folder, group) = (tempfile::tempdir().unwrap().keep(), tempfile::tempdir().unwrap());
        let mut guard = Guard::of(&folder).unwrap();
        guard.also(Also::Group(group.path())).unwrap();
        let mut inside = Command::new("sleep").arg("600").current_dir("/").spawn().unwrap();
        std::fs::write(group.path().join("cgroup.procs"), format!("{}\n", inside.id())).unwrap();
        drop(guard.alive.take());
        assert!(gone(&mut inside));
        // As the kernel's would be then.
        std::fs::write(group.path().join("cgroup.procs"), "").unwrap();
        assert!(gone(&mut guard.process));
        assert!(!folder.exists());
    }

    #[test]
    fn a_test_that_is_done_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Guard::of(folder.path()).unwrap());
        assert!(folder.path().exists());
    }
}
