//! The rules, one at a time.

use super::*;
use wandisk_store::{DiskId, KnownSite};

const TABLE: TableDigest = TableDigest([0; 4]);

pub(in crate::handover) fn sites() -> [SiteId; 2] {
    [SiteId::random(), SiteId::random()]
}

pub(in crate::handover) fn disk(here: SiteId, sites: &[SiteId]) -> DiskMeta {
    let known = |id: &SiteId| KnownSite::named(*id, &id.to_string());
    DiskMeta {
        resident: sites[0],
        residency: if here == sites[0] { Residency::Resident } else { Residency::Replica },
        sites: sites.iter().map(known).collect(),
        ..DiskMeta::new(DiskId(uuid::Uuid::nil()), 1 << 20, 4096, LineageId(uuid::Uuid::nil()), known(&here))
    }
}

struct Pair {
    a: DiskMeta,
    b: DiskMeta,
}

fn pair() -> Pair {
    let sites = sites();
    let (a, b) = (disk(sites[0], &sites), disk(sites[1], &sites));
    Pair { a, b }
}

fn attempt(source: &DiskMeta, to: &DiskMeta) -> Attempt {
    begin(source, AttemptId::random(), to.here, TableDigest::default()).unwrap()
}

#[test]
fn the_disk_goes_over_and_comes_back() {
    let Pair { mut a, mut b } = pair();
    for _ in 0..2 {
        let x = attempt(&a, &b);
        prepare(&mut b, x, TABLE).unwrap();
        release(&mut a, x).unwrap();
        assert!(!a.is_resident() && !b.is_resident());
        assert_eq!(grant(&mut b, x, TABLE), Ok(Granted::Now));
        done(&mut a, &x);
        assert_eq!((a.residency.clone(), b.is_resident()), (Residency::Replica, true));
        std::mem::swap(&mut a, &mut b);
    }
}

#[test]
fn a_grant_is_answered_again_for_ever() {
    let Pair { mut a, mut b } = pair();
    let x = attempt(&a, &b);
    prepare(&mut b, x, TABLE).unwrap();
    release(&mut a, x).unwrap();
    release(&mut a, x).unwrap();
    grant(&mut b, x, TABLE).unwrap();
    assert_eq!(grant(&mut b, x, TABLE), Ok(Granted::Before));
    // Back at A meanwhile, and asked once more.
    let y = attempt(&b, &a);
    prepare(&mut a, y, TABLE).unwrap();
    release(&mut b, y).unwrap();
    grant(&mut a, y, TABLE).unwrap();
    assert_eq!(grant(&mut b, x, TABLE), Ok(Granted::Before));
    assert!(!b.is_resident());
}

#[test]
fn an_aborted_attempt_cannot_be_granted() {
    let Pair { a, mut b } = pair();
    let x = attempt(&a, &b);
    prepare(&mut b, x, TABLE).unwrap();
    abort(&mut b, x.id);
    assert_eq!(grant(&mut b, x, TABLE), Err(Refused::NotPrepared { attempt: x.id }));
    let y = attempt(&a, &b);
    prepare(&mut b, y, TABLE).unwrap();
    abort(&mut b, x.id);
    assert_eq!(grant(&mut b, x, TABLE), Err(Refused::NotPrepared { attempt: x.id }));
    assert_eq!(grant(&mut b, y, TABLE), Ok(Granted::Now));
}

#[test]
fn nobody_prepares_for_an_epoch_that_has_passed() {
    let Pair { mut a, mut b } = pair();
    let late = attempt(&a, &b);
    let x = attempt(&a, &b);
    prepare(&mut b, x, TABLE).unwrap();
    release(&mut a, x).unwrap();
    grant(&mut b, x, TABLE).unwrap();
    let y = attempt(&b, &a);
    prepare(&mut a, y, TABLE).unwrap();
    release(&mut b, y).unwrap();
    assert!(matches!(prepare(&mut b, late, TABLE), Err(Refused::OldEpoch { .. })));
}

#[test]
fn another_lineage_is_diverged_not_older() {
    let Pair { a, mut b, .. } = pair();
    let x = Attempt { lineage: LineageId::random(), ..attempt(&a, &b) };
    assert!(matches!(prepare(&mut b, x, TABLE), Err(Refused::Diverged { .. })));
    assert!(matches!(grant(&mut b, x, TABLE), Err(Refused::Diverged { .. })));
    assert!(matches!(hear(&mut b, LineageId::random(), Epoch(9), a.here), Err(Refused::Diverged { .. })));
}

#[test]
fn only_the_resident_gives_and_not_to_itself() {
    let Pair { a, b, .. } = pair();
    assert!(matches!(
        begin(&b, AttemptId::random(), a.here, TableDigest::default()),
        Err(Refused::NotResident { .. })
    ));
    assert_eq!(begin(&a, AttemptId::random(), a.here, TableDigest::default()), Err(Refused::AlreadyHere));
}

#[test]
fn a_resident_that_hears_of_a_later_one_was_copied_and_stops() {
    let Pair { mut a, b } = pair();
    hear(&mut a, b.lineage(), Epoch(1), b.here).unwrap();
    assert!(a.is_resident(), "its own epoch is no news");
    hear(&mut a, b.lineage(), Epoch(2), b.here).unwrap();
    assert!(!a.is_resident());
    let later = Refused::Overtaken { epoch: Epoch(2), resident: b.here };
    assert_eq!(begin(&a, AttemptId::random(), b.here, TABLE), Err(later));
    assert_eq!(receive(&mut a, b.lineage(), Epoch(2)), Err(later), "it is not made good by rows");
    hear(&mut a, b.lineage(), Epoch(3), b.here).unwrap();
    assert_eq!(receive(&mut a, b.lineage(), Epoch(3)), Err(later), "nor by more news");
}

#[test]
fn rows_that_come_withdraw_what_was_prepared() {
    let Pair { a, mut b } = pair();
    let x = attempt(&a, &b);
    prepare(&mut b, x, TABLE).unwrap();
    receive(&mut b, a.lineage(), Epoch(1)).unwrap();
    assert_eq!(grant(&mut b, x, TABLE), Err(Refused::NotPrepared { attempt: x.id }));
    prepare(&mut b, x, TABLE).unwrap();
    assert_eq!(grant(&mut b, x, TableDigest([9; 4])), Err(Refused::NotPrepared { attempt: x.id }));
    assert_eq!(grant(&mut b, x, TABLE), Ok(Granted::Now));
}

#[test]
fn final_rows_that_make_another_table_are_not_prepared() {
    let Pair { a, mut b } = pair();
    let x = attempt(&a, &b);
    let here = TableDigest([1; 4]);
    assert_eq!(prepare(&mut b, x, here), Err(Refused::OtherTable { here }));
    assert_eq!(b.residency, Residency::Replica);
}

#[test]
fn an_answer_to_another_attempt_is_no_answer() {
    let Pair { a, b } = pair();
    let (x, y) = (attempt(&a, &b), attempt(&a, &b));
    assert!(answers(&y, y.id, TABLE));
    assert!(!answers(&y, x.id, TABLE), "the tables are equal, the attempts are not");
    assert!(!answers(&y, y.id, TableDigest([1; 4])));
}
