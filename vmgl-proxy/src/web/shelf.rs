//! All that is served as a file: the proxy's own page, which is in the program, and noVNC's modules, which are
//! read once from a folder.
//!
//! noVNC (MPL-2.0) is no part of this program: Debian's package `novnc` and npm's `@novnc/novnc` have it.
//!
//! Invariant: a request chooses among what was read at the start and opens no file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

/// Most files that are read.
const FILES: usize = 512;
/// Most bytes of them in all.
const BYTES: usize = 16 << 20;
/// Folders within folders.
const DEPTH: usize = 8;
/// Where modules are served.
const PREFIX: &str = "/novnc/";
/// The module that the page begins with.
const FIRST: &str = "core/rfb.js";

/// What to do where noVNC is missing.
pub const ADVICE: &str = "noVNC, which draws the screen in a browser, was not found: install Debian's package novnc, or run \
    `npm install @novnc/novnc` and start the proxy with --novnc node_modules/@novnc/novnc.";

/// Why a folder cannot be served.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// Reading.
    #[error("{}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is another folder.
    #[error("{} has no {FIRST}: it is not noVNC's", .0.display())]
    NotNoVnc(PathBuf),
    /// It has too much in it.
    #[error("{} holds more than {FILES} files or {} MiB: it is not noVNC's", .0.display(), BYTES >> 20)]
    TooMuch(PathBuf),
}

/// A file as it is sent.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its media type.
    pub kind: &'static str,
}

/// The files, by the path of their address.
#[derive(Debug, Clone)]
pub struct Shelf {
    items: BTreeMap<String, Item>,
}

impl Default for Shelf {
    /// The proxy's own page.
    fn default() -> Self {
        let page: [(&str, &'static [u8], &'static str); 4] = [
            ("/", include_bytes!("page/index.html"), "text/html; charset=utf-8"),
            ("/page.css", include_bytes!("page/page.css"), "text/css; charset=utf-8"),
            ("/page.js", include_bytes!("page/page.js"), "text/javascript; charset=utf-8"),
            ("/icon.svg", include_bytes!("page/icon.svg"), "image/svg+xml"),
        ];
        let items = page
            .into_iter()
            .map(|(path, bytes, kind)| (path.to_owned(), Item { bytes: Bytes::from_static(bytes), kind }));
        Self { items: items.collect() }
    }
}

impl Shelf {
    /// The page and noVNC's modules of a folder.
    ///
    /// # Errors
    /// When the folder cannot be read or is another one.
    pub fn with_modules(folder: &Path) -> Result<Self, ShelfError> {
        let mut shelf = Self::default();
        if !folder.join(FIRST).is_file() {
            return Err(ShelfError::NotNoVnc(folder.to_owned()));
        }
        let mut room = Room { files: FILES, bytes: BYTES };
        for part in ["core", "vendor"] {
            let path = folder.join(part);
            if path.is_dir() {
                room.read(&path, &format!("{PREFIX}{part}"), DEPTH, &mut shelf.items)?;
            }
        }
        Ok(shelf)
    }

    /// Whether the modules are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.items.contains_key(&format!("{PREFIX}{FIRST}"))
    }

    /// What stands at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Item> {
        self.items.get(path)
    }
}

struct Room {
    files: usize,
    bytes: usize,
}

impl Room {
    fn read(
        &mut self,
        folder: &Path,
        at: &str,
        depth: usize,
        items: &mut BTreeMap<String, Item>,
    ) -> Result<(), ShelfError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |fault| ShelfError::Read(path, fault)
        };
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            let path = entry.map_err(failed(folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let at = format!("{at}/{name}");
            let facts = std::fs::metadata(&path).map_err(failed(&path))?;
            if facts.is_dir() && depth > 0 {
                self.read(&path, &at, depth - 1, items)?;
            } else if facts.is_file() && path.extension().is_some_and(|kind| kind == "js") {
                let len = usize::try_from(facts.len()).unwrap_or(usize::MAX);
                if self.files == 0 || len > self.bytes {
                    return Err(ShelfError::TooMuch(path));
                }
                let bytes = std::fs::read(&path).map_err(failed(&path))?;
                self.files -= 1;
                self.bytes = self.bytes.saturating_sub(bytes.len());
                items.insert(at, Item { bytes: bytes.into(), kind: "text/javascript; charset=utf-8" });
            }
        }
        Ok(())
    }
}

/// Where noVNC may be, the nearest first, for a program at `program`.
#[must_use]
pub fn usual_places(program: Option<&Path>) -> Vec<PathBuf> {
    let beside = program.and_then(Path::parent).into_iter().flat_map(|dir| {
        // The second is where `cargo xtask setup` puts it beside target/debug and target/release.
        ["novnc", "../npm/node_modules/@novnc/novnc", "../share/novnc"].map(|place| dir.join(place))
    });
    let system = ["/usr/local/share/novnc", "/usr/share/novnc", "/usr/share/webapps/novnc"];
    beside.chain(system.map(PathBuf::from)).collect()
}

/// The first of the usual places that has it.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    usual_places(program.as_deref()).into_iter().find(|place| place.join(FIRST).is_file())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn modules_are_served_and_nothing_else_of_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Shelf::with_modules(dir.path()), Err(ShelfError::NotNoVnc(_))));
        for (path, text) in
            [("core/rfb.js", "a"), ("core/util/x.js", "b"), ("core/y.txt", "c"), ("z.js", "d")]
        {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let shelf = Shelf::with_modules(dir.path()).unwrap();
        assert!(shelf.is_whole() && !Shelf::default().is_whole());
        assert_eq!(shelf.get("/novnc/core/util/x.js").unwrap().bytes, "b");
        for none in ["/novnc/core/y.txt", "/novnc/z.js", "/novnc/core/../z.js", "/novnc/core/util", "", "//"]
        {
            assert!(shelf.get(none).is_none(), "{none}");
        }
        assert!(shelf.get("/").is_some());
    }

    #[test]
    fn a_folder_with_too_much_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("core")).unwrap();
        std::fs::write(dir.path().join(FIRST), "").unwrap();
        let big = std::fs::File::create(dir.path().join("core/big.js")).unwrap();
        big.set_len(BYTES as u64 + 1).unwrap();
        assert!(matches!(Shelf::with_modules(dir.path()), Err(ShelfError::TooMuch(_))));
    }

    #[test]
    fn it_is_looked_for_beside_the_program_first() {
        let places = usual_places(Some(Path::new("/opt/snowbird/bin/vmgl-proxy")));
        assert_eq!(places[0], Path::new("/opt/snowbird/bin/novnc"));
        assert!(places.contains(&PathBuf::from("/usr/share/novnc")));
    }
}
