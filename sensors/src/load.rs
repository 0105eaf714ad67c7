//! What the agent consumes, and what external sensors say: averages over the window.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::interaction::mean;
use crate::{Net, Readings};

/// Most samples kept of each kind: ten a second for an hour.
const SAMPLES_MAX: usize = 36_000;
/// Most anchors and most external sensors.
const NAMES_MAX: usize = 64;

/// A sample of all vCPUs.
#[derive(Debug)]
struct Cpu {
    at: Duration,
    wall: Duration,
    /// Mean share of all, and share of the busiest.
    all: f64,
    busiest: f64,
}

/// What passed an anchor, and how long it was waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) inward: u64,
    pub(crate) outward: u64,
    pub(crate) waited: Duration,
}

#[derive(Debug, Default)]
struct Bytes {
    samples: VecDeque<(Duration, Passed)>,
}

/// The windows of load.
#[derive(Debug, Default)]
pub(crate) struct Load {
    cpu: VecDeque<Cpu>,
    host: VecDeque<(Duration, f64)>,
    net: BTreeMap<String, Bytes>,
    external: BTreeMap<String, VecDeque<(Duration, f64)>>,
}

impl Load {
    /// What vCPUs did in `wall` before `at`. A sample of no time or no vCPU says nothing.
    pub(crate) fn cpu(&mut self, at: Duration, wall: Duration, busy: &[Duration]) {
        if wall.is_zero() {
            return;
        }
        // A counter and the clock are not read at one moment: a little more than all is all.
        let shares: Vec<f64> =
            busy.iter().map(|busy| (busy.as_secs_f64() / wall.as_secs_f64()).min(1.0)).collect();
        let Some(all) = mean(&shares) else { return };
        let busiest = shares.iter().copied().fold(0.0, f64::max);
        push(&mut self.cpu, Cpu { at, wall, all, busiest });
    }

    /// Share of the host in use.
    pub(crate) fn host(&mut self, at: Duration, share: f64) {
        if share.is_finite() {
            push(&mut self.host, (at, share.clamp(0.0, 1.0)));
        }
    }

    /// Bytes through an anchor.
    pub(crate) fn net(&mut self, at: Duration, anchor: String, passed: Passed) {
        if self.net.len() < NAMES_MAX || self.net.contains_key(&anchor) {
            push(&mut self.net.entry(anchor).or_default().samples, (at, passed));
        }
    }

    /// A value of an external sensor. What is no number says nothing.
    pub(crate) fn external(&mut self, at: Duration, name: String, value: f64) {
        if value.is_finite() && (self.external.len() < NAMES_MAX || self.external.contains_key(&name)) {
            push(self.external.entry(name).or_default(), (at, value));
        }
    }

    /// Forgets what was before `oldest`. A sample that ends at `oldest` is of the time before it. An anchor stays known:
    /// no traffic is a reading. An external sensor that says nothing for a window does not.
    pub(crate) fn forget(&mut self, oldest: Duration) {
        let old = |at: Duration| at <= oldest && !oldest.is_zero();
        forget(&mut self.cpu, |cpu| old(cpu.at));
        forget(&mut self.host, |(at, _)| old(*at));
        self.net.values_mut().for_each(|bytes| forget(&mut bytes.samples, |(at, _)| old(*at)));
        self.external.values_mut().for_each(|values| forget(values, |(at, _)| old(*at)));
        self.external.retain(|_, values| !values.is_empty());
    }

    /// Says what the window holds; its length is in `readings`.
    pub(crate) fn read(&self, readings: &mut Readings) {
        let wall: f64 = self.cpu.iter().map(|cpu| cpu.wall.as_secs_f64()).sum();
        let share = |of: fn(&Cpu) -> f64| {
            let busy: f64 = self.cpu.iter().map(|cpu| of(cpu) * cpu.wall.as_secs_f64()).sum();
            (wall > 0.0).then(|| (busy / wall).clamp(0.0, 1.0))
        };
        readings.cpu = share(|cpu| cpu.all);
        readings.busiest = share(|cpu| cpu.busiest);
        readings.host = mean_of(&self.host);
        let span = readings.span.as_secs_f64();
        readings.net = self.net.iter().map(|(anchor, bytes)| (anchor.clone(), bytes.rate(span))).collect();
        readings.external = self
            .external
            .iter()
            .filter_map(|(name, values)| Some((name.clone(), mean_of(values)?)))
            .collect();
    }
}

impl Bytes {
    #[expect(clippy::cast_precision_loss, reason = "a rate to 53 bits is exact enough")]
    fn rate(&self, span: f64) -> Net {
        let rate = |way: fn(&Passed) -> u64| {
            self.samples.iter().fold(0u64, |sum, (_, passed)| sum.saturating_add(way(passed))) as f64 / span
        };
        let waited: f64 = self.samples.iter().map(|(_, passed)| passed.waited.as_secs_f64()).sum();
        Net {
            inward: rate(|passed| passed.inward),
            outward: rate(|passed| passed.outward),
            // What was waited for at the window's beginning may be told within it.
            waited: (waited / span).clamp(0.0, 1.0),
        }
    }
}

fn mean_of(samples: &VecDeque<(Duration, f64)>) -> Option<f64> {
    mean(&samples.iter().map(|(_, value)| *value).collect::<Vec<_>>())
}

fn push<T>(queue: &mut VecDeque<T>, sample: T) {
    if queue.len() >= SAMPLES_MAX {
        queue.pop_front();
    }
    queue.push_back(sample);
}

fn forget<T>(queue: &mut VecDeque<T>, old: impl Fn(&T) -> bool) {
    while queue.front().is_some_and(&old) {
        queue.pop_front();
    }
}
