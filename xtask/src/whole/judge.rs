//! Hears the agent at both sites, and says at the end whether it was one, and whether its disk has what it said.
//!
//! A number that is said twice would be two agents; one that was said and is not in the file at the end is a loss.

use std::collections::BTreeSet;

use agent_init::{BLOCK, SLOTS, number, place};
use anyhow::{Context, Result, bail, ensure};

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Judge {
    said: BTreeSet<u64>,
}

impl Judge {
    /// Takes a line of the agent's serial port; gives its number, if it says one.
    pub(super) fn take(&mut self, line: &str) -> Result<Option<u64>> {
        if line.starts_with("bad ") {
            bail!("the agent says: {line}");
        }
        let Some(n) = line.strip_prefix("at ").and_then(|n| n.parse().ok()) else { return Ok(None) };
        ensure!(self.said.insert(n), "{n} was said twice: two agents ran");
        Ok(Some(n))
    }

    /// The newest number.
    pub(super) fn newest(&self) -> u64 {
        self.said.last().copied().unwrap_or(0)
    }

    /// How many were said.
    pub(super) fn said(&self) -> usize {
        self.said.len()
    }

    /// The file holds what was said, and nothing is torn.
    pub(super) fn compare(&self, slots: &[u8]) -> Result<()> {
        let newest = self.newest();
        ensure!(newest > 0, "the agent said nothing");
        for slot in 0..SLOTS {
            let at = usize::try_from(place(slot))?;
            let bytes = slots.get(at..at + BLOCK).context("the file is too short")?;
            let found = number(bytes).with_context(|| format!("slot {slot} is torn"))?;
            let due = (newest.saturating_sub(SLOTS - 1)..=newest).find(|n| n % SLOTS == slot).unwrap_or(0);
            ensure!(found == due || found > newest, "slot {slot} holds {found}, {due} was said to be there");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_init::{STRIDE, block};

    fn slots(newest: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(SLOTS * STRIDE).unwrap()];
        for n in newest.saturating_sub(SLOTS - 1).max(1)..=newest {
            let at = usize::try_from(place(n)).unwrap();
            bytes[at..at + BLOCK].copy_from_slice(&block(n));
        }
        bytes
    }

    #[test]
    fn two_agents_a_loss_and_a_torn_block_are_seen() {
        let mut judge = Judge::default();
        for n in 1..=60 {
            assert_eq!(judge.take(&format!("at {n}")).unwrap(), Some(n));
        }
        assert_eq!(judge.take("typed x").unwrap(), None);
        judge.compare(&slots(60)).unwrap();
        // Written, and not yet said.
        judge.compare(&slots(61)).unwrap();
        assert!(judge.compare(&slots(59)).unwrap_err().to_string().contains("60 was said"));
        let mut torn = slots(60);
        torn[usize::try_from(place(55)).unwrap() + 2000] ^= 1;
        assert!(judge.compare(&torn).unwrap_err().to_string().contains("torn"));
        assert!(judge.take("at 60").unwrap_err().to_string().contains("two agents"));
        assert!(judge.take("bad 7: x").is_err());
    }
}
