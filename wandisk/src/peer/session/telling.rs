//! What a session tells of itself: how far the peer is, how much goes over it, who waits for what.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::limits::PING;
use super::Session;

impl Session {
    /// Round trip time, once measured.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        let us = self.shared.rtt_us.load(Ordering::Relaxed);
        (us != u64::MAX).then(|| Duration::from_micros(us))
    }

    /// The shortest round trip so far: the line's own, without what waits in buffers.
    pub(in crate::peer) fn shortest_rtt(&self) -> Option<Duration> {
        let us = self.shared.shortest_rtt_us.load(Ordering::Relaxed);
        (us != u64::MAX).then(|| Duration::from_micros(us))
    }

    /// Bytes that came and that went so far.
    pub(in crate::peer) fn bytes(&self) -> (u64, u64) {
        let traffic = &self.shared.traffic;
        (traffic.bytes_in.load(Ordering::Relaxed), traffic.bytes_out.load(Ordering::Relaxed))
    }

    /// Our own requests that have no answer yet.
    pub(in crate::peer) fn asking(&self) -> usize {
        self.shared.waiting().len()
    }

    /// Does neither end wait for anything?
    pub(in crate::peer) fn is_unused(&self) -> bool {
        self.asking() == 0 && self.shared.in_hand.load(Ordering::Relaxed) == 0
    }

    /// Asks the peer for a sign of life.
    pub(in crate::peer) fn ping(&self) {
        self.shared.ping();
    }

    /// Has the peer been heard since another session began, and within two pings?
    pub(in crate::peer) fn heard_since(&self, other: &Session) -> bool {
        let heard = self.shared.began + Duration::from_millis(self.shared.heard_ms.load(Ordering::Relaxed));
        heard >= other.shared.began && heard.elapsed() < 2 * PING
    }
}
