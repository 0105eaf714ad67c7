//! Memory that is set aside for agents that come: what one was promised when it began to come is its own until it runs, so that two that
//! come at once are not told of the same free memory.
//!
//! A reservation is a file in the agent's folder that says how much, and that its supervisor has locked: it is given back when that ends,
//! however it ends. What the agent's QEMU has taken of it is missing in what is free already, so only the rest counts ([`rest`]).
//! One at a time looks at all of them and adds its own ([`turn`]).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::marks::is_held;
use crate::agent::command_line::names;
use crate::control::folder;

/// In the site's folder: locked by whoever looks what is free and reserves.
const TURN: &str = "reserving.lock";

/// For as long as the file is open no other supervisor of this site reserves. Waits for that: they do nothing else meanwhile.
pub(super) fn turn(home: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(home.join(TURN))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// So many bytes are an agent's for as long as the file is open.
pub(super) fn reserve(home: &Path, agent: &str, bytes: u64) -> io::Result<File> {
    let path = folder(home, agent).join(names::RESERVED);
    let mut file = File::options().write(true).create(true).truncate(true).open(path)?;
    flock(&file, FlockOperation::LockShared)?;
    file.write_all(bytes.to_string().as_bytes())?;
    Ok(file)
}

/// What other agents that come have not taken yet of what was reserved for them. (That of one whose supervisor died is kept again from its next one on.)
pub(super) fn for_others(home: &Path, agent: &str) -> u64 {
    let folders = std::fs::read_dir(home.join("agents")).into_iter().flatten().flatten();
    let others = folders.filter(|entry| entry.file_name() != agent).map(|entry| entry.path());
    let held = others.filter(|folder| is_held(folder, names::RESERVED));
    held.map(|folder| rest(reserved(&folder), taken(&folder))).fold(0, u64::saturating_add)
}

fn rest(reserved: u64, taken: u64) -> u64 {
    reserved.saturating_sub(taken)
}

fn reserved(folder: &Path) -> u64 {
    number(std::fs::read_to_string(folder.join(names::RESERVED)).ok().as_deref())
}

/// Memory of the QEMU that runs in this folder. (Its number may be another process's by now, which works elsewhere.)
fn taken(folder: &Path) -> u64 {
    let Ok(pid) = std::fs::read_to_string(folder.join(names::PID)) else { return 0 };
    let process = Path::new("/proc").join(number(Some(&pid)).to_string());
    let here = std::fs::read_link(process.join("cwd")).ok();
    if here.is_none() || here != folder.canonicalize().ok() {
        return 0;
    }
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let kib = |name| number(status.lines().find_map(|line| line.strip_prefix(name)));
    kib("VmRSS:").saturating_add(kib("VmSwap:")).saturating_mul(1024)
}

/// The first word as a number; 0 where it is none.
fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for agent in ["one", "two"] {
            std::fs::create_dir_all(folder(home.path(), agent)).unwrap();
        }
        home
    }

    #[test]
    fn what_one_was_promised_is_not_free_for_another_until_it_is_given_back() {
        let home = home();
        assert_eq!(for_others(home.path(), "two"), 0);
        let reservation = reserve(home.path(), "one", 100 * MIB).unwrap();
        assert_eq!(for_others(home.path(), "two"), 100 * MIB);
        assert_eq!(for_others(home.path(), "one"), 0, "its own");
        let more = reserve(home.path(), "two", u64::MAX).unwrap();
        assert_eq!(for_others(home.path(), "three"), u64::MAX);
        drop((reservation, more));
        assert_eq!(for_others(home.path(), "two"), 0, "they have ended");
    }

    #[test]
    fn what_its_qemu_has_taken_of_it_counts_no_more() {
        assert_eq!((rest(100, 30), rest(30, 100)), (70, 0));
        let home = home();
        let _reservation = reserve(home.path(), "one", 100 * MIB).unwrap();
        let folder = folder(home.path(), "one");
        let mut command = Command::new("cat");
        let mut machine = command.current_dir(&folder).stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(folder.join(names::PID), format!("{}\n", machine.id())).unwrap();
        let left = for_others(home.path(), "two");
        assert!(left < 100 * MIB && left > 90 * MIB, "{left}");
        // Another process has the number.
        std::fs::write(folder.join(names::PID), std::process::id().to_string()).unwrap();
        assert_eq!(for_others(home.path(), "two"), 100 * MIB);
        drop(machine.stdin.take());
        machine.wait().unwrap();
    }

    #[test]
    fn one_at_a_time_reserves() {
        let home = home();
        let mine = turn(home.path()).unwrap();
        let at = home.path().to_owned();
        let (tell, told) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let _turn = turn(&at).unwrap();
            tell.send(for_others(&at, "two")).unwrap();
        });
        let _reservation = reserve(home.path(), "one", MIB).unwrap();
        assert!(told.try_recv().is_err());
        drop(mine);
        assert_eq!(told.recv().unwrap(), MIB);
        other.join().unwrap();
    }
}
