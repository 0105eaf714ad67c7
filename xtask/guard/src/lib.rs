//! Ends what a test has started, also when the test is killed.
//!
//! Supervisors, keepers and machines are daemons: they outlive whoever starts them, which is what they are for. A test's folder
//! tells them apart, and the test ends them when it is done; but one that is killed, by the time limit of its runner or by hand,
//! ends nothing. So a [`Guard`] is a process of its own, outside the test's group, that waits until the test is gone: a pipe ends
//! then, however it went.
//!
//! Invariant: a test that says that it is done is believed, and nothing is killed; else whatever has the folder in its command
//! line, or is in it, is killed until nothing of it is left, and the folder is removed.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads a word; then, unless that came, ends everything of `$GUARDED` until five looks in a row have found nothing.
const SCRIPT: &str = r#"
read -r word && exit
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
    sleep 0.1
done
rm -rf -- "$GUARDED"
"#;

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
        let sleeps = |folder: &Path| Command::new("sleep").arg("600").current_dir(folder).spawn().unwrap();
        let (mut inside, mut stranger) = (sleeps(&folder), sleeps(other.path()));
        let mut names = Command::new("sh");
        names.args(["-c", "while :; do sleep 1; done", "sh"]).arg(folder.join("file"));
        let mut names = names.process_group(0).spawn().unwrap();
        // As when the test dies: the pipe ends without a word.
        drop(guard.alive.take());
        assert!(gone(&mut inside) && gone(&mut names) && gone(&mut guard.process));
        assert!(!folder.exists());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_test_that_is_done_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Guard::of(folder.path()).unwrap());
        assert!(folder.path().exists());
    }
}
