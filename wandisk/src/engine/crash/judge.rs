//! What must hold after a death, whatever the moment: the oracle's question put to the real recovery.

use std::sync::Arc;

use tokio::runtime::Runtime;
use wandisk_store::Residency;

use super::fake::{Moment, Site};
use super::machine::{Death, PER_CHUNK};
use super::world::{CHUNKS, Rig, part_of, sectors_of};
use crate::engine::marks::MarkLimits;

/// Counts what was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    /// Moments at which something died.
    pub(super) crash_points: u64,
    /// Recoveries run and judged (a moment has several deaths; states that were judged before are not counted again).
    pub(super) recoveries: u64,
}

impl Tried {
    pub(super) fn and(self, more: Tried) -> Tried {
        Tried {
            crash_points: self.crash_points + more.crash_points,
            recoveries: self.recoveries + more.recoveries,
        }
    }
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} crash points, {} recoveries judged", self.crash_points, self.recoveries)
    }
}

/// How much is done at each moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Care {
    /// The deaths tried.
    pub(super) deaths: &'static [Death],
    /// Recoveries are cut short as well.
    pub(super) recovery_dies: bool,
    /// After a recovery the machine dies once more, and is written to.
    pub(super) life_goes_on: bool,
}

impl Care {
    pub(super) const FULL: Care = Care { deaths: &Death::ALL, recovery_dies: true, life_goes_on: true };
    pub(super) const WIDE: Care = Care { recovery_dies: false, ..Care::FULL };
    /// For what is tried very often.
    pub(super) const QUICK: Care = Care { deaths: &Death::ALL, recovery_dies: false, life_goes_on: false };
}

/// Judges moments, each state once.
pub(super) struct Judge {
    care: Care,
    runtime: Runtime,
    limits: MarkLimits,
    seen: std::collections::HashSet<u64>,
    pub(super) tried: Tried,
}

