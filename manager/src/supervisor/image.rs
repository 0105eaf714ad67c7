//! Files of suspended agents' memory: what QEMU would have sent in a migration, packed as one zstd stream.
//!
//! A file is written under another name, synced, and renamed with its folder synced; what it must be (length and BLAKE3) is in
//! the journal, and in what another site is told. Nobody unpacks a byte before all of the file was compared with that.
//!
//! Fault model: the disk is full, or gives back other bytes than it got; another site sends too much, or something else.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wandisk_store::durable;

use super::phase::Image;

/// Fast: a suspension waits for it, and pages of zeros are few bytes before it.
const LEVEL: i32 = 1;
const PREFIX: &str = "suspended-";
const WHOLE: &str = ".image";
const PART: &str = ".part";
/// Beside its memory a machine has video memory, devices and the stream's own words.
const BESIDE_MEMORY_BYTES: u64 = 256 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// Why an image could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system's words.
    #[error("the file of its memory could not be used")]
    Io(#[from] io::Error),
    /// Not the bytes that were written.
    #[error("the file of its memory is not what was written: it is damaged")]
    Damaged,
    /// More than such a machine can have.
    #[error("{0} bytes are more than the memory of such a machine")]
    TooLong(u64),
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its length.
    pub len_bytes: u64,
    /// Before it was packed.
    pub unpacked_bytes: u64,
    /// BLAKE3, in hex.
    pub blake3: String,
}

impl From<&Image> for Packed {
    fn from(image: &Image) -> Packed {
        Packed {
            len_bytes: image.len_bytes,
            unpacked_bytes: image.unpacked_bytes,
            blake3: image.blake3.clone(),
        }
    }
}

impl Packed {
    /// May a machine with so much memory have this?
    ///
    /// # Errors
    /// [`ImageError::TooLong`].
    pub fn fits(&self, memory_bytes: u64) -> Result<(), ImageError> {
        let most = memory_bytes.saturating_add(memory_bytes / 8).saturating_add(BESIDE_MEMORY_BYTES);
        let longest = self.len_bytes.max(self.unpacked_bytes);
        if longest > most { Err(ImageError::TooLong(longest)) } else { Ok(()) }
    }
}

/// The file of an image, in its agent's folder.
#[must_use]
pub fn file_name(id: Uuid) -> String {
    format!("{PREFIX}{id}{WHOLE}")
}

fn part_name(id: Uuid) -> String {
    format!("{PREFIX}{id}{PART}")
}

/// Begins a file, not yet under its name.
///
/// # Errors
/// The file system's.
pub fn begin(folder: &Path, id: Uuid) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    options.open(folder.join(part_name(id)))
}

/// A file without a name: it is gone when it is closed.
///
/// # Errors
/// The file system's.
pub fn unnamed(folder: &Path, id: Uuid) -> io::Result<File> {
    let file = begin(folder, id)?;
    std::fs::remove_file(folder.join(part_name(id)))?;
    Ok(file)
}

/// Gives a file its name; it is there after a crash from now on.
///
/// # Errors
/// The file system's.
pub fn finish(folder: &Path, id: Uuid) -> io::Result<()> {
    durable::rename(&folder.join(part_name(id)), &folder.join(file_name(id)))
}

