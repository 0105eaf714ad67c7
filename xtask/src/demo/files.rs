//! Files compared one by one: what each is, and SHA-256 of its content.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// What there is to know of one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Link(PathBuf),
    File { mode: u32, size: u64, hash: [u8; 32] },
    Other,
}

/// Everything below a folder, by its path from there.
pub(super) type Tree = BTreeMap<PathBuf, Kind>;

/// Reads every file below `top`.
pub(super) fn read_tree(top: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let full = top.join(&folder);
        for entry in fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
            let path = folder.join(entry?.file_name());
            let kind = look(&top.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
            if kind == Kind::Folder {
                folders.push(path.clone());
            }
            tree.insert(path, kind);
        }
    }
    Ok(tree)
}

fn look(path: &Path) -> Result<Kind> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        return Ok(Kind::Folder);
    }
    if meta.is_symlink() {
        return Ok(Kind::Link(fs::read_link(path)?));
    }
    if !meta.is_file() {
        return Ok(Kind::Other);
    }
    let (mut file, mut hasher, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(Kind::File { mode: meta.mode(), size: meta.len(), hash: hasher.finalize().into() })
}

/// The first paths at which two trees differ.
pub(super) fn differences(expected: &Tree, found: &Tree) -> Vec<PathBuf> {
    let all = expected.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    all.into_iter().filter(|path| expected.get(*path) != found.get(*path)).take(10).cloned().collect()
}

/// Copies files from below `sources` to `target`, folder after folder, until there are enough.
pub(super) fn collect(sources: &[&str], target: &Path, files_max: usize, bytes_max: u64) -> Result<()> {
    let (mut files, mut bytes) = (0, 0);
    for source in sources.iter().map(Path::new).filter(|s| s.is_dir()) {
        let mut folders = vec![source.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entries: Vec<_> = fs::read_dir(&folder)?.flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let (path, meta) = (entry.path(), entry.metadata()?);
                if meta.is_dir() {
                    folders.push(path);
                    continue;
                }
                if !meta.is_file() || files >= files_max || bytes + meta.len() > bytes_max {
                    continue;
                }
                let to = target.join(path.strip_prefix("/").unwrap_or(&path));
                fs::create_dir_all(to.parent().unwrap_or(target))?;
                // Files that cannot be read are not ours to show.
                if fs::copy(&path, &to).is_ok() {
                    files += 1;
                    bytes += meta.len();
                }
            }
        }
    }
    Ok(())
}

/// Size of all files below a folder, if it is at most `max`.
pub(super) fn size_below(top: &Path, max: u64) -> Option<u64> {
    let (mut size, mut folders) = (0, vec![top.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let meta = entry.metadata().ok()?;
            if meta.is_dir() {
                folders.push(entry.path());
            }
            size += meta.len().div_ceil(4096) * 4096;
            if size > max {
                return None;
            }
        }
    }
    Some(size)
}
