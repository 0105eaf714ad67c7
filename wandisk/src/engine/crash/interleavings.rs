//! The interleavings of the design that lose data under weaker laws, by their numbers, each with every crash in it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use wandisk_store::{HashRow, Residency};

use super::fake::{Moment, Site};
use super::judge::{Care, Judge};
use super::machine::bytes_of;
use super::sequences::{Step, try_story};
use super::world::{Begin, CHUNKS, Rig, limits, part_of, sectors_of, site};

const MIXED: [Begin; 3] = [Begin::Basis, Begin::Shared, Begin::Never];

/// What a death would find now.
fn as_it_is(site: &Site, before: &'static str) -> Moment {
    let inner = site.lock();
    Moment { machine: inner.machine.clone(), oracle: inner.oracle.clone(), before }
}

#[test]
fn n1_what_was_written_over_a_fetch_is_not_forgotten() {
    try_story(MIXED, 8, &[Step::Fetch(0), Step::Write(0), Step::Flush]);
    try_story([Begin::Absent; 3], 8, &[Step::WriteAll(0), Step::Flush]);
    // A part of an absent chunk, and another commit before the fetched bytes under it are durable.
    try_story([Begin::Basis, Begin::Fresh, Begin::Absent], 1, &[Step::Write(2), Step::Write(0)]);
    try_story([Begin::Basis, Begin::Fresh, Begin::Absent], 1, &[Step::WriteAll(2), Step::Write(0)]);
}

#[test]
fn n1_what_was_written_of_a_chunk_that_is_elsewhere_is_not_forgotten() {
    use Step::{Evict, Fetch, FlushUnderFetch, Publish, Trim, Write, WriteAll, WriteOther};
    try_story(MIXED, 8, &[Write(0), Step::Flush, WriteOther(0), Fetch(0), Step::Flush]);
    try_story(MIXED, 8, &[Write(0), Step::Fua(0), FlushUnderFetch(0), Write(0)]);
    try_story(MIXED, 8, &[Write(0), Step::Freeze, WriteOther(0), WriteAll(0), Step::Flush]);
    try_story(MIXED, 8, &[Write(0), Step::Flush, Trim(0), WriteOther(0)]);
    // What an earlier overlay noted is not believed of a later one.
    try_story(MIXED, 8, &[Write(0), Fetch(0), Publish(0), Evict(0), WriteOther(0)]);
}

#[test]
fn n10_a_part_that_is_no_version_does_not_change_hands() {
    try_story(MIXED, 8, &[Step::Write(0), Step::WriteOther(0), Step::Release]);
    try_story([Begin::Absent; 3], 1, &[Step::Fua(0), Step::Write(2), Step::Release]);
}

#[test]
fn n2_a_basis_in_a_marked_extent_is_not_taken_for_the_current_version() {
    try_story(MIXED, 8, &[Step::Write(1), Step::Flush, Step::Write(1)]);
}

#[test]
fn n3_a_power_cut_after_the_release_changes_no_version() {
    try_story(MIXED, 8, &[Step::Write(1), Step::WriteAll(2), Step::Release]);
}

/// As above, where the last commit of the release had not cleared the marks: only the resident's are believed.
#[test]
fn n3_marks_that_outlived_the_release_change_no_version() {
    let site = site(Residency::Resident, MIXED);
    let mut judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    judge.runtime().block_on(async {
        rig.write(part_of(1), 100).await.unwrap();
        rig.write(sectors_of(2), 101).await.unwrap();
        rig.release().await.unwrap();
    });
    site.lock().machine.table.hot.extend([0, 1]);
    let moment = as_it_is(&site, "the end");
    judge.try_moment(&moment, "released with marks");
    assert!(judge.tried.recoveries > 0);
}

#[test]
fn n4_a_version_that_left_keeps_its_bytes() {
    try_story(MIXED, 8, &[Step::Write(1), Step::Publish(1), Step::Write(1), Step::Publish(1)]);
}

#[test]
fn n5_a_chunk_trimmed_and_written_again_never_comes_back_to_an_old_version() {
    use Step::{Trim, WriteAll};
    try_story(
        MIXED,
        8,
        &[Trim(1), WriteAll(1), Trim(1), WriteAll(1), Step::Publish(1), Trim(1), WriteAll(1)],
    );
}

