//! All sequences of up to three operations, a crash at every point of the last one, every death, the real recovery.
//!
//! Crash points of earlier operations are those of a shorter sequence, which is tried as well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wandisk_io::{IoError, ZeroMode};
use wandisk_store::Residency;

use super::judge::{Care, Judge, Tried};
use super::world::{Begin, Rig, limits, other_part_of, part_of, sectors_of, site};

/// An operation of the guest, of the far site or of the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes a part of a chunk.
    Write(u64),
    /// Writes a whole chunk.
    WriteAll(u64),
    /// Writes a part with FUA: acknowledged when durable.
    Fua(u64),
    /// Flushes while a part of a chunk is being written.
    WriteAcrossFlush(u64),
    /// Flushes while a whole chunk is being written.
    WriteAllAcrossFlush(u64),
    /// The oldest mark is dropped, and flushed, while a whole chunk is being written.
    WriteAllAcrossCool(u64),
    /// The far site asks for a chunk while a part of it is being written.
    WriteAcrossPublish(u64),
    /// Flush.
    Flush,
    /// Writes another part of a chunk.
    WriteOther(u64),
    /// The rest of an overlaid chunk arrives after a flush has synced the data.
    FlushUnderFetch(u64),
    /// The bytes here are given up, if the far site has them.
    Evict(u64),
    /// Flush, while another queue writes to this chunk as often as the hot path lets it.
    FlushUnderFire(u64),
    /// Trims a whole chunk.
    Trim(u64),
    /// Zeroes a part of a chunk.
    TrimPart(u64),
    /// A fetch arrives: the chunk is brought here.
    Fetch(u64),
    /// The far site gets the chunk.
    Publish(u64),
    /// The oldest mark is dropped.
    Cool,
    /// A hand-over begins and is aborted: freeze, thaw.
    Freeze,
    /// A hand-over passes its commit point.
    Release,
}

impl Step {
    fn writes(self) -> bool {
        !matches!(
            self,
            Step::Flush
                | Step::FlushUnderFetch(_)
                | Step::Evict(_)
                | Step::Fetch(_)
                | Step::Publish(_)
                | Step::Cool
                | Step::Freeze
                | Step::Release
        )
    }
}

/// Every operation on every chunk.
pub(super) fn alphabet() -> Vec<Step> {
    let on_chunks: [fn(u64) -> Step; 15] = [
        Step::Write,
        Step::WriteOther,
        Step::FlushUnderFetch,
        Step::Evict,
        Step::WriteAll,
        Step::Fua,
        Step::WriteAcrossFlush,
        Step::WriteAllAcrossFlush,
        Step::WriteAllAcrossCool,
        Step::WriteAcrossPublish,
        Step::FlushUnderFire,
        Step::Trim,
        Step::TrimPart,
        Step::Fetch,
        Step::Publish,
    ];
    let mut all: Vec<Step> = on_chunks.iter().flat_map(|f| (0..super::world::CHUNKS).map(f)).collect();
    all.extend([Step::Flush, Step::Cool, Step::Freeze, Step::Release]);
    all
}

/// The operations that a disk cannot do without, on every chunk: for long sequences.
fn short_alphabet() -> Vec<Step> {
    let on_chunks: [fn(u64) -> Step; 6] =
        [Step::Write, Step::WriteAll, Step::Fua, Step::Trim, Step::Fetch, Step::Publish];
    let mut all: Vec<Step> = on_chunks.iter().flat_map(|f| (0..super::world::CHUNKS).map(f)).collect();
    all.extend([Step::Flush, Step::Cool, Step::Freeze, Step::Release]);
    all
}

/// Does one operation; what it writes has the value `value`. A refusal (the disk was released) is fine.
pub(super) async fn run(rig: &Rig, step: Step, value: u64) -> Result<(), IoError> {
    match step {
        Step::Write(chunk) => rig.write(part_of(chunk), value).await,
        Step::WriteAll(chunk) => rig.write(sectors_of(chunk), value).await,
        Step::Fua(chunk) => {
            rig.write(part_of(chunk), value).await?;
            rig.flush().await
        }
        Step::WriteAcrossFlush(chunk) => rig.write_across(part_of(chunk), value, flush(rig)).await,
        Step::WriteAllAcrossFlush(chunk) => rig.write_across(sectors_of(chunk), value, flush(rig)).await,
        Step::WriteAllAcrossCool(chunk) => {
            let cool = async {
                rig.engine.cool_oldest().await.ok();
                rig.flush().await.ok();
            };
            rig.write_across(sectors_of(chunk), value, cool).await
        }
        Step::WriteAcrossPublish(chunk) => {
            let publish = async {
                rig.publish(&[chunk]).await.ok();
            };
            rig.write_across(part_of(chunk), value, publish).await
        }
        Step::WriteOther(chunk) => rig.write(other_part_of(chunk), value).await,
        Step::FlushUnderFetch(chunk) => rig.flush_under_fetch(chunk).await,
        Step::Evict(chunk) => rig.evict(chunk).await.map_err(|e| e.io()),
        Step::Flush => rig.flush().await,
        Step::FlushUnderFire(chunk) => {
            fire(rig, chunk, value);
            let flushed = rig.flush().await;
            rig.site.set_intruder(None);
            flushed
        }
        Step::Trim(chunk) => rig.trim(sectors_of(chunk), ZeroMode::Trim).await,
        Step::TrimPart(chunk) => rig.trim(part_of(chunk), ZeroMode::ZeroMayPunch).await,
        Step::Fetch(chunk) => rig.engine.bring(chunk, false).await,
        Step::Publish(chunk) => rig.publish(&[chunk]).await.map(drop).map_err(|e| e.io()),
        Step::Cool => rig.engine.cool_oldest().await.map_err(|e| e.io()),
        Step::Freeze => {
            let begun = rig.site.lock().oracle.flush_begins();
            rig.engine.freeze().await.map_err(|e| e.io())?;
            rig.site.lock().oracle.flush_acknowledged(begun);
            rig.engine.thaw().await;
            Ok(())
        }
        Step::Release => rig.release().await.map_err(|_| IoError::Io),
    }
}

