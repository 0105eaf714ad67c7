//! A connection's second thread: sends the replies of requests that were done off the reader thread, where the task
//! that did them could not without waiting.
//!
//! It sleeps while there are none, which is nearly always.

use std::io::{self, IoSlice};

use crate::outbox::{Outbox, Reply};
use crate::wire::Wire;

/// Replies sent with one call; twice as many parts must be below what the system takes at once.
const MOST_AT_ONCE: usize = 128;

/// Runs until the outbox is closed and empty. Once sending fails, replies are only accounted for.
pub(crate) fn run(outbox: &Outbox, wire: &Wire) {
    let mut broken = false;
    while let Some(replies) = outbox.next() {
        if !broken && let Err(e) = send(&replies, wire) {
            tracing::debug!(error = %e, "a client went away before its replies");
            broken = true;
            // The reader may be waiting for requests of a client that is gone.
            wire.cut();
        }
        outbox.release(&replies);
    }
}

fn send(replies: &[Reply], wire: &Wire) -> io::Result<()> {
    for some in replies.chunks(MOST_AT_ONCE) {
        let mut parts: Vec<IoSlice<'_>> = some
            .iter()
            .flat_map(|reply| [IoSlice::new(reply.head.as_bytes()), IoSlice::new(&reply.data)])
            .collect();
        wire.send_parts(&mut parts)?;
    }
    Ok(())
}
