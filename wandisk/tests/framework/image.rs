//! A raw image beside the disks: what they must be identical to.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{MIB, World, tool};

#[derive(Clone, Debug)]
pub struct Image {
    path: PathBuf,
}

impl Image {
    /// All zeros, sparse.
    pub fn sparse(world: &World, name: &str, size: u64) -> Image {
        let path = world.file(name);
        std::fs::File::create_new(&path).unwrap().set_len(size).unwrap();
        Image { path }
    }

    /// A real ext4 filesystem with real files in it.
    pub fn ext4(world: &World, size: u64) -> Image {
        let image = Image::sparse(world, "ext4.img", size);
        let path = image.path.to_str().unwrap();
        let files = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        tool("mkfs.ext4", &["-q", "-F", "-d", files, path]);
        image
    }

    /// `mib` MiB of bytes that do not compress, the same for the same seed, then zeros up to `size`.
    pub fn noise(world: &World, name: &str, size: u64, mib: u64, seed: u64) -> Image {
        let image = Image::sparse(world, name, size);
        let mut bytes = vec![0u8; usize::try_from(mib * MIB).unwrap()];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        image.open().write_all_at(&bytes, 0).unwrap();
        image
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn open(&self) -> std::fs::File {
        OpenOptions::new().read(true).write(true).open(&self.path).unwrap()
    }

    /// The same write as was made to the disk.
    pub fn write(&self, pattern: u8, offset: u64, len: u64) {
        self.open().write_all_at(&vec![pattern; usize::try_from(len).unwrap()], offset).unwrap();
    }

    pub fn grow(&self, size: u64) {
        self.open().set_len(size).unwrap();
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// Chunks of so many bytes that are not all zero.
    pub fn chunks_with_data(&self, chunk: u64) -> u64 {
        let bytes = self.bytes();
        let chunks = bytes.chunks(usize::try_from(chunk).unwrap());
        chunks.filter(|c| c.iter().any(|b| *b != 0)).count() as u64
    }
}
