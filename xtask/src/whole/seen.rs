//! What was seen when it went wrong: files in the folder that the guest shares with the host, and the end of each on the screen.
//!
//! Both sites' logs and standing, QEMU's last words, what the agent said and when, processes, and the guest's kernel. Nothing here may fail, or
//! hang: each question has a limit, and one without an answer is passed over.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::world::AGENT;
use crate::process;

/// In the guest: the folder of the host.
const SHARE: &str = "/share";
/// What the agent said, in the story's folder, with the seconds since the story began.
pub(super) const SAID: &str = "said";
/// What a question may take, in seconds.
const ANSWERS: &str = "60";
/// The last lines of each that are shown.
const SHOWN: usize = 15;
/// Longest line that is shown, in characters.
const LINE: usize = 400;

/// Removes what an earlier run left; gives its place, in a folder that is shared.
pub(super) fn forget(share: &Path) -> Result<PathBuf> {
    let kept = share.join("whole");
    match std::fs::remove_dir_all(&kept) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", kept.display()))
        }
        _ => Ok(kept),
    }
}

/// Keeps what is to be seen now, and shows the end of it. `dir` is the story's folder.
pub(super) fn keep(dir: &Path, programs: &Path) {
    let Ok(kept) = forget(Path::new(SHARE)) else { return };
    if std::fs::create_dir_all(&kept).is_err() {
        return;
    }
    let keep = |name: String, text: String| {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        println!("--- {name}, the last of {} lines", lines.len());
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
            println!("{}", line.chars().take(LINE).collect::<String>());
        }
        std::fs::write(kept.join(name), text).ok();
    };
    keep("said".to_owned(), std::fs::read_to_string(dir.join(SAID)).unwrap_or_default());
    keep("processes".to_owned(), answer(Command::new("ps").args(["-eo", "pid,ppid,stat,etime,time,args"])));
    keep("kernel".to_owned(), answer(&mut Command::new("dmesg")));
    for site in ["a", "b"] {
        let home = dir.join(site);
        let at = |program: &str, words: &[&str]| {
            let mut command = Command::new("timeout");
            command.arg(ANSWERS).arg(programs.join(program)).arg("--home").arg(&home);
            answer(command.args(words))
        };
        keep(format!("{site}-disk"), at("wandisk", &["status", AGENT, "--here", "--json"]));
        let folder = home.join("agents").join(AGENT);
        for file in ["qemu.log", "daemons.log"] {
            let text = std::fs::read(folder.join(file)).unwrap_or_default();
            keep(format!("{site}-{file}"), String::from_utf8_lossy(&text).into_owned());
        }
        keep(format!("{site}-log"), at("snowbird", &["log", AGENT]));
    }
}

/// What a program says, with whatever it complains about.
fn answer(command: &mut Command) -> String {
    process::kept(command.stdin(Stdio::null())).map_or_else(|error| format!("{error:#}"), |(_, said)| said)
}
