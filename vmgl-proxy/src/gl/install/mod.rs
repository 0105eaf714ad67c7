//! `gl install`: the OpenGL programs of this machine, an agent, get VMGL's library without knowing of it.
//!
//! libglvnd, whose `libGL.so.1` and `libEGL.so.1` programs load, asks a vendor's library for all it does. Which one, it hears
//! from the environment (GLX) and from a folder of JSON files, sorted by name (EGL). So an installation is some files of
//! ours and, for everybody, some lines between two marks in `/etc/environment`, which every login reads ([`layout`] says
//! which). Where VMGL's library finds no renderer it says so and is passed over: programs draw as they did before.
//! Where there is no libglvnd the library can have the names that programs are linked with; it passes on to nobody then, and
//! what finds no renderer is drawn in software by a process beside it.
//!
//! Invariant: installing twice is installing once; [`remove`] leaves what was there before, and touches no file of
//! anybody else's but for the lines between the marks.
//! Fault model: each file is put in place whole or not at all. Where one cannot be, those before it stay; doing it again
//! goes on, and removing takes them away.

mod layout;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use layout::{Content, Entry, For, Layout, Parts, renderer_of};

/// Names under which the library is looked for beside this program: as it is built, and as it is installed.
const NAMES: [&str; 4] =
    ["libGLX_vmgl.so", "libGLX_vmgl.so.0", "deps/libGLX_vmgl.so", "../lib/vmgl/libGLX_vmgl.so.0"];

/// Why nothing was installed, or not all.
#[derive(Debug, Error)]
pub enum InstallError {
    /// There is no library.
    #[error(
        "libGLX_vmgl.so is not beside {0}; put it there, as it is in the folder of `cargo xtask dist`, or name it with --library"
    )]
    NoLibrary(PathBuf),
    /// A folder that cannot be written of in a file of shell's or the linker's.
    #[error("{0} is not a path that an environment can name: use letters, digits and /._-+")]
    Path(PathBuf),
    /// A file.
    #[error("{path} cannot be {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something that is not ours.
    #[error("{0} is there and is none of VMGL's files; it is left as it is")]
    Foreign(PathBuf),
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not there, or was another.
    Written,
    /// It was there.
    AsItWas,
    /// It is gone.
    Removed,
}

impl Done {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::AsItWas => "as it was",
            Self::Removed => "removed",
        }
    }
}

/// The library that belongs to a program at `program`.
///
/// # Errors
/// [`InstallError::NoLibrary`].
pub fn library_beside(program: &Path) -> Result<PathBuf, InstallError> {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let there = NAMES.iter().map(|name| folder.join(name)).filter(|path| path.is_file());
    // Where two builds left one each, the newer is what belongs to a program that was just built.
    let newest = there.max_by_key(|path| path.metadata().and_then(|it| it.modified()).ok());
    newest.ok_or_else(|| InstallError::NoLibrary(program.to_owned()))
}

fn fault(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> InstallError {
    move |source| InstallError::File { path: path.to_owned(), what, source }
}

/// Puts everything in its place; what became of each file, in order.
///
/// # Errors
/// [`InstallError`], at the first file that cannot be put there.
pub fn install(layout: &Layout) -> Result<Vec<(PathBuf, Done)>, InstallError> {
    layout.entries.iter().map(|entry| put(entry).map(|done| (entry.path.clone(), done))).collect()
}

/// Takes everything away that [`install`] puts there; what became of each file.
///
/// # Errors
/// [`InstallError`], at the first file that cannot be taken away.
pub fn remove(layout: &Layout) -> Result<Vec<(PathBuf, Done)>, InstallError> {
    let mut all = Vec::new();
    for entry in layout.entries.iter().rev() {
        all.push((entry.path.clone(), take(entry)?));
    }
    for folder in &layout.folders {
        // One that holds something else stays.
        match fs::remove_dir(folder) {
            Ok(()) => all.push((folder.clone(), Done::Removed)),
            Err(_) => all.push((folder.clone(), Done::AsItWas)),
        }
    }
    Ok(all)
}

fn put(entry: &Entry) -> Result<Done, InstallError> {
    let path = &entry.path;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault(folder, "made"))?;
    }
    match &entry.content {
        Content::Copy(from) => whole(path, &fs::read(from).map_err(fault(from, "read"))?, 0o755),
        Content::Text(text) => whole(path, text.as_bytes(), 0o644),
        Content::Link(to) => {
            if fs::read_link(path).is_ok_and(|is| is == Path::new(to)) {
                return Ok(Done::AsItWas);
            }
            if path.symlink_metadata().is_ok() {
                fs::remove_file(path).map_err(fault(path, "replaced"))?;
            }
            symlink(to, path).map_err(fault(path, "linked"))?;
            Ok(Done::Written)
        }
        Content::Lines(lines) => {
            let is = read_text(path)?;
            whole(path, layout::with_lines(&is, lines).as_bytes(), mode_of(path))
        }
    }
}

fn take(entry: &Entry) -> Result<Done, InstallError> {
    let path = &entry.path;
    if path.symlink_metadata().is_err() {
        return Ok(Done::AsItWas);
    }
    match &entry.content {
        Content::Lines(_) => {
            let is = read_text(path)?;
            let without = layout::without_lines(&is);
            // A file that has nothing else was made by us.
            if without.is_empty() && !is.is_empty() {
                fs::remove_file(path).map_err(fault(path, "removed"))?;
                return Ok(Done::Removed);
            }
            match whole(path, without.as_bytes(), mode_of(path))? {
                Done::Written => Ok(Done::Removed),
                done => Ok(done),
            }
        }
        Content::Text(_) if !layout::is_ours(&read_text(path)?) => Err(InstallError::Foreign(path.clone())),
        Content::Link(to) if fs::read_link(path).ok().as_deref() != Some(Path::new(to)) => {
            Err(InstallError::Foreign(path.clone()))
        }
        Content::Text(_) | Content::Copy(_) | Content::Link(_) => {
            fs::remove_file(path).map_err(fault(path, "removed"))?;
            Ok(Done::Removed)
        }
    }
}

fn mode_of(path: &Path) -> u32 {
    path.metadata().map_or(0o644, |it| it.permissions().mode() & 0o777)
}

fn read_text(path: &Path) -> Result<String, InstallError> {
    match fs::read_to_string(path) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(fault(path, "read")),
    }
}

/// A file with these bytes, which is never seen half, nor after a power cut.
fn whole(path: &Path, bytes: &[u8], mode: u32) -> Result<Done, InstallError> {
    if fs::read(path).is_ok_and(|is| is == bytes) {
        return Ok(Done::AsItWas);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".vmgl-new");
    let beside = path.with_file_name(name);
    fs::write(&beside, bytes).map_err(fault(&beside, "written"))?;
    let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(mode))
        .and_then(|()| fs::File::open(&beside)?.sync_all())
        .and_then(|()| Ok(rustix::fs::rename(&beside, path)?))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all()));
    if placed.is_err() {
        // What could not be put there is not left beside it either; that this fails, too, changes nothing.
        let _gone = fs::remove_file(&beside);
    }
    placed.map_err(fault(path, "written"))?;
    Ok(Done::Written)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
