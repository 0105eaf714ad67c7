//! How many connections a busy link has: more of them while each is as full as a connection can be.
//!
//! An SSH server lets no more than 2 MiB be under way on a connection, and a kernel not much more on a TCP socket: on a
//! long fat line one connection brings 2 MiB a round trip, however fast the line. So whoever dialled a site looks at
//! what goes over its sessions there, and dials more where they are full or much is about to go, up to a bound; when nothing has gone
//! over them for a while, one is left. Bulk requests are spread over what there is, at either end.
//!
//! And a connection that was quiet begins slowly: ten packets, then twice as many each round trip, which is four round
//! trips for a chunk. So while somebody at either end waits for chunks of a far site now and then, there are as many
//! connections as have a chunk's packets together (`demand` spreads one over them). Not while much is on its way: what is asked
//! for then goes over a connection that is warm, and a login takes a tenth of a second of either end's processor.
//! They come in turns, one at first and then as many as there are: ten are there after four turns. Each turn needs bytes that
//! came for somebody who waits, since the turn before: who waited once, or for what nobody has, gets none.
//!
//! Invariant: no session is closed here over which either end is still waiting for an answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use wandisk_store::{Home, SiteEntry};

use super::Peers;
use super::demand::REMEMBERED;
use crate::peer::dial;
use crate::peer::limits::{LINK_WIDTH_FULL, LINK_WIDTH_MAX};
use crate::peer::permit::Mode;
use crate::peer::session::Session;

/// Sessions are looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes under way on a connection that is as full as it gets: three quarters of what an SSH server lets be. Less is no sign of
/// it: what is counted where it is sent is at first what buffers take, 17 MB/s on a line of 12.5.
const FULL: f64 = (3 << 19) as f64;
/// More bytes under way than those who wait for a chunk or two ask for: others come ahead of demand.
const MUCH: f64 = (256 << 10) as f64;
/// Less than this is no traffic but pings, in bytes a second.
const QUIET: f64 = 4096.0;
/// Without traffic for this long, the further connections are closed.
const IDLE: Duration = Duration::from_secs(15);
/// From this round trip on, what a connection takes to begin is worth further ones.
const FAR: Duration = Duration::from_millis(20);
/// Logins that take so much longer than their round trips tell of a busy machine: more of them are no help.
const LOGIN_ROUND_TRIPS: u32 = 20;
const LOGIN: Duration = Duration::from_secs(2);
/// After one that could not be had, or took long, none is tried for this long.
const NO_MORE: Duration = Duration::from_secs(60);

/// How many connections there should be, of so many, over which so many bytes a second go, either way the busier; and whether
/// much is about to.
fn wanted(connections: usize, rate: f64, round_trip: Duration, much: bool) -> usize {
    let under_way = rate * round_trip.as_secs_f64();
    let expected = much && round_trip >= FAR;
    if connections == 0 || !expected && under_way < FULL * connections as f64 {
        return connections;
    }
    // All at once: a dial takes ten round trips, and each connection begins slowly.
    LINK_WIDTH_FULL.max(connections)
}

/// Is so much on its way, at so many bytes a second, that no connection is quiet?
fn is_warm(rate: f64, round_trip: Duration) -> bool {
    rate * round_trip.as_secs_f64() > MUCH
}

/// How many connections are kept for those who wait for chunks, the last of whom had one so long ago.
fn kept(served: Option<Duration>, round_trip: Duration) -> usize {
    let again = served.is_some_and(|ago| ago < REMEMBERED) && round_trip >= FAR;
    if again { LINK_WIDTH_MAX } else { 1 }
}

/// How many more are dialled in one turn for those who wait, of so many that are kept: as many as there are, so never more
/// than half of them. (Servers refuse some where ten logins have not ended.)
fn next_turn(connections: usize, kept: usize) -> usize {
    kept.saturating_sub(connections).min(connections)
}

/// What has gone over some sessions so far, the busier way.
#[derive(Clone, Copy, Default)]
struct Gone {
    bytes_in: u64,
    bytes_out: u64,
}

impl Gone {
    fn over(sessions: &[Session]) -> Gone {
        let each = sessions.iter().map(Session::bytes);
        each.fold(Gone::default(), |sum, (bytes_in, bytes_out)| Gone {
            bytes_in: sum.bytes_in + bytes_in,
            bytes_out: sum.bytes_out + bytes_out,
        })
    }

    /// Bytes a second since then.
    fn rate(self, then: Gone, took: Duration) -> f64 {
        let bytes_in = self.bytes_in.saturating_sub(then.bytes_in);
        let bytes_out = self.bytes_out.saturating_sub(then.bytes_out);
        bytes_in.max(bytes_out) as f64 / took.as_secs_f64().max(1e-3)
    }
}

impl Peers {
    /// Looks after the width of the link that a session which was dialled has begun, until its last session has ended.
    pub(super) fn look_after_width(self: &Arc<Self>, home: Home, entry: SiteEntry, first: Session) {
        tokio::spawn(look_after(Arc::downgrade(self), home, entry, first));
    }

    /// One more connection of a link, for much at a time or for little; none if it cannot be had.
    async fn one_more(
        self: &Arc<Self>,
        home: &Home,
        entry: &SiteEntry,
        first: &Session,
        much: bool,
    ) -> Option<Session> {
        let desk = self.desk(Mode::of_dialled(entry, home.sites()));
        let link = if much { dial::bulk_link(entry).await } else { dial::link(entry).await };
        let session = match link {
            Ok(link) => dial::session(link, home, entry, &self.hello(), desk).await,
            Err(why) => Err(why),
        };
        match session {
            Ok(session) if session.peer().site == first.peer().site => {
                self.keep(session.clone());
                Some(session)
            }
            Ok(session) => {
                session.close("another site was expected");
                None
            }
            Err(why) => {
                tracing::info!(site = entry.name, why, "the link gets no further connection");
                None
            }
        }
    }
}