impl Judge {
    pub(super) fn new(limits: MarkLimits, care: Care) -> Judge {
        let runtime = super::world::runtime();
        Judge { care, runtime, limits, seen: std::collections::HashSet::new(), tried: Tried::default() }
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Lets the process and the machine die at a moment in every way, and looks at what comes back.
    pub(super) fn try_moment(&mut self, moment: &Moment, story: &str) {
        self.tried.crash_points += 1;
        for death in self.care.deaths {
            self.try_death(moment, *death, story, u8::from(self.care.recovery_dies));
        }
    }

    fn is_new(&mut self, site: &Site, death: Death, depth: u8) -> bool {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        let inner = site.lock();
        inner.machine.hash_into(&mut hasher);
        inner.oracle.hash(&mut hasher);
        (death == Death::Process, depth).hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    pub(super) fn try_death(&mut self, moment: &Moment, death: Death, story: &str, depth: u8) {
        let site = Site::new(moment.machine.after(death), moment.oracle.clone());
        if !self.is_new(&site, death, depth) {
            return;
        }
        self.tried.recoveries += 1;
        let story = format!("{story}; {death:?} before {:?}", moment.before);
        site.lock().moments = (depth > 0).then(Vec::new);
        let rig = Rig::start(&self.runtime, &site, self.limits);
        let during = site.lock().moments.take().unwrap_or_default();
        self.judge(&rig, death, &story);
        // Recovery may be cut short itself: by the process's death, or the machine's with all or nothing of it kept.
        for moment in during {
            self.tried.crash_points += 1;
            for second in [Death::Process, Death::Lost, Death::Kept] {
                // What was lost once is not looked for again; after a machine's death a process's death is no milder.
                let bound = if death == Death::Process { second } else { death };
                let moment = Moment { machine: moment.machine.after(second), ..moment.clone() };
                self.try_again(
                    &moment,
                    bound,
                    &format!("{story}; {second:?} in recovery before {:?}", moment.before),
                );
            }
        }
    }

    fn try_again(&mut self, moment: &Moment, death: Death, story: &str) {
        let site = Site::new(moment.machine.clone(), moment.oracle.clone());
        if self.is_new(&site, death, 0) {
            self.tried.recoveries += 1;
            let rig = Rig::start(&self.runtime, &site, self.limits);
            self.judge(&rig, death, story);
        }
    }

    /// The state after a recovery.
    fn judge(&mut self, rig: &Rig, death: Death, story: &str) {
        let runtime = &self.runtime;
        let residency = rig.engine.meta().residency;
        let resident = residency == Residency::Resident;
        if let Residency::Released { attempt } = residency {
            let digest = rig.engine.table_mark().0;
            assert_eq!(digest, attempt.digest, "{story}: a table that was handed over has changed");
        }
        assert!(rig.engine.table_is_sound(), "{story}: the table's digest is not its rows'");
        for chunk in 0..CHUNKS {
            let (row, place) = (rig.engine.row(chunk), rig.site.lock().machine.chunk(chunk));
            let named =
                rig.site.lock().oracle.elsewhere(chunk, row.held).filter(|_| !row.zero || !row.is_held());
            let torn = named.is_some_and(|values| values != place);
            assert!(!torn, "{story}: chunk {chunk} has torn bytes that are called version {}", row.held);
        }
        // What other sites would get is asked for first: a read may bring bytes here that were not held.
        let rows: Vec<_> = (0..CHUNKS).map(|c| rig.engine.row(c)).collect();
        let all: Vec<u64> = (0..CHUNKS).collect();
        let sent = runtime.block_on(rig.publish(&all)).unwrap_or_else(|e| panic!("{story}: {e}"));
        let mut read = Vec::new();
        for chunk in 0..CHUNKS {
            let row = rows[usize::try_from(chunk).expect("tiny")];
            let far = rig.site.lock().oracle.elsewhere(chunk, row.version);
            let abroad = if !row.exists() || row.zero { Some([0; PER_CHUNK]) } else { far };
            assert!(abroad.is_some(), "{story}: nobody has chunk {chunk} at {} ({row:?})", row.version);
            let mut abroad = abroad.expect("just looked");
            let overlaid = rig.engine.state().overlays.is_open(chunk);
            assert!(
                resident || !overlaid,
                "{story}: chunk {chunk} went along with a part that is no version"
            );
            let here = if resident {
                runtime.block_on(rig.read(chunk)).unwrap_or_else(|e| panic!("{story}: reading {chunk}: {e}"))
            } else {
                abroad
            };
            if overlaid {
                // Read as a whole it has become a version of its own: other sites get that one.
                let sent = runtime.block_on(rig.publish(&[chunk])).unwrap_or_else(|e| panic!("{story}: {e}"));
                assert_eq!(sent, [chunk], "{story}: chunk {chunk} was merged and is not to be had");
                let version = rig.engine.row(chunk).version;
                assert_ne!(version, row.version, "{story}: chunk {chunk} was merged into its base's version");
                abroad = rig.site.lock().oracle.elsewhere(chunk, version).expect("just published");
            }
            assert_eq!(
                here, abroad,
                "{story}: chunk {chunk} reads otherwise here than at another site ({row:?})"
            );
            if !resident {
                let place = rig.site.lock().machine.chunk(chunk);
                let wrong = sent.contains(&chunk) && !row.zero && place != abroad;
                assert!(!wrong, "{story}: chunk {chunk} is called held and is not");
                let ghost = !row.exists() && place != abroad;
                assert!(!ghost, "{story}: old bytes of chunk {chunk} would be read as never written");
            }
            read.extend(here);
        }
        if residency == Residency::Replica {
            return; // No guest was ever promised anything here.
        }
        let oracle = rig.site.lock().oracle.clone();
        for (sector, value) in read.iter().enumerate() {
            assert!(
                oracle.allows(death, sector, *value),
                "{story}: sector {sector} reads {value}, promised was one of {}",
                oracle.history(sector)
            );
        }
        if resident && self.care.life_goes_on {
            self.live_on(rig, &read, story);
        }
    }

    /// What was read once stays, and new writes get new versions.
    fn live_on(&self, rig: &Rig, read: &[u64], story: &str) {
        let site = {
            let mut inner = rig.site.lock();
            inner.oracle.settle(read);
            Site::new(inner.machine.after(Death::Lost), inner.oracle.clone())
        };
        let again = Rig::start(&self.runtime, &site, self.limits);
        self.runtime.block_on(async {
            for chunk in 0..CHUNKS {
                let values = again.read(chunk).await.unwrap_or_else(|e| panic!("{story}: then reading: {e}"));
                assert_eq!(
                    values,
                    read[sectors_of(chunk)],
                    "{story}: chunk {chunk} did not stay as it was read"
                );
            }
            // Publishing checks that no version comes to name two things.
            again.write(sectors_of(0), 900).await.unwrap_or_else(|e| panic!("{story}: then writing: {e}"));
            again.write(part_of(1), 901).await.unwrap_or_else(|e| panic!("{story}: then writing: {e}"));
            again.write(part_of(2), 902).await.unwrap_or_else(|e| panic!("{story}: then writing: {e}"));
            again.publish(&[0, 1, 2]).await.unwrap_or_else(|e| panic!("{story}: then publishing: {e}"));
        });
        drop(Arc::clone(&again.site));
    }
}
