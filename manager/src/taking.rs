//! The memory of a suspended agent comes from another site, for a QEMU that listens here.
//!
//! What comes is kept in a file without a name until all of it is here and is what was said (length and BLAKE3); only then QEMU
//! gets its first byte. Nothing of it is left here when this ends, however it ends: the image stays at the site that sent it until
//! the agent runs here.
//!
//! Fault model: too much, too little or something else comes, or nothing for a long time; the file system is full; QEMU ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::time::timeout;
use uuid::Uuid;

use crate::agent::command_line::names;
use crate::agent::store::Store;
use crate::control::{self, Here, Request, folder};
use crate::supervisor::feed;
use crate::supervisor::image::{Packed, unnamed};

/// Whoever sends nothing for so long is gone.
const SILENT: Duration = Duration::from_secs(60);
/// QEMU has all and does its last things.
const SETTLES: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 256 << 10;

/// Takes an image and has the agent's QEMU take it.
///
/// # Errors
/// In a sentence, for the other site.
pub async fn take(
    here: &Here,
    agent: &str,
    attempt: Uuid,
    packed: Packed,
    peer: &mut (impl AsyncRead + Unpin),
) -> Result<()> {
    let kept = Store::open(&here.home)?.agent(agent)?;
    packed.fits(kept.agent.memory_bytes)?;
    let folder = folder(&here.home, agent);
    let file = received(&folder, attempt, &packed, peer).await?;
    let taker = control::connect(&folder, names::ARRIVING).await;
    let taker = taker.context("the agent's QEMU does not listen")?;
    if let Err(why) = feed(file, packed, taker).await {
        bail!("QEMU did not take it: {why}");
    }
    here.ask(agent, &Request::Loaded { attempt }, SETTLES, |_| ()).await?;
    Ok(())
}

/// All of it, compared with what was said, and at its beginning.
async fn received(
    folder: &Path,
    attempt: Uuid,
    packed: &Packed,
    peer: &mut (impl AsyncRead + Unpin),
) -> Result<std::fs::File> {
    let file = unnamed(folder, attempt).context("no file can be made for its memory")?;
    let mut file = tokio::fs::File::from_std(file);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = packed.len_bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let read = timeout(SILENT, peer.read(&mut piece[..most])).await;
        let read = read.context("nothing came for too long")??;
        if read == 0 {
            bail!("the other site ended in the middle of it");
        }
        hasher.update(&piece[..read]);
        file.write_all(&piece[..read]).await.context("its memory could not be kept")?;
        left -= read as u64;
    }
    file.flush().await.context("its memory could not be kept")?;
    if hasher.finalize().to_hex().as_str() != packed.blake3 {
        bail!("what came is not what was said: the link or a disk has changed it");
    }
    file.rewind().await?;
    Ok(file.into_std().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_said_is_taken_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![7; 3 * PIECE_BYTES + 5];
        let packed = Packed {
            len_bytes: bytes.len() as u64,
            unpacked_bytes: 1,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        };
        let take =
            async |mut from: &[u8]| received(folder.path(), Uuid::from_u128(1), &packed, &mut from).await;
        let mut file = take(&bytes).await.unwrap();
        let mut back = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut back).unwrap();
        assert!(back == bytes);
        let mut other = bytes.clone();
        other[PIECE_BYTES] ^= 1;
        for (from, word) in [(&other[..], "not what was said"), (&bytes[1..], "in the middle")] {
            let error = take(from).await.unwrap_err();
            assert!(error.to_string().contains(word), "{error:#}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