async fn look_after(peers: Weak<Peers>, home: Home, entry: SiteEntry, first: Session) {
    let mut sessions = vec![first.clone()];
    let (mut then, mut at, mut busy_at) = (Gone::over(&sessions), Instant::now(), Instant::now());
    let mut grows_from = at;
    loop {
        tokio::time::sleep(LOOK).await;
        sessions.retain(|session| !session.is_closed());
        let (Some(peers), false) = (peers.upgrade(), sessions.is_empty()) else { return };
        if peers.is_ending() {
            return;
        }
        let (now, moment) = (Gone::over(&sessions), Instant::now());
        let site = first.peer().site;
        let goes_on = peers.demand.goes_on_since(site, at.into_std());
        let rate = now.rate(then, moment - at);
        (then, at) = (now, moment);
        if rate > QUIET {
            busy_at = moment;
        }
        let round_trip = sessions.iter().filter_map(Session::shortest_rtt).min().unwrap_or_default();
        let kept = kept(peers.demand.served(site), round_trip);
        let much = peers.demand.expects_much(site);
        let for_much = wanted(sessions.len(), rate, round_trip, much).saturating_sub(sessions.len());
        let waits = goes_on && !is_warm(rate, round_trip);
        let for_waiting = if waits { next_turn(sessions.len(), kept) } else { 0 };
        let more = for_much.max(for_waiting);
        if moment >= grows_from && more > 0 {
            // Another copy of this task is not: dials may take long, and nothing else is to be done meanwhile.
            let dials = (0..more).map(|_| peers.one_more(&home, &entry, &first, for_much > 0));
            let dialled = futures::future::join_all(dials).await;
            if dialled.iter().any(Option::is_none)
                || moment.elapsed() > round_trip * LOGIN_ROUND_TRIPS + LOGIN
            {
                grows_from = Instant::now() + NO_MORE;
            }
            sessions.extend(dialled.into_iter().flatten());
            tracing::debug!(site = entry.name, connections = sessions.len(), rate, "the link is wider");
            (then, at) = (Gone::over(&sessions), Instant::now());
        } else if busy_at.elapsed() > IDLE && sessions.len() > kept {
            // The first that can be: what is asked next goes over the newest.
            if let Some(at) = sessions.iter().position(Session::is_unused) {
                sessions.remove(at).close("the link is quiet");
                (then, grows_from) = (Gone::over(&sessions), moment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_fat_line_gets_connections_until_they_fill_it() {
        // What a server lets through at most, on a line of 1 Gbit/s.
        let flows = |connections: usize| (connections as f64 * 18e6).min(120e6);
        let mut connections = 1;
        for _ in 0..4 {
            connections = wanted(connections, flows(connections), Duration::from_millis(100), false);
        }
        assert_eq!(connections, LINK_WIDTH_FULL);
    }

    #[test]
    fn a_line_that_one_connection_fills_has_one() {
        assert_eq!(wanted(1, 12.5e6, Duration::from_millis(66), false), 1);
        assert_eq!(wanted(1, 21e6, Duration::from_millis(66), false), 1, "while buffers fill");
        assert_eq!(wanted(1, 1.25e9, Duration::from_micros(200), false), 1);
        assert_eq!(wanted(1, 1e9, Duration::ZERO, false), 1);
    }

    #[test]
    fn what_is_known_to_be_much_is_not_waited_for_on_a_long_line() {
        assert_eq!(wanted(1, 0.0, FAR, true), LINK_WIDTH_FULL);
        assert_eq!(wanted(LINK_WIDTH_MAX, 0.0, FAR, true), LINK_WIDTH_MAX);
        assert_eq!(wanted(1, 0.0, Duration::from_millis(1), true), 1);
    }

    #[test]
    fn there_are_never_more_than_a_few() {
        for connections in 1..=2 * LINK_WIDTH_FULL {
            assert!(wanted(connections, f64::MAX, FAR, false) <= LINK_WIDTH_FULL.max(connections));
        }
    }

    #[test]
    fn readers_who_wait_for_one_chunk_after_the_other_leave_a_line_cold_and_prefetch_does_not() {
        for ms in [33, 66, 100] {
            let round_trip = Duration::from_millis(ms);
            let rate_of_one = f64::from(128 << 10) / (round_trip.as_secs_f64() + 0.013);
            assert!(!is_warm(rate_of_one, round_trip) && is_warm(12.5e6, round_trip));
        }
    }

    #[test]
    fn one_connection_more_comes_first_and_all_are_there_after_four_turns() {
        let mut connections = vec![1];
        while next_turn(*connections.last().unwrap(), LINK_WIDTH_MAX) > 0 {
            let there = connections.last().unwrap();
            connections.push(there + next_turn(*there, LINK_WIDTH_MAX));
        }
        assert_eq!(connections, [1, 2, 4, 8, LINK_WIDTH_MAX]);
        assert_eq!(next_turn(LINK_WIDTH_MAX, 1), 0);
    }

    #[test]
    fn whoever_waited_for_a_far_site_has_its_connections_for_a_while() {
        let ago = Duration::from_secs;
        assert_eq!(kept(Some(ago(0)), FAR), LINK_WIDTH_MAX);
        assert_eq!(kept(Some(ago(599)), FAR), LINK_WIDTH_MAX);
        assert_eq!(kept(Some(ago(600)), FAR), 1);
        assert_eq!(kept(Some(ago(0)), Duration::from_millis(1)), 1);
        assert_eq!(kept(None, FAR), 1);
    }
}
