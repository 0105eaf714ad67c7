//! Operations that nobody waits for any more, at every point where they wait: a request that took too long, a link that was cut.
//!
//! What they had begun goes on or is undone. The disk is as good as before, and a flush after them promises as much.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use wandisk_store::{DiskDir, Residency};

use super::fake::{Fault, Moment};
use super::judge::{Care, Judge};
use super::sequences::{Step, WORLDS, alphabet, run};
use super::world::{Begin, CHUNKS, Rig, limits, other_part_of, runtime, site};
use crate::engine::{ChunkSource, Engine, FetchError, Got, Want};

/// Turns of the executor in which everything must have come to its end.
const TURNS: usize = 500;
const CARE: Care = Care { recovery_dies: false, ..Care::FULL };

/// What becomes of the commits that were submitted before nobody waited any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    AreMade,
    Fail,
}

/// Ends what must end, while commits are made.
async fn in_time<T>(rig: &Rig, story: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    for _ in 0..TURNS {
        if let Poll::Ready(done) = futures::poll!(work.as_mut()) {
            return done;
        }
        rig.site.commit_one();
        tokio::task::yield_now().await;
    }
    panic!("{story}: this never ends")
}

/// Lets go of the last step after `polls`; `false` if it had ended by itself. What comes after is judged.
fn let_go(
    judge: &mut Judge,
    chunks: [Begin; 3],
    hot_max: usize,
    steps: &[Step],
    polls: usize,
    commits: Commits,
) -> bool {
    let site = site(Residency::Resident, chunks);
    let rig = Rig::start(judge.runtime(), &site, limits(hot_max));
    let story = format!("{chunks:?}: {steps:?}, let go of after {polls} polls; commits: {commits:?}");
    let (last, before) = steps.split_last().expect("a step");
    let ended = judge.runtime().block_on(async {
        for (value, step) in (1..).zip(before) {
            run(&rig, *step, 100 * value).await.ok();
        }
        site.lock().waiting = Some(Vec::new());
        let ended = {
            let mut step = std::pin::pin!(run(&rig, *last, 900));
            let mut ended = false;
            for poll in 0..polls {
                ended = futures::poll!(step.as_mut()).is_ready();
                if ended {
                    break;
                }
                // Some wait for their own commit, some for another's.
                if poll % 3 == 2 {
                    site.commit_one();
                }
                tokio::task::yield_now().await;
            }
            ended
        };
        site.set_intruder(None);
        if commits == Commits::Fail {
            let mut inner = site.lock();
            let next = inner.operations + 1;
            inner.fault = Some((next, Fault::NoSpace));
            drop(inner);
            site.commit_waiting();
            (site.lock().fault, site.lock().full) = (None, false);
        }
        site.lock().moments = Some(Vec::new());
        in_time(&rig, &story, rig.flush()).await.unwrap_or_else(|e| panic!("{story}: a flush: {e}"));
        site.lock().moment("what comes after");
        for chunk in 0..CHUNKS {
            let written = in_time(&rig, &story, rig.write(other_part_of(chunk), 910 + chunk)).await;
            let released = !rig.engine.meta().is_resident();
            assert!(written.is_ok() || released, "{story}: a write: {written:?}");
        }
        in_time(&rig, &story, rig.flush()).await.unwrap_or_else(|e| panic!("{story}: a flush: {e}"));
        ended
    });
    // A mark that nobody knows of would stay until the disk is detached.
    let marks = site.lock().machine.table.hot.len();
    assert!(marks <= hot_max, "{story}: {marks} extents are marked");
    site.lock().moment("the end");
    let moments: Vec<Moment> = site.lock().moments.take().unwrap_or_default();
    moments.iter().for_each(|moment| judge.try_moment(moment, &story));
    !ended
}

#[test]
fn an_operation_that_nobody_waits_for_any_more_leaves_a_sound_disk() {
    let mut let_go_of = 0;
    for (chunks, hot_max) in WORLDS {
        let mut judge = Judge::new(limits(hot_max), CARE);
        // Before it: nothing; a part of a chunk that may be elsewhere; a mark that has to go for the next one.
        let befores: [&[Step]; 3] = [&[], &[Step::Write(0)], &[Step::Write(2), Step::Fetch(0)]];
        for before in befores {
            // Hand-overs are always done to their end, by `keeper::to_the_end`.
            for step in alphabet().into_iter().filter(|step| !matches!(step, Step::Freeze | Step::Release)) {
                let steps: Vec<Step> = before.iter().copied().chain([step]).collect();
                for commits in [Commits::AreMade, Commits::Fail] {
                    let each = 0..TURNS;
                    let cut = each.take_while(|n| let_go(&mut judge, chunks, hot_max, &steps, *n, commits));
                    let_go_of += cut.count();
                }
            }
        }
        println!("{chunks:?}: {}", judge.tried);
    }
    println!("let go of {let_go_of} operations");
    assert!(let_go_of > 500, "operations wait at many points");
}

/// A source that panics, and counts how often it was asked for a chunk.
struct Panics(u64, Arc<AtomicUsize>);

impl ChunkSource for Panics {
    fn fetch(&self, want: Want, _timeout: Duration) -> BoxFuture<'static, Result<Got, FetchError>> {
        self.1.fetch_add(usize::from(want.chunk == self.0), Ordering::SeqCst);
        async { panic!("a source that panics, as the test wants it") }.boxed()
    }
}

/// It stayed among those on their way for ever, and was never brought ahead again.
#[test]
fn a_chunk_whose_bringing_panicked_is_brought_ahead_another_time() {
    let runtime = runtime();
    let site = site(Residency::Resident, [Begin::Absent; 3]);
    let dir = DiskDir::new(std::path::PathBuf::from("/nowhere"), "tiny");
    let handle = runtime.handle().clone();
    let engine = runtime.block_on(Engine::start(&dir, site.open(), limits(2), handle)).expect("an engine");
    let asked = Arc::new(AtomicUsize::new(0));
    engine.set_source(Arc::new(Panics(2, Arc::clone(&asked))));
    engine.set_prefetch_budget(u64::MAX);
    for time in 1..=2 {
        runtime.block_on(async {
            // A reader in order.
            engine.read_ahead(0);
            engine.read_ahead(1);
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(asked.load(Ordering::SeqCst), time);
    }
}