/// Removes every image in a folder but one, the begun ones too.
///
/// # Errors
/// The file system's.
pub fn sweep(folder: &Path, keep: Option<Uuid>) -> io::Result<()> {
    let kept = keep.map(file_name);
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let image = name.starts_with(PREFIX) && (name.ends_with(WHOLE) || name.ends_with(PART));
        if image && kept.as_deref() != Some(name) {
            std::fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

/// Writes that are counted and hashed on the way.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Packs a stream to its end into a file, and makes the file's content durable.
///
/// # Errors
/// The stream's or the file system's.
pub fn pack(mut stream: impl Read, file: &File) -> io::Result<Packed> {
    let hashed = Hashed { inner: file, hasher: blake3::Hasher::new(), bytes: 0 };
    let mut encoder = zstd::Encoder::new(hashed, LEVEL)?;
    let unpacked_bytes = io::copy(&mut stream, &mut encoder)?;
    let hashed = encoder.finish()?;
    file.sync_all()?;
    let blake3 = hashed.hasher.finalize().to_hex().to_string();
    Ok(Packed { len_bytes: hashed.bytes, unpacked_bytes, blake3 })
}

/// Opens an image and compares all of it with what it must be.
///
/// # Errors
/// [`ImageError`].
pub fn open(folder: &Path, id: Uuid, packed: &Packed) -> Result<File, ImageError> {
    let mut file = File::open(path(folder, id))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
    if bytes != packed.len_bytes || hasher.finalize().to_hex().as_str() != packed.blake3 {
        return Err(ImageError::Damaged);
    }
    file.rewind()?;
    Ok(file)
}

/// Where an image is.
#[must_use]
pub fn path(folder: &Path, id: Uuid) -> PathBuf {
    folder.join(file_name(id))
}

/// Unpacks a file that was compared, to whoever takes it.
///
/// # Errors
/// [`ImageError::Damaged`] if it holds more or less than was said; else the file's or the taker's.
pub fn unpack(file: File, packed: &Packed, mut taker: impl Write) -> Result<(), ImageError> {
    let decoder = zstd::Decoder::new(BufReader::with_capacity(PIECE_BYTES, file))?;
    let bytes = io::copy(&mut decoder.take(packed.unpacked_bytes.saturating_add(1)), &mut taker)?;
    taker.flush()?;
    if bytes == packed.unpacked_bytes { Ok(()) } else { Err(ImageError::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path, id: Uuid, bytes: &[u8]) -> Packed {
        let packed = pack(bytes, &begin(folder, id).unwrap()).unwrap();
        finish(folder, id).unwrap();
        packed
    }

    #[test]
    fn what_was_packed_comes_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(1);
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = kept(folder.path(), id, &bytes);
        assert_eq!(packed.unpacked_bytes, bytes.len() as u64);
        let mut back = Vec::new();
        unpack(open(folder.path(), id, &packed).unwrap(), &packed, &mut back).unwrap();
        assert!(back == bytes);
        // Another length than was said.
        let less = Packed { unpacked_bytes: packed.unpacked_bytes - 1, ..packed.clone() };
        let opened = open(folder.path(), id, &packed).unwrap();
        assert!(matches!(unpack(opened, &less, Vec::new()), Err(ImageError::Damaged)));
        // Other bytes than were written; a file that was cut; none.
        let file = path(folder.path(), id);
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for other in [&flipped[..], &whole[..whole.len() - 1], &[]] {
            std::fs::write(&file, other).unwrap();
            assert!(matches!(open(folder.path(), id, &packed), Err(ImageError::Damaged)));
        }
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(open(folder.path(), id, &packed), Err(ImageError::Io(_))));
    }

    #[test]
    fn a_sweep_leaves_the_one_that_is_needed_and_every_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let (keep, old, begun) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        kept(folder.path(), keep, b"x");
        kept(folder.path(), old, b"y");
        begin(folder.path(), begun).unwrap();
        std::fs::write(folder.path().join("qemu.log"), "z").unwrap();
        sweep(folder.path(), Some(keep)).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["qemu.log".to_owned(), file_name(keep)]);
        sweep(folder.path(), None).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_site_is_sent_more_than_the_machine_has() {
        let packed = |len_bytes, unpacked_bytes| Packed { len_bytes, unpacked_bytes, blake3: String::new() };
        assert!(packed(1 << 30, 1 << 30).fits(1 << 30).is_ok());
        assert!(packed(2 << 30, 1).fits(1 << 30).is_err() && packed(1, 2 << 30).fits(1 << 30).is_err());
    }
}
