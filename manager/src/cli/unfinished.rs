//! The mark of a `create` that has begun, in the agent's folder. It is held while the command runs, and goes when the agent is written down;
//! one that nobody holds is of a command that was ended, and whose disk may be there.
//!
//! Invariant: it is set only where no agent of that name is known, and before the disk is made.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::control::folder;
use crate::seat::lock;

const MARK: &str = "unfinished";

/// Held by the command that creates.
#[derive(Debug)]
pub(super) struct Unfinished {
    mark: PathBuf,
    _held: File,
}

impl Unfinished {
    /// Marks that this agent is being created; says whether an earlier command was ended in that. `None` while another one creates it.
    pub(super) fn begin(home: &Path, agent: &str) -> Result<Option<(Unfinished, bool)>> {
        let mark = folder(home, agent).join(MARK);
        let earlier = mark.exists();
        let held = lock(&mark).with_context(|| format!("cannot write {}", mark.display()))?;
        Ok(held.map(|held| (Unfinished { mark, _held: held }, earlier)))
    }

    /// The agent is written down.
    pub(super) fn finish(self) {
        std::fs::remove_file(&self.mark).ok();
    }

    /// Nothing was made for it.
    pub(super) fn give_up(self) {
        std::fs::remove_file(&self.mark).ok();
        if let Some(folder) = self.mark.parent() {
            // (Only an empty one goes.)
            std::fs::remove_dir(folder).ok();
        }
    }
}

/// Agents whose mark is there, and a sentence about each.
pub(super) fn all(home: &Path) -> Vec<(String, &'static str)> {
    let names = std::fs::read_dir(home.join("agents")).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<_> = names
        .filter_map(|name| {
            let mark = folder(home, &name).join(MARK);
            let held = File::open(&mark).ok().map(|_| lock(&mark))?.ok()?.is_none();
            let told = if held {
                "being created"
            } else {
                "not created: `snowbird create` was ended, and says next time what is left of it"
            };
            Some((name, told))
        })
        .collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_nobody_holds_is_of_a_command_that_was_ended() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder(home.path(), "vm")).unwrap();
        let begin = || Unfinished::begin(home.path(), "vm").unwrap();
        let (first, earlier) = begin().unwrap();
        assert!(!earlier && begin().is_none());
        assert_eq!(all(home.path()), [("vm".to_owned(), "being created")]);
        // As its process ends by a kill.
        drop(first);
        assert!(all(home.path())[0].1.starts_with("not created"));
        let (next, earlier) = begin().unwrap();
        assert!(earlier);
        next.give_up();
        assert!(!folder(home.path(), "vm").exists());
        std::fs::create_dir_all(folder(home.path(), "vm")).unwrap();
        assert_eq!(all(home.path()), []);
        assert!(!begin().unwrap().1);
    }
}