#[test]
fn n6_half_a_first_write_reads_the_same_here_and_after_a_move() {
    try_story(MIXED, 8, &[Step::Write(2), Step::Release]);
    try_story([Begin::ZeroOverBasis; 3], 1, &[Step::Write(0), Step::TrimPart(2), Step::Fetch(1)]);
}

#[test]
fn n7_bytes_torn_over_a_basis_are_called_no_version() {
    try_story([Begin::Basis; 3], 8, &[Step::Fetch(0), Step::WriteAll(1), Step::Publish(1)]);
    try_story([Begin::Basis; 3], 1, &[Step::Trim(2), Step::Write(0)]);
}

/// The same at a replica, whose bytes a takeover would make the disk's and which others may ask; the hash that was kept of
/// the basis is still in the table.
#[test]
fn n7_a_replica_that_dies_in_a_fetch_gives_nobody_torn_bytes() {
    let site = site(Residency::Replica, [Begin::Basis, Begin::ZeroOverBasis, Begin::Absent]);
    for chunk in 0..2 {
        let mut inner = site.lock();
        let version = inner.machine.table.load().table.get(chunk).held;
        let values = inner.oracle.elsewhere(chunk, version).expect("it was the far site's");
        let hash = *blake3::hash(&bytes_of(&values)).as_bytes();
        inner.machine.table.hashes.insert(chunk, HashRow { chunk, version, hash });
    }
    let mut judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    site.lock().moments = Some(Vec::new());
    judge.runtime().block_on(async {
        for chunk in 0..CHUNKS {
            rig.engine.bring(chunk, false).await.unwrap();
        }
        rig.flush().await.unwrap();
    });
    let moments = site.lock().moments.take().unwrap_or_default();
    moments.iter().for_each(|moment| judge.try_moment(moment, "fetching at a replica"));
    assert!(moments.len() > 6 && judge.tried.recoveries > 20, "{}", judge.tried);
}

#[test]
fn n8_a_write_that_saw_the_mark_does_not_land_under_a_closed_version() {
    try_story(MIXED, 8, &[Step::Write(1), Step::WriteAcrossPublish(1), Step::Publish(1)]);
}

/// The old bytes of a forgotten row would be read as never written if the row went first.
#[test]
fn a_forgotten_row_never_leaves_its_bytes_behind() {
    let site = site(Residency::Replica, [Begin::Basis, Begin::Shared, Begin::Shared]);
    let mut judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    site.lock().moments = Some(Vec::new());
    let kept = judge.runtime().block_on(rig.engine.forget_rows_except(&BTreeSet::from([1])));
    kept.expect("the store is well");
    site.lock().moment("the end");
    let moments: Vec<Moment> = site.lock().moments.take().unwrap_or_default();
    moments.iter().for_each(|moment| judge.try_moment(moment, "forgetting"));
    assert!(moments.len() > 6 && !rig.engine.row(0).exists() && rig.engine.row(1).is_held());
}

/// A fetch that was under way when its row was forgotten put its bytes into a chunk without a row: garbage for the guest.
#[test]
fn a_fetch_that_meets_forgetting_leaves_no_bytes_without_a_row() {
    let site = site(Residency::Replica, [Begin::Absent, Begin::Shared, Begin::Basis]);
    let mut judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    site.lock().waiting = Some(Vec::new());
    let kept = BTreeSet::from([1]);
    judge.runtime().block_on(async {
        let commits = async {
            for _ in 0..40 {
                tokio::task::yield_now().await;
                site.commit_waiting();
            }
        };
        let fetch = async {
            // The basis of chunk 2 is withdrawn by a commit, during which the rows are forgotten.
            rig.engine.bring(2, false).await.ok();
        };
        let (_, forgotten, ()) = futures::join!(fetch, rig.engine.forget_rows_except(&kept), commits);
        forgotten.expect("the store is well");
    });
    site.lock().waiting = None;
    let moment = as_it_is(&site, "the end");
    judge.try_moment(&moment, "forgetting while fetching");
}

/// Actors at once, while each commit of the table takes its time; then every death.
fn while_commits_take_time<F: Future<Output = ()>>(
    what: &str,
    chunks: [Begin; 3],
    actors: impl FnOnce(Rc<Rig>) -> F,
) {
    let site = site(Residency::Resident, chunks);
    let mut judge = Judge::new(limits(1), Care::FULL);
    let rig = Rc::new(Rig::start(judge.runtime(), &site, limits(1)));
    let commits = async {
        for _ in 0..20 {
            pause().await;
            site.commit_one();
        }
    };
    judge.runtime().block_on(async { futures::join!(actors(Rc::clone(&rig)), commits) });
    let moment = as_it_is(&site, "the end");
    judge.try_moment(&moment, what);
}

