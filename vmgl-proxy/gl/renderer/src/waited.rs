//! What the program has waited for, as it tells itself: by command how often and how long.
//!
//! Invariant: only commands that there are have a place here, so there are never more than those.

use std::collections::{BTreeMap, BTreeSet};

use vmgl_gl_stream::waited_name;

use crate::words::Waited;

/// Most of them that are told at once: they fit into a packet.
const AT_ONCE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    all: BTreeMap<u16, Waited>,
    /// Those of which the proxy has not been told all.
    changed: BTreeSet<u16>,
}

impl Waits {
    /// The program has waited for a command's answer; whether there is such a command.
    pub(crate) fn add(&mut self, opcode: u32, micros: u32) -> bool {
        let Some(opcode) = u16::try_from(opcode).ok().filter(|opcode| waited_name(*opcode).is_some()) else {
            return false;
        };
        let it = self.all.entry(opcode).or_insert(Waited { opcode, times: 0, micros: 0 });
        it.times += 1;
        it.micros = it.micros.saturating_add(micros.into());
        self.changed.insert(opcode);
        true
    }

    /// What is to be told next; nothing if all is told.
    pub(crate) fn take(&mut self) -> Vec<Waited> {
        let told: Vec<u16> = self.changed.iter().take(AT_ONCE).copied().collect();
        self.changed.retain(|opcode| !told.contains(opcode));
        told.iter().filter_map(|opcode| self.all.get(opcode).copied()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use vmgl_gl_stream::Command;

    use super::*;
    use crate::words::{FromRenderer, hear, pair, say};

    #[test]
    fn what_was_waited_for_is_counted_by_its_command_and_told_once() {
        let status = Command::CheckFramebufferStatus { reply: 1, target: 2 }.opcode();
        let value = Command::GetBooleanv { reply: 1, pname: 2, data_cap: 1 }.opcode();
        let mut waits = Waits::default();
        assert!(
            waits.add(status.into(), 5) && waits.add(status.into(), u32::MAX) && waits.add(value.into(), 1)
        );
        for nonsense in [0, 5, 255, u32::MAX, 65_000] {
            assert!(!waits.add(nonsense, 1), "{nonsense}");
        }
        let mut told = waits.take();
        told.sort_unstable_by_key(|it| it.times);
        assert_eq!(told[1], Waited { opcode: status, times: 2, micros: u64::from(u32::MAX) + 5 });
        assert_eq!(told.len(), 2);
        assert!(waits.take().is_empty());
    }

    #[test]
    fn as_many_as_there_are_are_told_in_packets_that_are_not_too_long() {
        let mut waits = Waits::default();
        let known = (0..=u16::MAX).filter(|opcode| waits.add((*opcode).into(), u32::MAX)).count();
        let (here, there) = pair().unwrap();
        let mut heard = 0;
        loop {
            let told = waits.take();
            if told.is_empty() {
                break;
            }
            heard += told.len();
            let most =
                told.into_iter().map(|it| Waited { times: u64::MAX, micros: u64::MAX, ..it }).collect();
            say(&here, &FromRenderer::Waited(most), None).unwrap();
            assert!(hear::<FromRenderer>(&there).unwrap().is_some());
        }
        assert!(known > 600 && heard == known, "{heard} of {known}");
    }
}
