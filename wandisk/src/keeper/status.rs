//! `wandisk status`: everything known here of a disk, within two seconds whatever is unreachable; at once if no other site is to
//! be asked.

use std::time::Duration;

use serde_json::{Value, json};
use wandisk_store::Residency;

use super::Keeper;
use crate::engine::Tally;
use crate::peer::error::Refusal;

/// A site that does not answer by then is shown as unreachable.
const ASK_SITES: Duration = Duration::from_millis(1500);
/// Characters of a chunk map.
const MAP_MAX: u64 = 1 << 20;

impl Keeper {
    /// The disk's status as `status --json` prints it; `here`: without what other sites would say, so that nothing is waited for.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn status(&self, with_chunks: bool, here: bool) -> Result<Value, Refusal> {
        let meta = self.engine.meta();
        let Tally { counts, owned_here, only_here } = self.engine.tally();
        let attached = self.attached_as().await;
        let allocated = self.engine.image().allocated_bytes().unwrap_or(0);
        let mut status = json!({
            "disk": self.engine.dir().name(),
            "uuid": meta.uuid,
            "lineage": meta.lineage(),
            "forks": meta.forks,
            "leaving": meta.leaving,
            "size": meta.size_bytes,
            "chunk_size": meta.chunk_size,
            "epoch": meta.epoch,
            "site": self.home.name(),
            "resident": self.site_name(meta.resident),
            "residency": residency_name(&meta.residency),
            "attached": attached.is_some(),
            "device": attached.as_ref().and_then(|a| a.device.clone()),
            "uri": attached.as_ref().and_then(|a| a.uri.clone()),
            "pid": std::process::id(),
            "access": format!("{:?}", self.engine.access()).to_lowercase(),
            "poisoned": self.engine.is_poisoned(),
            "failure": self.engine.failure(),
            "consistent_at": meta.consistent_at,
            "kept_moment": meta.kept_moment,
            "allocated_bytes": allocated,
            "chunks": {
                "total": meta.chunks(),
                "never_written": meta.chunks() - counts.written,
                "written": counts.written,
                "held": counts.held,
                "stale": counts.stale,
                "absent": counts.absent,
                "zero": counts.zero,
                "owned_here": owned_here,
                "only_here": only_here,
                "lost": self.engine.lost_chunks().len(),
                "overlaid": self.engine.overlaid_chunks(),
            },
            "io": self.engine.io_stats(),
            "fetch": self.engine.fetch_stats().to_json(),
            "scrub": self.scrub_status(),
            "quiesced_ms": self.engine.quiesced_to().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            "sites": if here { Vec::new() } else { self.site_list().await },
        });
        status["fetch"]["prefetch_unused_bytes"] = json!(self.engine.prefetch_unused_bytes());
        if let Residency::Released { attempt } | Residency::Prepared { attempt } = &meta.residency {
            status["attempt"] = json!({
                "id": attempt.id, "from": self.site_name(attempt.from),
                "to": self.site_name(attempt.to), "epoch": attempt.epoch,
            });
        }
        if with_chunks {
            status["map"] = json!(self.chunk_map());
        }
        Ok(status)
    }

    async fn site_list(&self) -> Vec<Value> {
        let meta = self.engine.meta();
        let meta = &meta;
        let others = meta.sites.iter().filter(|s| s.id != meta.here);
        let asked = others.map(|site| async move {
            let answer = tokio::time::timeout(ASK_SITES, self.peers.standing_of(site.id)).await;
            let standing = answer.ok().and_then(Result::ok);
            let same = standing.as_ref().filter(|s| s.facts.lineages == meta.lineages);
            let current = same.filter(|s| s.counter >= meta.counter || s.facts.epoch >= meta.epoch);
            let missing = current.map(|s| s.missing_chunks);
            json!({
                "name": self.site_name(site.id),
                "uuid": site.id,
                "reachable": standing.is_some(),
                "rtt_ms": self.peers.rtt(site.id).map(|d| d.as_secs_f64() * 1e3),
                "complete": missing.map(|m| m == 0),
                "missing_chunks": missing,
                "synced_at": standing.as_ref().and_then(|s| s.consistent_at).or(site.synced_at),
                "lineage": standing.as_ref().and_then(|s| s.facts.lineages.last().copied()),
                "diverged": standing.as_ref().map(|s| s.facts.lineages != meta.lineages),
                "lost": meta.lost.contains(&site.id),
                "epoch": standing.as_ref().map(|s| s.facts.epoch),
                "residency": standing.as_ref().map(|s| residency_name(&s.residency)),
            })
        });
        futures::future::join_all(asked).await
    }

    /// One letter a chunk: `.` never written, `0` zero, `h` held, `s` stale, `a` absent.
    fn chunk_map(&self) -> String {
        let chunks = self.engine.meta().chunks().min(MAP_MAX);
        (0..chunks)
            .map(|chunk| {
                let row = self.engine.row(chunk);
                match () {
                    () if !row.exists() => '.',
                    () if row.zero => '0',
                    () if self.engine.has(chunk) => 'h',
                    () if !row.held.is_none() => 's',
                    () => 'a',
                }
            })
            .collect()
    }
}

fn residency_name(residency: &Residency) -> &'static str {
    match residency {
        Residency::Resident => "resident",
        Residency::Replica => "replica",
        Residency::Prepared { .. } => "prepared",
        Residency::Released { .. } => "released",
        Residency::Overtaken { .. } => "overtaken",
    }
}