async fn flush(rig: &Rig) {
    rig.flush().await.ok();
}

/// From now on another queue writes to a chunk after every operation of the store, where the hot path lets it.
fn fire(rig: &Rig, chunk: u64, value: u64) {
    let (engine, site) = (std::sync::Arc::clone(&rig.engine), std::sync::Arc::clone(&rig.site));
    let mut shots = 0;
    rig.site.set_intruder(Some(Box::new(move |_after| {
        let sectors = part_of(chunk);
        let offset = (sectors.start * super::machine::SECTOR) as u64;
        let hot = engine.hot.try_begin(wandisk_io::Lane(2), wandisk_io::Op::Write, offset, 512);
        if let Some(pass) = hot {
            shots += 1;
            let (one, value) = (sectors.start..sectors.start + 1, value + shots);
            site.lock().oracle.begin(one.clone(), value);
            if site.front_end_writes(one.clone(), value).is_ok() {
                site.lock().oracle.acknowledge(one, value);
            }
            drop(pass);
        }
    })));
}

/// Worlds to begin in, with the number of marks that fit.
pub(super) const WORLDS: [([Begin; 3], usize); 2] = [
    ([Begin::Basis, Begin::Shared, Begin::Never], 8),
    ([Begin::ZeroOverBasis, Begin::Fresh, Begin::Absent], 1),
];

/// Runs a sequence; the crash points of its last operation are judged.
pub(super) fn try_sequence(judge: &mut Judge, chunks: [Begin; 3], hot_max: usize, steps: &[Step]) {
    let site = site(Residency::Resident, chunks);
    let rig = Rig::start(judge.runtime(), &site, limits(hot_max));
    let mut value = 100;
    for (i, step) in (1..).zip(steps) {
        if i == steps.len() {
            site.lock().moments = Some(Vec::new());
        }
        judge.runtime().block_on(run(&rig, *step, value)).ok();
        // Values count what was written, so that sequences which come to the same state are seen to.
        value += if step.writes() { 100 } else { 0 };
    }
    site.lock().moment("the next operation");
    let moments = site.lock().moments.take().unwrap_or_default();
    let story = format!("{chunks:?} {steps:?}");
    moments.iter().for_each(|moment| judge.try_moment(moment, &story));
}

/// Tells the other threads that one has found a violation.
struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn all_sequences(length: u32, alphabet: &[Step], care: Care) -> Tried {
    let count = alphabet.len().pow(length);
    let stop = AtomicBool::new(false);
    let run = &|chunks: [Begin; 3], hot_max: usize| {
        let _told = OnPanic(&stop);
        let mut judge = Judge::new(limits(hot_max), care);
        for number in 0..count {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let digit = |place: u32| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
            let steps: Vec<Step> = (0..length).rev().map(digit).collect();
            try_sequence(&mut judge, chunks, hot_max, &steps);
        }
        judge.tried
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            WORLDS.map(|(chunks, hot_max)| scope.spawn(move || run(chunks, hot_max))).into();
        let each = threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        each.fold(Tried::default(), |sum: Tried, one| sum.and(one))
    })
}

#[test]
fn every_crash_in_every_operation_is_survived() {
    explore(1, &alphabet(), Care::FULL);
}

#[test]
fn every_crash_in_every_sequence_of_two_operations_is_survived() {
    explore(2, &alphabet(), Care::WIDE);
}

#[test]
fn every_crash_in_every_sequence_of_three_operations_is_survived() {
    // All of it, with every death, takes an hour: for who changes the engine's order of things.
    if std::env::var_os("WANDISK_EXPLORE_ALL").is_some() {
        explore(3, &alphabet(), Care::FULL);
    } else {
        explore(3, &short_alphabet(), Care::QUICK);
    }
}

/// Runs steps in order; the crash points of each are judged, with all care.
pub(super) fn try_story(chunks: [Begin; 3], hot_max: usize, steps: &[Step]) {
    let mut judge = Judge::new(limits(hot_max), Care::FULL);
    (1..=steps.len()).for_each(|n| try_sequence(&mut judge, chunks, hot_max, &steps[..n]));
    println!("{steps:?}: {}", judge.tried);
}

fn explore(length: u32, alphabet: &[Step], care: Care) {
    let begun = Instant::now();
    let tried = all_sequences(length, alphabet, care);
    println!("sequences of {length}: {tried}, {:.1} s", begun.elapsed().as_secs_f64());
    assert!(tried.crash_points > 100, "the explorer must try something");
}