async fn pause() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// The freeze forgot its marks first and dropped them from the table later: one made between was believed, and gone.
#[test]
fn a_mark_made_while_a_freeze_waits_for_its_commit_is_made_again() {
    let chunks = [Begin::Shared, Begin::Shared, Begin::Never];
    while_commits_take_time("a freeze", chunks, async |rig: Rc<Rig>| {
        rig.site.lock().waiting = None;
        rig.write(part_of(2), 100).await.unwrap();
        rig.site.lock().waiting = Some(Vec::new());
        let hand_over = async {
            rig.engine.freeze().await.unwrap();
            rig.engine.thaw().await;
        };
        let late = rig.write(part_of(1), 101);
        let (written, flushed, ()) = futures::join!(late, rig.flush(), hand_over);
        flushed.and(written).unwrap();
    });
}

/// Two requests marked one extent; the first mark was used and dropped before the second heard of its own.
#[test]
fn a_mark_dropped_while_a_second_request_makes_it_is_made_again() {
    let chunks = [Begin::Shared, Begin::Shared, Begin::Never];
    while_commits_take_time("cooling", chunks, async |rig: Rc<Rig>| {
        rig.site.lock().waiting = Some(Vec::new());
        let cool = async {
            while rig.engine.hot.state(0) != wandisk_io::ChunkState::WRITABLE {
                tokio::task::yield_now().await;
            }
            rig.engine.cool_oldest().await.unwrap();
        };
        let (first, second, ()) =
            futures::join!(rig.write(part_of(0), 100), rig.write(part_of(1), 101), cool);
        first.and(second).unwrap();
    });
}

/// A flush found no changed row, since another commit had just taken it along, and bytes left before that had ended.
#[test]
fn bytes_wait_for_their_row_in_whosever_commit_it_is() {
    let chunks = [Begin::Shared, Begin::Shared, Begin::Never];
    while_commits_take_time("publishing", chunks, async |rig: Rc<Rig>| {
        rig.trim(sectors_of(1), wandisk_io::ZeroMode::Trim).await.unwrap();
        rig.site.lock().waiting = Some(Vec::new());
        // Publishing checks that what leaves has its durable row.
        let (others, sent) = futures::join!(rig.engine.withdraw_bases(&[]), rig.publish(&[1]));
        others.unwrap();
        assert_eq!(sent.unwrap(), [1]);
    });
}

/// A flush said that a chunk was held which had been brought ahead, and of which all was just being overwritten.
#[test]
fn a_chunk_that_is_being_replaced_is_not_said_to_be_held() {
    let chunks = [Begin::Shared, Begin::ZeroOverBasis, Begin::Never];
    while_commits_take_time("overwriting", chunks, async |rig: Rc<Rig>| {
        Arc::clone(&rig.engine).bring_ahead(1).await.unwrap();
        let brought = rig.engine.row(1).version;
        let flush = async {
            rig.flush().await.unwrap();
            let stored = rig.site.lock().machine.table.load().table.get(1);
            assert!(stored.version != brought || !stored.is_held(), "{stored:?}");
        };
        rig.write_across(sectors_of(1), 100, flush).await.unwrap();
    });
}

/// Rewriting what is marked costs no metadata, with flushes as without.
#[test]
fn rewriting_a_marked_chunk_with_flushes_commits_nothing() {
    let site = site(Residency::Resident, [Begin::Fresh, Begin::Shared, Begin::Never]);
    let runtime = super::world::runtime();
    let rig = Rig::start(&runtime, &site, limits(8));
    runtime.block_on(async {
        for chunk in 0..CHUNKS {
            rig.write(sectors_of(chunk), 100).await.unwrap();
        }
        rig.flush().await.unwrap();
        let (commits, intents) = (rig.engine.metadata_commits(), site.lock().machine.intents.clone());
        for i in 0..50 {
            rig.write(part_of(i % CHUNKS), 200 + i).await.unwrap();
            rig.flush().await.unwrap();
        }
        assert_eq!(rig.engine.metadata_commits(), commits);
        assert_eq!(site.lock().machine.intents, intents);
    });
}
