//! Long random runs: guests on several queues, a far site that asks, marks that are dropped and hand-overs that are
//! aborted, all at once, while commits take their time. Then deaths at moments chosen by dice.
//!
//! One thread, and every choice by the seed: `WANDISK_CRASH_SEED=N` runs that seed alone, `WANDISK_CRASH_RUNS=N` that
//! many from a random one on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::{FutureExt, future};
use wandisk_io::{IoError, ZeroMode};
use wandisk_store::Residency;

use super::judge::{Care, Judge};
use super::machine::{Death, Dice, PER_CHUNK, first_sector};
use super::world::{Begin, CHUNKS, Rig, limits, sectors_of, site};

/// Operations of each actor in a run.
const OPERATIONS: usize = 25;
/// Moments of a run at which something dies.
const DEATHS: usize = 12;
const RUNS: u64 = 150;

type Rng = Rc<RefCell<Dice>>;

struct Stage<'a> {
    rig: &'a Rig,
    dice: Rng,
    /// Writes of parts hold a chunk's lock shared, of whole chunks alone: what two writes in flight to one sector leave
    /// behind nobody can say.
    chunks: Vec<tokio::sync::RwLock<()>>,
    next_value: Cell<u64>,
    /// A commit that was begun by somebody who has gone away would keep the pump waiting for ever.
    acting: Cell<usize>,
}

impl Stage<'_> {
    fn roll(&self, n: usize) -> usize {
        self.dice.borrow_mut().below(n)
    }

    fn value(&self) -> u64 {
        self.next_value.set(self.next_value.get() + 1);
        self.next_value.get()
    }

    async fn pause(&self) {
        for _ in 0..self.roll(4) {
            tokio::task::yield_now().await;
        }
    }

    async fn some_time(&self) {
        for _ in 0..self.roll(6) {
            self.pause().await;
        }
    }

    /// A guest's queue; it has two sectors of each chunk for writes of parts.
    async fn guest(&self, queue: usize) {
        for _ in 0..OPERATIONS {
            self.pause().await;
            let chunk = self.roll(3) as u64;
            let first = first_sector(chunk) + 2 * queue;
            let (part, whole, value) = (first..first + 2, sectors_of(chunk), self.value());
            let place = &self.chunks[usize::try_from(chunk).expect("tiny")];
            let rig = self.rig;
            let ended: Result<(), IoError> = match self.roll(12) {
                0..=3 => {
                    let _shared = place.read().await;
                    rig.write(part, value).await
                }
                4..=5 => {
                    let _shared = place.read().await;
                    rig.write_across(part, value, self.some_time()).await
                }
                6 => {
                    let _alone = place.write().await;
                    rig.write_across(whole, value, self.some_time()).await
                }
                7 => {
                    let _alone = place.write().await;
                    rig.trim(whole, ZeroMode::Trim).await
                }
                8 => {
                    let _shared = place.read().await;
                    rig.trim(part, ZeroMode::ZeroMayPunch).await
                }
                9 => rig.read(chunk).await.map(drop),
                _ => rig.flush().await,
            };
            ended.expect("nothing fails in this run");
        }
    }

    async fn far(&self) {
        for _ in 0..OPERATIONS {
            self.pause().await;
            let chunk = self.roll(3) as u64;
            match self.roll(4) {
                0 => self.rig.engine.bring(chunk, false).await.expect("it is there"),
                1 => drop(self.rig.publish(&[0, 1, 2]).await.expect("the store is well")),
                _ => drop(self.rig.publish(&[chunk]).await.expect("the store is well")),
            }
        }
    }

    async fn keeper(&self) {
        for _ in 0..OPERATIONS {
            self.pause().await;
            let engine = &self.rig.engine;
            match self.roll(6) {
                0 => {
                    let begun = self.rig.site.lock().oracle.flush_begins();
                    engine.freeze().await.expect("the store is well");
                    self.rig.site.lock().oracle.flush_acknowledged(begun);
                    self.pause().await;
                    engine.thaw().await;
                }
                1 | 2 => engine.cool_oldest().await.expect("the store is well"),
                // Commits whatever rows have changed.
                _ => engine.withdraw_bases(&[]).await.expect("the store is well"),
            }
        }
    }

    async fn acts(&self, act: LocalBoxFuture<'_, ()>) {
        act.await;
        self.acting.set(self.acting.get() - 1);
    }

    async fn table(&self) {
        while self.acting.get() > 0 {
            self.pause().await;
            self.rig.site.commit_one();
            tokio::task::yield_now().await;
        }
    }
}

fn run(judge: &mut Judge, seed: u64) {
    let mut dice = Dice::new(seed);
    let kinds =
        [Begin::Never, Begin::Basis, Begin::Absent, Begin::Shared, Begin::Fresh, Begin::ZeroOverBasis];
    let chunks = std::array::from_fn(|_| kinds[dice.below(kinds.len())]);
    let site = site(Residency::Resident, chunks);
    let rig = Rig::start(judge.runtime(), &site, limits(1 + dice.below(2)));
    site.lock().waiting = Some(Vec::new());
    site.lock().moments = Some(Vec::new());
    let dice = Rc::new(RefCell::new(dice));
    let stage = Stage {
        rig: &rig,
        dice: Rc::clone(&dice),
        chunks: (0..CHUNKS).map(|_| tokio::sync::RwLock::new(())).collect(),
        next_value: Cell::new(100),
        acting: Cell::new(5),
    };
    let guests =
        (0..PER_CHUNK / 2 - 1).map(|queue| stage.acts(stage.guest(queue).boxed_local()).boxed_local());
    let mut actors: Vec<LocalBoxFuture<'_, ()>> = guests.collect();
    actors.push(stage.acts(stage.far().boxed_local()).boxed_local());
    actors.push(stage.acts(stage.keeper().boxed_local()).boxed_local());
    actors.push(stage.table().boxed_local());
    judge.runtime().block_on(future::join_all(actors));
    let moments = site.lock().moments.take().unwrap_or_default();
    for _ in 0..DEATHS {
        let roll = |n: usize| dice.borrow_mut().below(n);
        let (at, kind, throw) = (roll(moments.len()), roll(4), roll(1000) as u64);
        let moment = &moments[at];
        let death = [Death::Process, Death::Lost, Death::Dice(throw), Death::Dice(seed + throw)][kind];
        judge.tried.crash_points += 1;
        judge.try_death(moment, death, &format!("seed {seed}"), 0);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn long_random_runs_survive_their_crashes() {
    let alone = number("WANDISK_CRASH_SEED");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let first = alone.unwrap_or(u64::from(now.subsec_nanos()));
    let runs = if alone.is_some() { 1 } else { number("WANDISK_CRASH_RUNS").unwrap_or(RUNS) };
    println!("seeds {first} to {} (WANDISK_CRASH_SEED=N runs one)", first + runs - 1);
    let begun = std::time::Instant::now();
    let mut tried = super::judge::Tried::default();
    for seed in first..first + runs {
        let mut judge = Judge::new(limits(1), Care::WIDE);
        let told = std::panic::AssertUnwindSafe(|| run(&mut judge, seed));
        if let Err(panic) = std::panic::catch_unwind(told) {
            println!("WANDISK_CRASH_SEED={seed} fails");
            std::panic::resume_unwind(panic);
        }
        tried = tried.and(judge.tried);
    }
    println!("{runs} runs: {tried}, {:.1} s", begun.elapsed().as_secs_f64());
}
