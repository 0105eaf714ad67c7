//! Where the power is cut: at flushes of a log, with or without a part of what was on its way then.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::Rng;
use crate::log::{Log, What};
use crate::machine::{Played, Stores};

/// Fewer mean nothing, however slow the machine is.
const AT_LEAST: usize = 8;

/// Cuts the power at flushes after the first mark and lets each be judged: as many as the time allows, spread over the whole
/// log; all of them with `POWER_ALL`.
pub(crate) fn cut(
    log: &Log,
    stores: Stores,
    rng: &mut Rng,
    time: Duration,
    mut judge: impl FnMut(usize, &str),
) {
    let born = log.born();
    let barriers: Vec<usize> =
        (0..log.entries.len()).filter(|n| *n >= born && log.entries[*n].is_barrier).collect();
    assert!(barriers.len() > 100, "the story must flush");

    let all = std::env::var_os("POWER_ALL").is_some();
    let began = Instant::now();
    let mut played = Played::new(stores);
    let (mut judged, mut torn, mut next) = (0, 0, 0);
    while next < barriers.len() {
        let at = barriers[next] + 1;
        played.go_to(log, at);
        let rest = &log.entries[at..];
        let upto = rest.iter().position(|e| e.is_barrier).unwrap_or(rest.len());
        let on_its_way = &rest[..upto];
        let is_torn = rng.below(2) == 0 && on_its_way.iter().any(|e| matches!(e.what, What::Write { .. }));
        let booted = {
            let mut arrived = Rng(rng.below(u64::MAX) | 1);
            played.boot(log, if is_torn { on_its_way } else { &[] }, || arrived.below(2) == 0)
        };
        // What was on its way may have been sent after a flush was acknowledged that was durable before.
        let lived = if is_torn { at + upto } else { at };
        judge(lived, &format!("entry {at}, torn: {is_torn}"));
        drop(booted);
        (judged, torn) = (judged + 1, torn + usize::from(is_torn));
        let left = time.saturating_sub(began.elapsed());
        let each = began.elapsed() / u32::try_from(judged).unwrap();
        let more = usize::try_from(left.as_millis() / each.as_millis().max(1)).unwrap();
        let needed = AT_LEAST.saturating_sub(judged);
        let more = more.max(needed);
        let to_go = barriers.len() - next - 1;
        if to_go == 0 || (more == 0 && !all) {
            break;
        }
        // As far as `step` on average; never past one when all are wanted.
        let step = if all { 1 } else { ((to_go + 1) / (more + 1)).max(1) };
        let ahead = 1 + usize::try_from(rng.below(2 * step as u64 - 1)).unwrap();
        next = (next + ahead).min(barriers.len() - needed);
    }
    // Past the test harness, which shows what a test says only when it fails.
    let told = writeln!(
        std::io::stderr(),
        "{judged} of {} flushes judged, {torn} of them with a part of what was on its way, {} s",
        barriers.len(),
        began.elapsed().as_secs()
    );
    told.unwrap();
}
