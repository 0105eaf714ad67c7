//! A full filesystem and a bad medium, at every operation of a scenario (law L8).

use wandisk_io::IoError;
use wandisk_store::Residency;

use super::fake::{Fault, Moment, Site};
use super::judge::{Care, Judge};
use super::machine::{Death, PER_CHUNK, bytes_of};
use super::sequences::{Step, run};
use super::world::{Begin, CHUNKS, Rig, limits, part_of, sectors_of, site};

const CARE: Care = Care {
    deaths: &[Death::Process, Death::Lost, Death::Kept, Death::Torn(0), Death::Dice(3)],
    ..Care::FULL
};

/// Everything that changes the store.
const SCENARIO: [Step; 17] = [
    Step::Write(0),
    Step::Write(2),
    Step::Flush,
    Step::Publish(0),
    Step::Trim(1),
    Step::TrimPart(0),
    Step::Fua(0),
    Step::Cool,
    Step::WriteAll(1),
    Step::Write(1),
    Step::Fetch(2),
    Step::Publish(2),
    Step::Freeze,
    Step::WriteAll(2),
    Step::Trim(0),
    Step::Cool,
    Step::Flush,
];

/// Runs the scenario with a fault at its operation number `at`; `false` if it has fewer operations.
fn with_fault(judge: &mut Judge, chunks: [Begin; 3], at: u64, fault: Fault) -> bool {
    let site = site(Residency::Resident, chunks);
    let rig = Rig::start(judge.runtime(), &site, limits(1));
    {
        let mut inner = site.lock();
        (inner.operations, inner.fault) = (0, Some((at, fault)));
    }
    for (value, step) in (1u64..).zip(SCENARIO) {
        let ended = judge.runtime().block_on(run(&rig, step, 100 * value));
        let Some(failed) = site.lock().failed else {
            ended.unwrap_or_else(|e| panic!("{step:?} before any fault: {e}"));
            continue;
        };
        let story = format!("{chunks:?}: {fault:?} at operation {at} ({failed}), in {step:?}");
        if fault == Fault::NoSpace || failed == "read" {
            assert!(!rig.engine.is_poisoned(), "{story}: poisoned");
            let expected = if fault == Fault::NoSpace { IoError::NoSpace } else { IoError::Io };
            if let Err(e) = ended {
                assert_eq!(e, expected, "{story}");
            }
            // Room is made: the same works now, and so does the rest.
            (site.lock().full, site.lock().fault) = (false, None);
            let again = judge.runtime().block_on(run(&rig, step, 100 * value + 50));
            assert_eq!(again, Ok(()), "{story}: again");
        } else {
            assert!(rig.engine.is_poisoned(), "{story}: not poisoned");
            judge.runtime().block_on(nothing_is_written(&rig, &story));
            break;
        }
        site.lock().failed = None;
    }
    let inner = site.lock();
    let moment = Moment { machine: inner.machine.clone(), oracle: inner.oracle.clone(), before: "the end" };
    let reached = inner.operations >= at;
    drop(inner);
    judge.try_moment(&moment, &format!("{chunks:?}: {fault:?} at operation {at}"));
    reached
}

/// A poisoned disk takes no write of any kind, and says so; what is in place can be read.
async fn nothing_is_written(rig: &Rig, story: &str) {
    let before = rig.site.lock().machine.clone();
    for chunk in 0..CHUNKS {
        assert_eq!(rig.write(part_of(chunk), 7).await, Err(IoError::Io), "{story}: a write");
        assert_eq!(rig.write(sectors_of(chunk), 7).await, Err(IoError::Io), "{story}: a write");
        let trim = rig.trim(sectors_of(chunk), wandisk_io::ZeroMode::Trim).await;
        assert_eq!(trim, Err(IoError::Io), "{story}: a trim");
    }
    let flushed = rig.flush().await;
    assert_eq!(flushed, Err(IoError::Io), "{story}: a flush");
    let after = rig.site.lock().machine.clone();
    assert_eq!((before.live, before.durable), (after.live, after.durable), "{story}: bytes changed");
    assert_eq!(before.table.pages, after.table.pages, "{story}: rows changed");
}

fn at_every_operation(fault: Fault) {
    let worlds = [
        [Begin::Basis, Begin::Shared, Begin::Never],
        [Begin::ZeroOverBasis, Begin::Absent, Begin::Fresh],
        [Begin::Fresh, Begin::Basis, Begin::Absent],
    ];
    let mut faults = 0;
    let mut judge = Judge::new(limits(1), CARE);
    for chunks in worlds {
        for at in 1.. {
            if !with_fault(&mut judge, chunks, at, fault) {
                break;
            }
            faults += 1;
        }
    }
    println!("{fault:?}: {faults} operations tried; {}", judge.tried);
    assert!(faults > 150, "the scenario has many operations");
}

#[test]
fn no_space_at_any_operation_is_passed_on_and_loses_nothing() {
    at_every_operation(Fault::NoSpace);
}

#[test]
fn a_bad_medium_at_any_operation_stops_the_disk_and_loses_nothing_flushed() {
    at_every_operation(Fault::Medium);
}

/// The kernel forgets what a failed sync did not write: the next one succeeds without it.
#[test]
fn a_flush_that_failed_is_not_made_good_by_the_next_process() {
    let site = site(Residency::Resident, [Begin::Shared, Begin::Never, Begin::Absent]);
    let mut judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    judge.runtime().block_on(async {
        rig.write(part_of(0), 100).await.unwrap();
        rig.write(part_of(1), 101).await.unwrap();
        let next = site.lock().operations + 1;
        site.lock().fault = Some((next, Fault::Medium));
        assert_eq!(rig.flush().await, Err(IoError::Io));
    });
    assert_eq!(site.lock().failed, Some("sync"));
    let moment = {
        let inner = site.lock();
        Moment { machine: inner.machine.clone(), oracle: inner.oracle.clone(), before: "the end" }
    };
    judge.try_moment(&moment, "a failed sync");
}

/// A basis that was shipped here had no intent: after a failed flush nothing wrote it again, and a delta that leaves a part of
/// it alone would have rested on what never reached the medium.
#[test]
fn a_shipped_basis_whose_flush_failed_is_written_again_by_the_next_process() {
    let site = site(Residency::Replica, [Begin::Absent, Begin::Never, Begin::Never]);
    let judge = Judge::new(limits(8), Care::FULL);
    let rig = Rig::start(judge.runtime(), &site, limits(8));
    judge.runtime().block_on(async {
        assert!(rig.engine.put_basis(0, &bytes_of(&[77; PER_CHUNK])).await.unwrap());
        let next = site.lock().operations + 1;
        site.lock().fault = Some((next, Fault::Medium));
        assert!(rig.engine.flush_now().await.is_err());
    });
    assert_eq!(site.lock().failed, Some("sync"));
    let next = {
        let inner = site.lock();
        Site::new(inner.machine.after(Death::Process), inner.oracle.clone())
    };
    let _rig = Rig::start(judge.runtime(), &next, limits(8));
    assert_eq!(next.lock().machine.durable[..PER_CHUNK], [Some(77); PER_CHUNK]);
}
