//! What an unclean end left behind (laws L3, L4).
//!
//! *The process died, the machine lives*: the intent map of this boot says which chunks hold newer bytes than their
//! durable row, which were being replaced, and of which only some sectors were written. All bytes are in the page cache: nothing acknowledged is lost.
//!
//! *The machine died*: only hot extents are suspect. At the resident, a chunk held at its current version counts as
//! modified, a chunk without a row whose bytes are not zero counts as modified, and a chunk not held stays not held.
//! Elsewhere nothing is written but fetched bytes, and rows of those never lead.

use wandisk_store::data::is_zero;
use wandisk_store::{Batch, Image, Intent, Intents, Store, Table, Version};

use super::marks::MarkLimits;
use super::{EngineError, State};

pub(super) async fn recover<S: Store>(
    state: &mut State,
    (data, map, committer): (&S::Image, &S::Intents, &S::Table),
    left: Option<Vec<(u64, Intent)>>,
    limits: MarkLimits,
) -> Result<(), EngineError> {
    let hot = state.extents.all();
    let sync_failed = map.noted_failure();
    let was_clean = hot.is_empty() && left.as_ref().is_none_or(Vec::is_empty);
    if was_clean {
        return Ok(());
    }
    let chunks = state.meta.chunks();
    match left {
        Some(intents) => {
            tracing::info!(chunks = intents.len(), "the last keeper died: its intents are taken up");
            let intents: Vec<_> = intents.into_iter().filter(|(c, _)| *c < chunks).collect();
            if sync_failed {
                tracing::warn!("its store had failed: what it wrote is written again");
                S::blocking(|| intents.iter().try_for_each(|(c, _)| write_again(data, *c)))
                    .map_err(EngineError::Data)?;
            }
            intents
                .into_iter()
                .try_for_each(|(c, i)| take_up(state, data, map, c, i))
                .map_err(EngineError::Data)?;
        }
        None => {
            tracing::info!(extents = hot.len(), "the machine went down: hot extents are looked through");
            S::blocking(|| suspect_extents(state, data, &hot, limits)).map_err(EngineError::Data)?;
        }
    }
    // Data first, row second: the bytes may be in the page cache only.
    S::blocking(|| data.sync()).map_err(EngineError::Data)?;
    state.extents.clear();
    let batch = Batch {
        pages: state.table.take_changed(),
        digest: Some(state.table.stored_digest()),
        hot_clear: true,
        overlays: state.overlays.take_changed(),
        ..Batch::default()
    };
    committer.commit(batch).await.map_err(EngineError::Table)
}

/// After a failed sync the kernel calls pages clean that never reached the medium, and the next sync succeeds without
/// them (law L8). Written again they are dirty again.
fn write_again(data: &impl Image, chunk: u64) -> std::io::Result<()> {
    if data.has_blocks(chunk) {
        data.write_chunk(chunk, &data.read_chunk(chunk)?)
    } else {
        data.punch_chunk(chunk)
    }
}

fn take_up(
    state: &mut State,
    data: &impl Image,
    map: &impl Intents,
    chunk: u64,
    intent: Intent,
) -> std::io::Result<()> {
    let mut row = state.table.get(chunk);
    match intent {
        Intent::Modified if state.meta.is_resident() => {
            let row = state.new_version(!data.has_blocks(chunk));
            state.table.set(chunk, row);
            state.overlays.close(chunk);
        }
        Intent::Overlaid if state.meta.is_resident() && row.exists() && !row.is_held() => {
            let sectors = map.sectors(chunk, state.meta.chunk_size)?;
            state.overlays.take_up(chunk, row.version, &sectors);
            row.held = Version::NONE;
            state.table.set(chunk, row);
        }
        // Half-replaced bytes are no version; neither is what a non-resident is said to have modified.
        Intent::Modified | Intent::Replacing | Intent::Overlaid if row.exists() => {
            row.held = Version::NONE;
            state.table.set(chunk, row);
        }
        _ => {}
    }
    Ok(())
}

fn suspect_extents(
    state: &mut State,
    data: &impl Image,
    hot: &[u64],
    limits: MarkLimits,
) -> std::io::Result<()> {
    let per_extent = limits.extent_chunks(state.meta.chunk_size);
    let resident = state.meta.is_resident();
    for extent in hot {
        let range = extent * per_extent..((extent + 1) * per_extent).min(state.meta.chunks());
        for chunk in range {
            let mut row = state.table.get(chunk);
            if row.exists() && !row.is_held() {
                // Its basis may be half overwritten by a write that covered all of it.
                row.held = Version::NONE;
                state.table.set(chunk, row);
            } else if resident && (row.exists() || data.has_blocks(chunk)) {
                let zero = !data.has_blocks(chunk) || is_zero(&data.read_chunk(chunk)?);
                if row.exists() || !zero {
                    let row = state.new_version(zero);
                    state.table.set(chunk, row);
                }
            }
        }
    }
    Ok(())
}
