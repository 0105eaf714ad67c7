//! A replica says from when it is (law L13): what is kept is of one moment, and the facts never call a mixture one.

use std::sync::Arc;

use wandisk_store::{DiskMeta, Residency, Version};

use super::fake::Site;
use super::judge::{Care, Judge};
use super::world::{Begin, Rig, limits, site};
use crate::engine::WireRow;

/// The moment that the replica is of.
const MOMENT: u64 = 9;

/// A replica that is of one moment, at a store that can keep moments.
fn replica(chunks: [Begin; 3], kept_moment: Option<u64>) -> Arc<Site> {
    let site = site(Residency::Replica, chunks);
    {
        let mut inner = site.lock();
        inner.kept = Some(Vec::new());
        let meta = DiskMeta::clone(&inner.machine.table.meta);
        inner.machine.table.meta = Arc::new(DiskMeta { consistent_at: Some(MOMENT), kept_moment, ..meta });
    }
    site
}

fn newer(chunk: u64) -> WireRow {
    WireRow { chunk, version: Version::new(0, 30 + chunk), owner: 1, holders: 2, zero: false }
}

fn rig(site: &Arc<Site>) -> (Judge, Rig) {
    let judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), site, limits(8));
    (judge, rig)
}

/// The second of two pushes once kept what the first had already mixed.
#[test]
fn of_rows_that_come_at_once_the_first_keeps_the_moment_before_all() {
    let site = replica([Begin::Shared; 3], None);
    let (judge, rig) = rig(&site);
    site.lock().waiting = Some(Vec::new());
    judge.runtime().block_on(async {
        let commits = async {
            for _ in 0..40 {
                tokio::task::yield_now().await;
                site.commit_waiting();
            }
        };
        let [first, second] = [[newer(0)], [newer(1)]];
        let lineage = rig.engine.meta().lineage();
        let adopted = futures::join!(
            rig.engine.adopt_newer_rows(lineage, &first),
            rig.engine.adopt_newer_rows(lineage, &second),
            commits
        );
        adopted.0.expect("the store is well");
        adopted.1.expect("the store is well");
    });
    let kept = site.lock().kept.take().unwrap_or_default();
    assert_eq!(kept.len(), 1);
    let then = kept[0].table.load();
    assert_eq!(then.meta.consistent_at, Some(MOMENT));
    for chunk in 0..3 {
        assert_eq!(then.table.get(chunk).version, Version::new(0, 10 + chunk), "chunk {chunk}");
    }
    let meta = rig.engine.meta();
    assert_eq!((meta.consistent_at, meta.kept_moment), (None, Some(MOMENT)));
}

#[test]
fn whatever_dies_no_table_of_two_moments_is_called_one() {
    let site = replica([Begin::Shared; 3], None);
    let (judge, rig) = rig(&site);
    site.lock().moments = Some(Vec::new());
    let lineage = rig.engine.meta().lineage();
    let rows = [newer(0), newer(2)];
    let adopted = judge.runtime().block_on(rig.engine.adopt_newer_rows(lineage, &rows));
    adopted.expect("the store is well");
    site.lock().moment("the end");
    let moments = site.lock().moments.take().unwrap_or_default();
    let mut mixed = 0;
    for moment in &moments {
        let found = moment.machine.table.load();
        let is_of_then = (0..3).all(|c| found.table.get(c).version == Version::new(0, 10 + c));
        mixed += u32::from(!is_of_then);
        assert!(is_of_then || found.meta.consistent_at.is_none(), "a death before {}", moment.before);
    }
    assert!(mixed > 0 && moments.len() > 2, "{mixed} of {}", moments.len());
}

#[test]
fn a_moment_with_missing_bytes_does_not_take_the_place_of_a_whole_one() {
    let site = replica([Begin::Shared, Begin::Absent, Begin::Shared], Some(5));
    let (judge, rig) = rig(&site);
    let lineage = rig.engine.meta().lineage();
    let adopted = judge.runtime().block_on(rig.engine.adopt_newer_rows(lineage, &[newer(0)]));
    adopted.expect("the store is well");
    assert_eq!(site.lock().kept.as_ref().map(Vec::len), Some(0));
    let meta = rig.engine.meta();
    assert_eq!((meta.consistent_at, meta.kept_moment), (None, Some(5)));
}

/// A push that brings nothing new once made a complete replica one of no moment.
#[test]
fn rows_that_are_here_already_change_nothing() {
    let site = replica([Begin::Shared; 3], None);
    let (judge, rig) = rig(&site);
    let row = rig.engine.row(0);
    let same = WireRow { chunk: 0, version: row.version, owner: 0, holders: 3, zero: false };
    let lineage = rig.engine.meta().lineage();
    judge.runtime().block_on(rig.engine.adopt_newer_rows(lineage, &[same])).expect("the store is well");
    assert_eq!(rig.engine.meta().consistent_at, Some(MOMENT));
    assert_eq!(rig.engine.row(0).holders, 3, "but who has it is learnt");
}
