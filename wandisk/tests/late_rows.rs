//! Rows that come late (of a sync, of an aborted attempt) never change a table that was prepared, granted or is newer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use wandisk::engine::{Access, Engine, MetaError, RowsError, WireRow};
use wandisk_store::{
    Attempt, AttemptId, DiskDir, DiskId, DiskMeta, Epoch, KnownSite, LineageId, OpenError, Residency, SiteId,
    TableDigest, Version,
};

struct Replica {
    engine: Arc<Engine>,
    attempt: Attempt,
    _folder: tempfile::TempDir,
}

async fn replica() -> Replica {
    let folder = tempfile::tempdir().unwrap();
    let (here, there, lineage) = (SiteId::random(), SiteId::random(), LineageId::random());
    let site = KnownSite::named(here, "here");
    let meta = DiskMeta {
        resident: there,
        residency: Residency::Replica,
        sites: vec![KnownSite::named(there, "there"), site.clone()],
        ..DiskMeta::new(DiskId::random(), 1 << 20, 65536, lineage, site)
    };
    let dir = DiskDir::new(folder.path().join("d"), "d");
    dir.create(&meta, |_, _, _, _| Ok::<(), OpenError>(())).unwrap();
    let lock = dir.lock().unwrap();
    let engine = Engine::open(&dir, lock, tokio::runtime::Handle::current()).await.unwrap();
    let attempt = Attempt {
        id: AttemptId::random(),
        from: there,
        to: here,
        lineage,
        epoch: Epoch(2),
        digest: TableDigest::default(),
    };
    Replica { engine, attempt, _folder: folder }
}

impl Replica {
    async fn stands(&self, residency: Residency) {
        let changed = self.engine.change_meta(move |meta| {
            meta.residency = residency;
            Ok::<(), MetaError>(())
        });
        changed.await.unwrap();
    }

    fn version(&self) -> u64 {
        self.engine.row(3).version.counter()
    }
}

fn row(counter: u64) -> [WireRow; 1] {
    [WireRow { chunk: 3, version: Version::new(0, counter), owner: 0, holders: 1, zero: false }]
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_a_replicas_to_take() {
    let replica = replica().await;
    replica.engine.adopt_rows(&row(7)).await.unwrap();
    let attempt = replica.attempt;
    for residency in [
        Residency::Prepared { attempt },
        Residency::Resident,
        Residency::Released { attempt },
        Residency::Overtaken { epoch: Epoch(9), resident: attempt.from },
    ] {
        replica.stands(residency.clone()).await;
        let refused = |result| matches!(result, Err(RowsError::NotReplica));
        assert!(refused(replica.engine.adopt_rows(&row(9)).await), "{residency:?}");
        assert!(
            refused(replica.engine.adopt_newer_rows(replica.attempt.lineage, &row(9)).await),
            "{residency:?}"
        );
        assert!(refused(replica.engine.forget_rows_except(&BTreeSet::new()).await), "{residency:?}");
        assert_eq!(replica.version(), 7, "{residency:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_asked_for_before_a_newer_one_came_is_left_out() {
    let replica = replica().await;
    replica.engine.adopt_rows(&row(7)).await.unwrap();
    replica.engine.adopt_newer_rows(replica.attempt.lineage, &row(5)).await.unwrap();
    assert_eq!(replica.version(), 7);
    replica.engine.adopt_newer_rows(replica.attempt.lineage, &row(8)).await.unwrap();
    assert_eq!(replica.version(), 8);
    // A whole table is the table, whatever was here.
    replica.engine.adopt_rows(&row(5)).await.unwrap();
    assert_eq!(replica.version(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_lineage_that_was_left_meanwhile_are_not_taken() {
    let replica = replica().await;
    let left = replica.attempt.lineage;
    let joined = replica.engine.change_meta(|meta| {
        meta.lineages.push(LineageId::random());
        Ok::<(), MetaError>(())
    });
    joined.await.unwrap();
    assert!(matches!(replica.engine.adopt_rows_of(left, &row(7)).await, Err(RowsError::NotReplica)));
    assert!(matches!(replica.engine.adopt_newer_rows(left, &row(7)).await, Err(RowsError::NotReplica)));
    assert!(!replica.engine.row(3).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_disk_is_no_longer_resident_it_is_shut_whatever_made_it_so() {
    let replica = replica().await;
    replica.stands(Residency::Resident).await;
    replica.engine.thaw().await;
    assert_eq!(replica.engine.access(), Access::Open);
    replica.stands(Residency::Overtaken { epoch: Epoch(9), resident: replica.attempt.from }).await;
    assert_eq!(replica.engine.access(), Access::Closed);
}
