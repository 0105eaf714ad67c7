//! A disk's folder itself, whatever has come to its path since.
//!
//! A home may be removed, and one made anew at its path, while a keeper of the old one still runs. What that keeper does by paths
//! it would do to the new one's files; what it does through this happens where it began, or nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// A folder that was opened. As long as one of its copies is there, no other folder is taken for it.
#[derive(Clone, Debug)]
pub struct Folder(Arc<OwnedFd>);

impl Folder {
    /// The folder that is at this path now.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(Arc::new(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Is it what is at this path? Not where nothing is, or nobody can tell.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(there)) = (rustix::fs::fstat(&self.0), rustix::fs::stat(path)) else { return false };
        (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
    }

    /// Removes a file that is in it; none there is as well.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn remove_file(&self, name: &Path) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_made_anew_at_its_path_is_another_one_and_keeps_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (path, name) = (dir.path().join("d"), Path::new("control.sock"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), b"old").unwrap();
        let folder = Folder::open(&path).unwrap();
        assert!(folder.is_at(&path));

        fs::remove_dir_all(&path).unwrap();
        assert!(!folder.is_at(&path));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), b"new").unwrap();
        assert!(!folder.is_at(&path));
        folder.remove_file(name).unwrap();
        assert_eq!(fs::read(path.join(name)).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_is_moved_takes_its_files_along() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::create_dir(&old).unwrap();
        fs::write(old.join("file"), b"").unwrap();
        let folder = Folder::open(&old).unwrap();
        crate::durable::rename(&old, &new).unwrap();
        assert!(folder.is_at(&new) && !folder.is_at(&old));
        folder.remove_file(Path::new("file")).unwrap();
        assert!(!new.join("file").exists());
        folder.remove_file(Path::new("file")).unwrap();
    }
}
