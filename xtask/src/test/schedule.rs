//! Which step may begin now: a pure plan, asked when a step has ended.
//!
//! Tests wait more than they compute, and one after the other they leave two processors idle for two fifths of a run. So the
//! tests of the host run beside guests, and cargo compiles with what both leave of the processors.
//!
//! Invariants: each step begins once; what measures time runs alone, and last; one cargo compiles at a time; a second guest
//! waits until the tests of the host have ended; what runs at once fits into the memory there is, or runs alone; while a step
//! waits, one runs.

/// What a step does to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tests of the host: their runner chooses how many run at once.
    Host,
    /// A guest, with processors of its own.
    Guest,
    /// Cargo compiles. It holds its lock meanwhile, and can wait.
    Compiles,
    /// Measures time or moves gigabytes.
    Alone,
}

/// What a step needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    pub(super) kind: Kind,
    /// The most memory it takes.
    pub(super) memory_mib: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waits,
    Runs,
    Ended,
}

/// The steps, those that shall begin first at the front.
#[derive(Debug)]
pub(super) struct Schedule {
    steps: Vec<(Needs, Standing)>,
    memory_mib: u64,
}

impl Schedule {
    /// `memory_mib`: how much all that runs may take.
    pub(super) fn new(steps: impl IntoIterator<Item = Needs>, memory_mib: u64) -> Self {
        let steps = steps.into_iter().map(|needs| (needs, Standing::Waits)).collect();
        Self { steps, memory_mib }
    }

    /// The next step that may begin: it runs from now on. To be asked until there is none.
    pub(super) fn begin(&mut self) -> Option<usize> {
        let place = (0..self.steps.len()).find(|place| self.may_begin(*place))?;
        self.steps[place].1 = Standing::Runs;
        Some(place)
    }

    /// A step that ran has ended.
    pub(super) fn end(&mut self, place: usize) {
        self.steps[place].1 = Standing::Ended;
    }

    fn may_begin(&self, place: usize) -> bool {
        let (needs, standing) = self.steps[place];
        if standing != Standing::Waits {
            return false;
        }
        let running: Vec<Needs> = self.all(Standing::Runs).collect();
        if needs.kind == Kind::Alone || running.is_empty() {
            let others_wait = self.all(Standing::Waits).any(|other| other.kind != Kind::Alone);
            return running.is_empty() && !(needs.kind == Kind::Alone && others_wait);
        }
        let at_once = match needs.kind {
            Kind::Host | Kind::Compiles => 1,
            Kind::Guest if self.has_ended(Kind::Host) => 2,
            Kind::Guest => 1,
            Kind::Alone => 0,
        };
        let such = running.iter().filter(|other| other.kind == needs.kind).count();
        let taken_mib: u64 = running.iter().map(|other| other.memory_mib).sum();
        such < at_once
            && running.iter().all(|other| other.kind != Kind::Alone)
            && taken_mib + needs.memory_mib <= self.memory_mib
    }

    fn all(&self, standing: Standing) -> impl Iterator<Item = Needs> {
        self.steps.iter().filter(move |step| step.1 == standing).map(|step| step.0)
    }

    fn has_ended(&self, kind: Kind) -> bool {
        self.steps.iter().all(|(needs, standing)| needs.kind != kind || *standing == Standing::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(kind: Kind, memory_mib: u64) -> Needs {
        Needs { kind, memory_mib }
    }

    fn all_that_begin(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.begin()).collect()
    }

    /// The run of this workspace, small.
    fn usual(memory_mib: u64) -> Schedule {
        let steps = [
            needs(Kind::Host, 2000),
            needs(Kind::Guest, 4000),
            needs(Kind::Guest, 4000),
            needs(Kind::Guest, 3000),
            needs(Kind::Compiles, 2000),
            needs(Kind::Compiles, 2000),
            needs(Kind::Alone, 1000),
        ];
        Schedule::new(steps, memory_mib)
    }

    #[test]
    fn hosts_tests_a_guest_and_a_compiler_share_the_machine_and_what_measures_is_alone() {
        let mut schedule = usual(20_000);
        assert_eq!(all_that_begin(&mut schedule), [0, 1, 4]);
        schedule.end(4);
        assert_eq!(all_that_begin(&mut schedule), [5]);
        schedule.end(1);
        assert_eq!(all_that_begin(&mut schedule), [2], "one guest beside the host's tests");
        schedule.end(0);
        assert_eq!(all_that_begin(&mut schedule), [3], "two when they have ended");
        schedule.end(2);
        schedule.end(5);
        assert_eq!(all_that_begin(&mut schedule), [0; 0], "a guest still runs");
        schedule.end(3);
        assert_eq!(all_that_begin(&mut schedule), [6]);
        assert_eq!(all_that_begin(&mut schedule), [0; 0]);
    }

    #[test]
    fn where_memory_is_short_a_compiler_waits_and_nothing_waits_for_ever() {
        let mut schedule = usual(7000);
        assert_eq!(all_that_begin(&mut schedule), [0, 1]);
        schedule.end(0);
        assert_eq!(all_that_begin(&mut schedule), [3], "4000 and 3000");
        schedule.end(1);
        assert_eq!(all_that_begin(&mut schedule), [2]);
        let mut poor = usual(10);
        for place in [0, 1, 2, 3, 4, 5, 6] {
            assert_eq!(all_that_begin(&mut poor), [place], "one after the other");
            poor.end(place);
        }
        assert_eq!(poor.begin(), None);
    }

    #[test]
    fn whatever_ends_when_every_step_runs_once_and_within_what_there_is() {
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let kinds = [Kind::Host, Kind::Guest, Kind::Compiles, Kind::Alone];
            let steps: Vec<Needs> =
                (0..rng.usize(0..12)).map(|_| needs(kinds[rng.usize(0..4)], rng.u64(0..5000))).collect();
            let memory_mib = rng.u64(0..12_000);
            let mut schedule = Schedule::new(steps.iter().copied(), memory_mib);
            let (mut running, mut begun) = (Vec::new(), Vec::new());
            loop {
                running.extend(all_that_begin(&mut schedule));
                let of = |kind| running.iter().filter(|place| steps[**place].kind == kind).count();
                assert!(
                    of(Kind::Host) <= 1 && of(Kind::Compiles) <= 1 && of(Kind::Guest) <= 2,
                    "seed {seed}"
                );
                assert!(of(Kind::Alone) == 0 || running.len() == 1, "seed {seed}");
                let taken: u64 = running.iter().map(|place| steps[*place].memory_mib).sum();
                assert!(running.len() <= 1 || taken <= memory_mib, "seed {seed}");
                if running.is_empty() {
                    break;
                }
                let place = running.swap_remove(rng.usize(0..running.len()));
                schedule.end(place);
                begun.push(place);
            }
            begun.sort_unstable();
            assert_eq!(begun, (0..steps.len()).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
