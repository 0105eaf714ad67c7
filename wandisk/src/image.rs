//! Images in and out: raw files directly, other formats through `qemu-img`; sparse stays sparse.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::SeekFrom;
use wandisk_store::data::is_zero;
use wandisk_store::{ChunkTable, DataFile, DiskMeta, Row, Version};

use crate::engine::{Engine, EngineError};

/// Bytes copied at a time.
const BUFFER: usize = 1 << 20;
/// Bytes that become a hole where they are all zero.
const BLOCK: usize = 4096;

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not there, not readable.
    #[error("{} could not be read", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The target's filesystem.
    #[error("{} could not be written", path.display())]
    Write {
        /// The target.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// qemu-img is needed and missing.
    #[error("{} is a {format} image, which needs the program qemu-img, and it is not installed", path.display())]
    NoQemuImg {
        /// The image.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// qemu-img's words.
    #[error("qemu-img cannot read {}: {said}", path.display())]
    QemuImg {
        /// The image.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// It does not fit.
    #[error("{} has {image} bytes, which do not fit the disk's {disk}", path.display())]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// Its size.
        image: u64,
        /// The disk's size.
        disk: u64,
    },
    /// The disk's own files.
    #[error(transparent)]
    Store(#[from] EngineError),
    /// A size that no disk can have.
    #[error("{} has a size that no disk can have: {size} bytes", path.display())]
    BadSize {
        /// The image.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
}

/// An image to create a disk from.
#[derive(Clone, Debug)]
pub struct Image {
    path: PathBuf,
    format: &'static str,
    /// Size of the disk in it, in bytes.
    pub virtual_size: u64,
}

/// What the first bytes say; raw is what is nothing else.
fn format_of(head: &[u8]) -> &'static str {
    let magics: [(&[u8], &str); 5] = [
        (b"QFI\xfb", "qcow2"),
        (b"KDMV", "vmdk"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vpc"),
        (b"<<< ", "vdi"),
    ];
    magics.iter().find(|(magic, _)| head.starts_with(magic)).map_or("raw", |(_, name)| name)
}

impl Image {
    /// Looks at an image: its format by its first bytes, its size by its length or by `qemu-img`.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let read = |source| ImageError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.is_dir() {
            return Err(read(io::ErrorKind::IsADirectory.into()));
        }
        let mut head = [0u8; 16];
        let n = file.read_at(&mut head, 0).map_err(read)?;
        let format = format_of(&head[..n]);
        let virtual_size = if format == "raw" {
            // A block device has no length of its own; its end does.
            rustix::fs::seek(&file, SeekFrom::End(0)).map_err(|e| read(e.into()))?
        } else {
            qemu_size(path, format)?
        };
        if virtual_size == 0 {
            return Err(ImageError::BadSize { path: path.to_owned(), size: 0 });
        }
        Ok(Image { path: path.to_owned(), format, virtual_size })
    }

    /// Writes the image's bytes to `target` and gives every chunk that is not zero its first version.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn fill(
        &self,
        target: &Path,
        data: &DataFile,
        meta: &mut DiskMeta,
        table: &mut ChunkTable,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), ImageError> {
        if self.virtual_size > meta.size_bytes {
            return Err(ImageError::TooLarge {
                path: self.path.clone(),
                image: self.virtual_size,
                disk: meta.size_bytes,
            });
        }
        if self.format == "raw" {
            copy_sparse(&self.path, target, meta.size_bytes, progress)?;
        } else {
            self.check()?;
            self.convert(target)?;
            let grown = OpenOptions::new().write(true).open(target).and_then(|f| f.set_len(meta.size_bytes));
            grown.map_err(|source| ImageError::Write { path: target.to_owned(), source })?;
        }
        register(target, data, meta, table)
    }

    /// A damaged image is refused: qemu-img reads what lies beyond the end of a half image as zeros.
    fn check(&self) -> Result<(), ImageError> {
        // What `qemu-img check` ends with: leaked clusters waste space but lose nothing; some formats have no check.
        const LEAKS: i32 = 3;
        const NO_CHECK: i32 = 63;
        let mut command = Command::new("qemu-img");
        command.args(["check", "-q", "-f", self.format]).arg(&self.path);
        let output = run(&mut command, &self.path, self.format)?;
        if matches!(output.status.code(), Some(0 | LEAKS | NO_CHECK)) {
            return Ok(());
        }
        let said = first_line(&output.stderr);
        Err(ImageError::QemuImg {
            path: self.path.clone(),
            said: format!("it is damaged: {}", said.trim_start_matches("ERROR: ")),
        })
    }

    fn convert(&self, target: &Path) -> Result<(), ImageError> {
        // -n and the file that is there: qemu-img leaves holes as they are.
        let mut command = Command::new("qemu-img");
        command.args(["convert", "-f", self.format, "-O", "raw", "-n", "--target-is-zero"]);
        command.arg(&self.path).arg(target);
        run_qemu_img(command, &self.path, self.format).map(drop)
    }
}

fn run(command: &mut Command, path: &Path, format: &'static str) -> Result<Output, ImageError> {
    command.output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ImageError::NoQemuImg { path: path.to_owned(), format },
        _ => ImageError::Read { path: path.to_owned(), source: e },
    })
}

fn first_line(stderr: &[u8]) -> String {
    let said = String::from_utf8_lossy(stderr);
    said.lines().next().unwrap_or("no reason given").trim_start_matches("qemu-img: ").to_owned()
}

fn run_qemu_img(mut command: Command, path: &Path, format: &'static str) -> Result<Vec<u8>, ImageError> {
    let output = run(&mut command, path, format)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(ImageError::QemuImg { path: path.to_owned(), said: first_line(&output.stderr) })
}

