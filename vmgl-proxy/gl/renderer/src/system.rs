//! Which libEGL is the system's. In an agent VMGL's library may stand in for `libEGL.so.1`; a renderer that took it, to draw in
//! software there, would ask for another renderer.
//!
//! The loader is asked first, as every program asks it. Only where that gives VMGL's library the usual folders are gone
//! through: what the loader would take next cannot be asked of it.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is looked for.
const USUAL: &str = "libEGL.so.1";
/// As it is called where only what programs are built with is installed.
const UNVERSIONED: &str = "libEGL.so";
/// A function that VMGL's library has for this, and no other (`gl/library/src/egl/own.rs`).
const MARK: &CStr = c"vmgl_stands_in";
/// Where systems have libraries, besides what is named after the processor.
const FOLDERS: [&str; 6] = ["/usr/lib64", "/lib64", "/usr/lib", "/lib", "/usr/local/lib64", "/usr/local/lib"];

/// There is no other than VMGL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnlyOurs;

/// Whether a library is VMGL's; none if it cannot be loaded.
fn is_ours(file: &Path) -> Option<bool> {
    let name = CString::new(file.as_os_str().as_bytes()).ok()?;
    // It stays: drivers do not bear to be unloaded.
    // SAFETY: the system's libEGL; what it does when it is loaded is the system's choice.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NODELETE) };
    if library.is_null() {
        return None;
    }
    // SAFETY: a library that is open, and a text.
    Some(!unsafe { libc::dlsym(library, MARK.as_ptr()) }.is_null())
}

/// The first of these that is not VMGL's. Where none is there at all it is the usual name, for the loader to say so.
fn pick(candidates: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf, OnlyOurs> {
    let mut are_ours = false;
    for file in candidates {
        match is_ours(&file) {
            Some(false) => return Ok(file),
            Some(true) => are_ours = true,
            None => {}
        }
    }
    if are_ours { Err(OnlyOurs) } else { Ok(USUAL.into()) }
}

/// What is to be loaded as the system's libEGL.
pub(crate) fn libegl() -> Result<PathBuf, OnlyOurs> {
    let said = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let said: Vec<PathBuf> = std::env::split_paths(&said).filter(|folder| folder.is_absolute()).collect();
    let named = ["/usr/lib", "/lib", "/usr/local/lib"]
        .map(|folder| Path::new(folder).join(format!("{}-linux-gnu", std::env::consts::ARCH)));
    let folders = said.into_iter().chain(named).chain(FOLDERS.map(PathBuf::from));
    let files = folders.map(|folder| folder.join(USUAL));
    pick([PathBuf::from(USUAL)].into_iter().chain(files).chain([PathBuf::from(UNVERSIONED)]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use std::process::Command;

    use super::*;

    fn library(folder: &Path, name: &str, text: &str) -> PathBuf {
        let (source, file) = (folder.join(name).with_extension("c"), folder.join(name));
        std::fs::write(&source, text).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&file).arg(source);
        assert!(cc.status().unwrap().success());
        file
    }

    #[test]
    fn the_library_that_stands_in_is_passed_over_and_said_where_there_is_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let ours = library(dir.path(), "ours.so", "int vmgl_stands_in(void) { return 1; }");
        let theirs = library(dir.path(), "theirs.so", "int eglGetError(void) { return 0x3000; }");
        let nowhere = dir.path().join("nowhere.so");
        assert_eq!(pick([nowhere.clone(), ours.clone(), theirs.clone()]), Ok(theirs.clone()));
        assert_eq!(pick([theirs.clone(), ours.clone()]), Ok(theirs));
        assert_eq!(pick([ours, nowhere.clone()]), Err(OnlyOurs));
        assert_eq!(pick([nowhere]), Ok(PathBuf::from(USUAL)));
    }
}
