//! Places where a test may have this process killed, to see what the next one finds.
//!
//! With the feature `failpoints`, which only the tests of this workspace turn on, `WANDISK_FAILPOINT=N` in the environment
//! makes the N-th place that is passed the last one (SIGKILL). Without the feature a place costs nothing.

/// A place that was passed.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn pass() {}

/// A place that was passed.
#[cfg(feature = "failpoints")]
pub(crate) fn pass() {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static LAST: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let last = LAST.get_or_init(|| std::env::var("WANDISK_FAILPOINT").ok()?.parse().ok());
    if let Some(last) = last
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *last
    {
        let kill = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal takes effect at once, or there is nothing to test.
        assert!(kill.is_ok(), "this process could not be killed");
    }
}
