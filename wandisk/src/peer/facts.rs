//! Taking in what a peer says of the disk as a whole.

use wandisk_link::Address;
use wandisk_store::SiteId;
use wandisk_store::meta::DISK_SIZE_MAX;
use wandisk_store::{DiskMeta, Fork};

use super::error::{Code, Refusal};
use super::limits::ADDRESS_MAX;
use super::message::Facts;
use crate::engine::Engine;
use crate::handover::apply::{DIVERGED_HINT, apply_named};
use crate::handover::lineage::parted;
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
        && facts.sites.iter().any(|s| s.id == facts.resident)
        && (facts.forks.len() < facts.lineages.len());
    let alone = |id: &SiteId| facts.sites.iter().filter(|s| s.id == *id).count() == 1;
    let once = facts.sites.iter().all(|s| alone(&s.id))
        && (1..facts.lineages.len()).all(|i| !facts.lineages[..i].contains(&facts.lineages[i]));
    let names = facts.sites.iter().map(|s| &s.name).chain([&facts.name]);
    let named = names.into_iter().all(|n| wandisk_store::home::check_name(n).is_ok());
    let reachable = facts.sites.iter().filter_map(|s| s.address.as_deref()).all(is_host);
    if sizes && lists && once && named && reachable {
        return Ok(());
    }
    Err(Refusal::new(Code::Senseless, "the far side describes a disk that cannot be"))
}

/// Is it the address of a host? A peer may tell where a site is, never what this machine is to run: a command is for
/// its own people to add.
#[must_use]
pub fn is_host(address: &str) -> bool {
    address.len() <= ADDRESS_MAX && matches!(Address::parse(address), Ok(Address::Ssh(_)))
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
    if facts.lineages == meta.lineages && known && facts.epoch <= meta.epoch {
        return Ok(());
    }
    if facts.lineages != meta.lineages {
        return Err(diverged(&meta, facts));
    }
    let facts = facts.clone();
    let sites_max = || Refusal::new(Code::Rules, "the disk knows too many sites");
    let new = facts.sites.iter().filter(|s| meta.site_number(s.id).is_none()).count();
    if meta.sites.len() + new > wandisk_store::meta::SITES_MAX {
        return Err(sites_max());
    }
    apply_named(engine, move |meta| {
        for site in &facts.sites {
            // What this site calls itself is its own to say.
            let address = site.address.as_deref().filter(|_| site.id != meta.here);
            meta.learn_site(site.id, &site.name, address);
        }
        rules::hear(meta, meta.lineage(), facts.epoch, facts.resident)
    })
    .await
}

/// Names two lineages of one disk: who left the other's, when, and what can be done.
#[must_use]
pub fn diverged(ours: &DiskMeta, theirs: &Facts) -> Refusal {
    let name = |id| {
        let told = theirs.sites.iter().find(|s| s.id == id).map(|s| s.name.clone());
        told.unwrap_or_else(|| ours.site_name(id))
    };
    let told = |who: &str, fork: &Fork| {
        format!(
            "{who} is in lineage {}, begun by a takeover at {} from epoch {}",
            fork.lineage,
            name(fork.by),
            fork.epoch
        )
    };
    let here = parted(&theirs.lineages, &ours.lineages, &ours.forks).map(|f| told("this site", f));
    let there = parted(&ours.lineages, &theirs.lineages, &theirs.forks).map(|f| told("the other", f));
    let forks: Vec<String> = here.into_iter().chain(there).collect();
    let forks = if forks.is_empty() { String::new() } else { format!(" ({})", forks.join("; ")) };
    Refusal::new(
        Code::Diverged,
        format!(
            "the replicas have diverged: lineage {} here, {} at the other site{forks}",
            ours.lineage(),
            theirs.lineages.last().copied().unwrap_or_else(|| ours.lineage())
        ),
    )
    .hint(DIVERGED_HINT)
}

/// The sender's site numbers in ours, learning sites that are new.
///
/// # Errors
/// If the facts are refused.
pub async fn numbers_of(engine: &Engine, facts: &Facts) -> Result<Vec<u8>, Refusal> {
    learn(engine, facts).await?;
    let meta = engine.meta();
    let numbers = facts.sites.iter().map(|s| meta.site_number(s.id)).collect::<Option<Vec<u8>>>();
    numbers.ok_or_else(|| Refusal::new(Code::Senseless, "the far side names sites that were not learnt"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::message::FactSite;
    use wandisk_store::{DiskId, Epoch, LineageId};

    fn facts() -> Facts {
        let id = SiteId::random();
        Facts {
            uuid: DiskId::random(),
            name: "d".to_owned(),
            size_bytes: 1 << 30,
            size_counter: 1,
            chunk_size: 128 << 10,
            lineages: vec![LineageId::random()],
            forks: Vec::new(),
            epoch: Epoch(1),
            resident: id,
            sites: vec![FactSite { id, name: "a".to_owned(), address: Some("ssh://me@big:2222".to_owned()) }],
            counter: 7,
        }
    }

    fn with(change: impl FnOnce(&mut Facts)) -> bool {
        let mut facts = facts();
        change(&mut facts);
        check(&facts).is_ok()
    }

    #[test]
    fn facts_that_can_be_are_taken() {
        assert!(with(|_| {}));
        assert!(with(|f| f.sites[0].address = None));
    }

    /// What a peer told as a site's address was dialled, commands of its own included.
    #[test]
    fn a_peer_cannot_name_a_program_to_run() {
        for address in ["cmd:touch /tmp/owned", "cmd:ssh big", "ssh://-oProxyCommand=x", "/bin/sh", ""] {
            assert!(!with(|f| f.sites[0].address = Some(address.to_owned())), "{address}");
        }
        assert!(!with(|f| f.sites[0].address = Some(format!("ssh://{}", "a".repeat(600)))));
    }

    #[test]
    fn facts_that_contradict_themselves_are_refused() {
        assert!(!with(|f| f.sites.push(f.sites[0].clone())), "a site twice");
        assert!(!with(|f| f.lineages.push(f.lineages[0])), "its own ancestor");
        assert!(!with(|f| f.resident = SiteId::random()), "a resident that is no site");
        assert!(!with(|f| f.sites[0].name = "a\nb".to_owned()));
        assert!(!with(|f| f.name = "../x".to_owned()));
        assert!(!with(|f| f.size_bytes = 0));
        assert!(!with(|f| f.size_bytes = DISK_SIZE_MAX + 512));
        assert!(!with(|f| f.chunk_size = 1 << 23));
    }
}
