//! One way of a WAN as events in and actions out: a queue, a sender of fixed rate, and a delay.
//!
//! A packet waits until those before it are sent, takes its length over the rate to be sent, and arrives
//! after the delay. All is computed from the time a packet came, so that a late caller changes when it
//! is delivered, never the rate. Invariants: packets arrive in the order they came; no two are sent at
//! the same time; no more than the queue's bytes wait to be sent (one packet always may).

use std::collections::VecDeque;
use std::time::Duration;

/// What a way is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Bits of IP packets a second; never 0.
    pub(crate) rate: u64,
    /// From the end of sending to the arrival.
    pub(crate) delay: Duration,
    /// Up to so much more, evenly spread, a packet.
    pub(crate) jitter: Duration,
    /// The share of packets that is lost, 0 to 1.
    pub(crate) loss: f64,
    /// Bytes that may wait to be sent.
    pub(crate) queue: u64,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It will arrive.
    Taken,
    /// The queue was full.
    Full,
    /// Bad luck.
    Lost,
}

/// What went through.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes taken.
    pub(crate) bytes: u64,
    /// Packets taken.
    pub(crate) packets: u64,
    /// Packets that found the queue full.
    pub(crate) full: u64,
    /// Packets lost by chance.
    pub(crate) lost: u64,
}

/// The way. Times are since any moment the caller likes, as long as it is always the same.
#[derive(Debug)]
pub(crate) struct Line<P> {
    settings: Settings,
    chance: fastrand::Rng,
    /// When everything taken so far will have been sent.
    free_at: Duration,
    last_arrival: Duration,
    under_way: VecDeque<(Duration, P)>,
    counts: Counts,
}

impl<P> Line<P> {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            chance: fastrand::Rng::with_seed(seed),
            free_at: Duration::ZERO,
            last_arrival: Duration::ZERO,
            under_way: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A packet that counts as so many bytes comes.
    pub(crate) fn offer(&mut self, now: Duration, bytes: u64, packet: P) -> Fate {
        let backlog = self.backlog(now);
        if backlog > 0 && backlog + bytes > self.settings.queue {
            self.counts.full += 1;
            return Fate::Full;
        }
        self.free_at = self.free_at.max(now) + self.sending(bytes);
        if self.settings.loss > 0.0 && self.chance.f64() < self.settings.loss {
            // Lost behind the queue: it has used the line.
            self.counts.lost += 1;
            return Fate::Lost;
        }
        let extra = self.settings.jitter.mul_f64(self.chance.f64());
        let arrival = (self.free_at + self.settings.delay + extra).max(self.last_arrival);
        self.last_arrival = arrival;
        self.under_way.push_back((arrival, packet));
        self.counts.packets += 1;
        self.counts.bytes += bytes;
        Fate::Taken
    }

    /// The next packet that has arrived.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<P> {
        if self.next_arrival()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, packet)| packet)
    }

    /// When the next packet arrives, if any is under way.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.under_way.front().map(|(arrival, _)| *arrival)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes not yet sent.
    fn backlog(&self, now: Duration) -> u64 {
        let left = self.free_at.saturating_sub(now).as_nanos();
        let bytes = (left * u128::from(self.settings.rate)).div_ceil(8_000_000_000);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn sending(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 8_000_000_000 / u128::from(self.settings.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 Mbit/s: a byte takes a microsecond.
    const SLOW: Settings = Settings {
        rate: 8_000_000,
        delay: Duration::from_millis(30),
        jitter: Duration::ZERO,
        loss: 0.0,
        queue: 10_000,
    };

    fn us(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    fn arrivals<P>(line: &mut Line<P>) -> Vec<Duration> {
        std::iter::from_fn(|| {
            let at = line.next_arrival()?;
            line.arrived(at).map(|_| at)
        })
        .collect()
    }

    #[test]
    fn a_packet_takes_its_length_over_the_rate_and_the_delay() {
        let mut line = Line::new(SLOW, 1);
        assert_eq!(line.offer(us(500), 1000, ()), Fate::Taken);
        assert_eq!(line.arrived(us(31_499)), None);
        assert_eq!(line.arrived(us(31_500)), Some(()));
        assert_eq!(line.next_arrival(), None);
    }

    #[test]
    fn packets_that_come_together_are_sent_one_after_the_other() {
        let mut line = Line::new(SLOW, 1);
        for packet in 0..3 {
            line.offer(us(0), 1000, packet);
        }
        assert_eq!(arrivals(&mut line), [us(31_000), us(32_000), us(33_000)]);
        // After a pause nothing is left of it: no credit is saved up.
        line.offer(us(50_000), 1000, 3);
        line.offer(us(50_000), 1000, 4);
        assert_eq!(arrivals(&mut line), [us(81_000), us(82_000)]);
    }

    #[test]
    fn the_rate_is_exact_however_late_the_caller_looks() {
        let mut line = Line::new(Settings { queue: u64::MAX, ..SLOW }, 1);
        for _ in 0..1000 {
            line.offer(us(0), 1500, ());
        }
        assert_eq!(arrivals(&mut line).last(), Some(&us(30_000 + 1_500_000)));
        assert_eq!(line.counts(), Counts { bytes: 1_500_000, packets: 1000, full: 0, lost: 0 });
    }

    #[test]
    fn a_full_queue_takes_nothing_until_there_is_room_again() {
        let mut line = Line::new(SLOW, 1);
        for _ in 0..10 {
            assert_eq!(line.offer(us(0), 1000, ()), Fate::Taken);
        }
        assert_eq!(line.offer(us(0), 1, ()), Fate::Full);
        assert_eq!(line.offer(us(999), 1000, ()), Fate::Full);
        assert_eq!(line.offer(us(1000), 1000, ()), Fate::Taken);
        assert_eq!(line.counts().full, 2);
    }

    #[test]
    fn a_packet_larger_than_the_queue_passes_when_nothing_waits() {
        let mut line = Line::new(SLOW, 1);
        assert_eq!(line.offer(us(0), 20_000, ()), Fate::Taken);
        assert_eq!(line.offer(us(0), 1, ()), Fate::Full);
    }

    #[test]
    fn jitter_delays_and_keeps_the_order() {
        let jitter = Duration::from_millis(5);
        let mut line = Line::new(Settings { jitter, queue: u64::MAX, ..SLOW }, 7);
        let mut quiet = Line::new(Settings { queue: u64::MAX, ..SLOW }, 7);
        for packet in 0..1000 {
            line.offer(us(packet * 200), 100, packet);
            quiet.offer(us(packet * 200), 100, packet);
        }
        let (late, plain) = (arrivals(&mut line), arrivals(&mut quiet));
        assert!(late.is_sorted());
        let extra: Vec<_> = late.iter().zip(&plain).map(|(late, plain)| *late - *plain).collect();
        assert!(extra.iter().all(|extra| *extra <= jitter));
        assert!(extra.iter().any(|extra| *extra > jitter / 2));
    }

    #[test]
    fn the_share_that_is_lost_is_the_one_asked_for_and_the_same_again() {
        let lossy = Settings { loss: 0.02, queue: u64::MAX, ..SLOW };
        let run = |seed| {
            let mut line = Line::new(lossy, seed);
            (0..10_000).map(|_| line.offer(us(0), 100, ())).collect::<Vec<_>>()
        };
        let lost = run(3).iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((150..250).contains(&lost), "{lost} of 10000");
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
