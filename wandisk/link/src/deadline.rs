//! One moment by which a dial has to be done, shared by all its steps.

use std::time::{Duration, Instant};

use crate::error::DialError;

/// Armed before the first byte and never moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    total: Duration,
}

impl Deadline {
    pub(crate) fn after(total: Duration) -> Deadline {
        Deadline { at: Instant::now() + total, total }
    }

    /// What is left; [`DialError::TimedOut`] when nothing is.
    pub(crate) fn left(&self) -> Result<Duration, DialError> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.passed()) } else { Ok(left) }
    }

    /// What is left in whole milliseconds, at least one: libssh2 takes zero for "for ever".
    pub(crate) fn left_ms(&self) -> Result<u32, DialError> {
        Ok(u32::try_from(self.left()?.as_millis()).unwrap_or(u32::MAX).max(1))
    }

    pub(crate) fn passed(&self) -> DialError {
        DialError::TimedOut { after: self.total }
    }
}
