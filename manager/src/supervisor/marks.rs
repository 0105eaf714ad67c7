//! Marks: empty files in an agent's folder that a process holds for as long as something goes on, and that are free when it ends,
//! however it ends. So a supervisor knows what other processes of its site do for the agent, without asking them.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Holds a mark for as long as the file is open; several processes may.
///
/// # Errors
/// The file system's.
pub(crate) fn hold(folder: &Path, name: &str) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(folder.join(name))?;
    flock(&file, FlockOperation::LockShared)?;
    Ok(file)
}

/// Does somebody hold it?
pub(crate) fn is_held(folder: &Path, name: &str) -> bool {
    let Ok(file) = File::options().write(true).open(folder.join(name)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_held_until_the_last_who_holds_it_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path(), "mark"));
        let (first, second) = (hold(folder.path(), "mark").unwrap(), hold(folder.path(), "mark").unwrap());
        assert!(is_held(folder.path(), "mark"));
        drop(first);
        assert!(is_held(folder.path(), "mark"));
        drop(second);
        assert!(!is_held(folder.path(), "mark"));
        assert!(!is_held(folder.path(), "another"));
    }
}