fn qemu_size(path: &Path, format: &'static str) -> Result<u64, ImageError> {
    let mut command = Command::new("qemu-img");
    command.args(["info", "--output=json", "-f", format]).arg(path);
    let json = run_qemu_img(command, path, format)?;
    let info: serde_json::Value = serde_json::from_slice(&json).unwrap_or_default();
    info["virtual-size"]
        .as_u64()
        .ok_or_else(|| ImageError::QemuImg { path: path.to_owned(), said: "it tells no size".to_owned() })
}

/// Every chunk that is not zero becomes one held here; zeros that take space give it back.
fn register(
    target: &Path,
    data: &DataFile,
    meta: &mut DiskMeta,
    table: &mut ChunkTable,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: target.to_owned(), source };
    let here = meta.here_number();
    let chunks: Vec<u64> = data.chunks_with_blocks().collect();
    for chunk in chunks {
        if is_zero(&data.read_chunk(chunk).map_err(failed)?) {
            data.punch_chunk(chunk).map_err(failed)?;
            continue;
        }
        meta.counter += 1;
        let version = Version::new(meta.lineage_index(), meta.counter);
        table.set(
            chunk,
            Row { version, held: version, holders: 1 << here, owner: here, zero: false, fresh: true },
        );
    }
    Ok(())
}

/// The ranges of `piece` that are blocks with something in them, as long as they come: each is one write.
fn data_runs(piece: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for block in piece.chunks(BLOCK) {
        let end = start + block.len();
        if !is_zero(block) {
            match runs.last_mut().filter(|run| run.end == start) {
                Some(run) => run.end = end,
                None => runs.push(start..end),
            }
        }
        start = end;
    }
    runs
}

/// Copies the data ranges of `from` into `to`, which has holes everywhere; blocks of zeros stay holes.
///
/// # Errors
/// [`ImageError`].
pub fn copy_sparse(
    from: &Path,
    to: &Path,
    size: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<u64, ImageError> {
    let read = |source| ImageError::Read { path: from.to_owned(), source };
    let write = |source| ImageError::Write { path: to.to_owned(), source };
    let source = File::open(from).map_err(read)?;
    let target = OpenOptions::new().write(true).open(to).map_err(write)?;
    let mut buffer = vec![0u8; BUFFER];
    let (mut at, mut copied) = (0u64, 0u64);
    while at < size {
        at = match rustix::fs::seek(&source, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => at, // no hole map (a block device): everything is data
        };
        let n = source.read_at(&mut buffer, at).map_err(read)?;
        if n == 0 {
            break;
        }
        let room = usize::try_from(size - at).unwrap_or(usize::MAX);
        let piece = &buffer[..n.min(room)];
        for data in data_runs(piece) {
            target.write_all_at(&piece[data.clone()], at + data.start as u64).map_err(write)?;
            copied += data.len() as u64;
        }
        at += n as u64;
        progress(at.min(size), size);
    }
    Ok(copied)
}

/// Writes the disk's image to a new file, sparse.
///
/// # Errors
/// [`ImageError`]; a file that is there is not overwritten.
pub fn export(data: &Path, to: &Path, size: u64, progress: &dyn Fn(u64, u64)) -> Result<u64, ImageError> {
    let write = |source| ImageError::Write { path: to.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(write)?;
    let done = file.set_len(size).map_err(write).and_then(|()| copy_sparse(data, to, size, progress));
    let synced = done.and_then(|copied| file.sync_all().map_err(write).map(|()| copied));
    if synced.is_err() {
        // Half an image is worse than none.
        std::fs::remove_file(to).ok();
    }
    synced
}

/// Puts the bytes of a shipped copy where chunks are missing, to be bases of deltas. Other chunks are not touched: one
/// that was never written must go on reading as zeros, whatever the copy has there.
///
/// # Errors
/// [`ImageError`].
pub async fn import_bases(engine: &Engine, path: &Path) -> Result<u64, ImageError> {
    let read = |source| ImageError::Read { path: path.to_owned(), source };
    let image = Image::open(path)?;
    let disk = engine.meta().size_bytes;
    if image.format != "raw" || image.virtual_size > disk {
        return Err(ImageError::TooLarge { path: path.to_owned(), image: image.virtual_size, disk });
    }
    let file = File::open(path).map_err(read)?;
    let size = u64::from(engine.hot_chunk_size());
    let mut bytes = vec![0u8; usize::try_from(size).unwrap_or(BUFFER)];
    let (mut start, mut imported) = (0, 0);
    loop {
        let missing = engine.missing_from(start, 1024);
        let Some(last) = missing.last().copied() else { return Ok(imported) };
        for chunk in missing {
            let offset = chunk * size;
            let len = usize::try_from(size.min(image.virtual_size.saturating_sub(offset))).unwrap_or(0);
            bytes.fill(0);
            file.read_exact_at(&mut bytes[..len], offset).map_err(read)?;
            // Under the chunk's lock: a fetch or a write that came first is not overwritten.
            if !is_zero(&bytes) && engine.put_basis(chunk, &bytes).await? {
                imported += len as u64;
            }
        }
        start = last + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_blocks_of_data_are_one_write_and_zeros_are_none() {
        let mut piece = vec![0; 6 * BLOCK + 100];
        for at in [BLOCK, 3 * BLOCK - 1, 4 * BLOCK + 7, 6 * BLOCK + 99] {
            piece[at] = 1;
        }
        assert_eq!(data_runs(&piece), [BLOCK..3 * BLOCK, 4 * BLOCK..5 * BLOCK, 6 * BLOCK..6 * BLOCK + 100]);
        assert!(data_runs(&[]).is_empty() && data_runs(&[0; BLOCK]).is_empty());
    }
}
