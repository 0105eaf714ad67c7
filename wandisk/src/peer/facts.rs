//! Taking in what a peer says of the disk as a whole.

use wandisk_store::meta::DISK_SIZE_MAX;

use super::error::{Code, Refusal};
use super::message::Facts;
use crate::engine::{Engine, MetaError};
use crate::handover::rules;

/// Checks facts of a peer for sense: they are foreign.
///
/// # Errors
/// A sentence about the first thing that cannot be.
pub fn check(facts: &Facts) -> Result<(), Refusal> {
    let sizes = wandisk_store::meta::CHUNK_SIZE_RANGE.contains(&facts.chunk_size)
        && facts.chunk_size.is_power_of_two()
        && facts.size_bytes > 0
        && facts.size_bytes.is_multiple_of(512)
        && facts.size_bytes <= DISK_SIZE_MAX;
    let lists = (1..=wandisk_store::meta::LINEAGES_MAX).contains(&facts.lineages.len())
        && (1..=wandisk_store::meta::SITES_MAX).contains(&facts.sites.len())
        && facts.sites.iter().any(|s| s.id == facts.resident);
    let names = facts.sites.iter().map(|s| &s.name).chain([&facts.name]);
    let named = names.into_iter().all(|n| wandisk_store::home::check_name(n).is_ok());
    if sizes && lists && named {
        return Ok(());
    }
    Err(Refusal::new(Code::Senseless, "the far side describes a disk that cannot be"))
}

/// Learns sites, a newer epoch and its resident from facts, durably. Numbers follow with [`numbers_of`].
///
/// # Errors
/// If the disks or lineages differ, the facts make no sense, or the store fails.
pub async fn learn(engine: &Engine, facts: &Facts) -> Result<(), Refusal> {
    check(facts)?;
    let meta = engine.meta();
    if facts.uuid != meta.uuid || facts.chunk_size != meta.chunk_size {
        return Err(Refusal::new(Code::Senseless, format!("disk {} is not disk {}", facts.uuid, meta.uuid)));
    }
    let known = facts.sites.iter().all(|s| meta.sites.iter().any(|k| k.id == s.id && k.name == s.name));
    if known && facts.epoch <= meta.epoch && facts.lineages == meta.lineages {
        return Ok(());
    }
    let facts = facts.clone();
    let changed = engine.change_meta(move |meta| {
        for site in &facts.sites {
            // What this site calls itself is its own to say.
            let address = site.address.as_deref().filter(|_| site.id != meta.here);
            let learnt = meta.learn_site(site.id, &site.name, address);
            learnt.ok_or_else(|| MetaError::Refused("the disk knows too many sites".to_owned()))?;
        }
        let lineage = facts.lineages.last().copied().unwrap_or_else(|| meta.lineage());
        rules::hear(meta, lineage, facts.epoch, facts.resident).map_err(|e| MetaError::Refused(e.to_string()))
    });
    changed.await.map(drop).map_err(|e| match e {
        MetaError::Refused(why) => Refusal::new(Code::Rules, why),
        MetaError::Engine(e) => Refusal::failed(&e),
    })
}

/// The sender's site numbers in ours, learning sites that are new. `None` if the facts are refused.
pub async fn numbers_of(engine: &Engine, facts: &Facts) -> Option<Vec<u8>> {
    learn(engine, facts).await.ok()?;
    let meta = engine.meta();
    facts.sites.iter().map(|s| meta.site_number(s.id)).collect()
}
