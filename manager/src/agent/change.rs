//! What may change of an agent's description after it was created: which site is its home, what was said about it there
//! ([`super::word`]), and what is in its CD drive. Pure.
//!
//! Each change is counted in the description. A change of home is made at one site at a time (the home, or where the home is lost the
//! site that takes its place), one of the drive only where the agent is; so of two descriptions that differ the one with the larger
//! count is the later one, whichever site tells of it.
//!
//! Invariant: whatever else differs makes two descriptions those of different machines.

use super::word::Word;
use super::{Agent, BootFile, FORMAT};

impl Agent {
    /// Has its machine a CD drive? Whether it has was fixed when it was created.
    #[must_use]
    pub fn has_cd_drive(&self) -> bool {
        self.cdrom.is_some() || self.cd_changes > 0
    }

    /// The same with this in its drive.
    #[must_use]
    pub fn with_cd(&self, cdrom: Option<BootFile>) -> Agent {
        let cd_changes = self.cd_changes.saturating_add(1);
        Agent { format: FORMAT, cdrom, cd_changes, ..self.clone() }
    }

    /// The same with another home.
    #[must_use]
    pub fn with_home(&self, home: &str) -> Agent {
        let home_changes = self.home_changes.saturating_add(1);
        Agent { format: FORMAT, home: home.to_owned(), home_changes, ..self.clone() }
    }

    /// What is known of an agent when a site tells `told` of it: of each that may change the later. `None` if they are not of one
    /// machine.
    #[must_use]
    pub fn joined(&self, told: &Agent) -> Option<Agent> {
        let fixed = |agent: &Agent| Agent {
            format: FORMAT,
            home: String::new(),
            home_changes: 0,
            word: None,
            cdrom: None,
            cd_changes: 0,
            ..agent.clone()
        };
        let two_cds = self.cd_changes == told.cd_changes && self.cdrom != told.cdrom;
        if fixed(self) != fixed(told) || two_cds || self.has_cd_drive() != told.has_cd_drive() {
            return None;
        }
        let mut joined = Agent { format: self.format.max(told.format), ..self.clone() };
        // (Where the count is the same, a program that did not count has changed it.)
        if told.home_changes >= self.home_changes {
            joined.home.clone_from(&told.home);
            joined.home_changes = told.home_changes;
        }
        if told.word.as_ref().map(Word::age) > self.word.as_ref().map(Word::age) {
            joined.word.clone_from(&told.word);
        }
        if told.cd_changes > self.cd_changes {
            joined.cdrom.clone_from(&told.cdrom);
            joined.cd_changes = told.cd_changes;
        }
        Some(joined)
    }

    /// What is different in this description, which is the later one, for its log.
    #[must_use]
    pub fn news_since(&self, earlier: &Agent) -> String {
        let mut news = Vec::new();
        if self.home != earlier.home {
            news.push(format!("its home is site {} now", self.home));
        }
        if self.word != earlier.word {
            news.push("what was said about it at its home is known here now".to_owned());
        }
        if self.cdrom != earlier.cdrom {
            news.push(match &self.cdrom {
                Some(file) => format!("{} is in its CD drive now", file.path),
                None => "its CD drive is empty now".to_owned(),
            });
        }
        news.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;

    fn file(path: &str) -> Option<BootFile> {
        Some(BootFile { path: path.to_owned(), len_bytes: 1 })
    }

    #[test]
    fn of_two_descriptions_the_later_home_and_the_later_cd_count_whoever_tells_first() {
        let old = example();
        let at_big = old.with_home("big");
        let ejected = old.with_cd(None);
        for (one, other) in [(&at_big, &ejected), (&ejected, &at_big)] {
            let joined = one.joined(other).unwrap();
            assert_eq!((joined.home.as_str(), joined.cdrom.as_ref()), ("big", None));
            assert_eq!(joined.joined(&old).as_ref(), Some(&joined), "what is old changes nothing");
            assert_eq!(old.joined(&joined).as_ref(), Some(&joined));
            joined.check().unwrap();
        }
        let again = ejected.with_cd(file("/srv/b.iso"));
        assert_eq!(again.joined(&ejected).unwrap().cdrom, file("/srv/b.iso"));
        assert_eq!(ejected.news_since(&old), "its CD drive is empty now");
        assert_eq!(
            again.with_home("big").news_since(&ejected),
            "its home is site big now; /srv/b.iso is in its CD drive now"
        );
    }

    #[test]
    fn descriptions_of_different_machines_are_not_joined() {
        let agent = example();
        let without = Agent { cdrom: None, ..example() };
        assert_eq!(agent.joined(&without), None, "no drive is no empty drive");
        assert_eq!(without.joined(&without.with_cd(None)), None);
        assert_eq!(agent.joined(&Agent { vcpus: 3, ..example() }), None);
        assert_eq!(agent.joined(&Agent { cdrom: file("/srv/b.iso"), ..example() }), None);
        // An earlier program changed homes and counted nothing.
        let moved = Agent { home: "big".to_owned(), ..example() };
        assert_eq!(agent.joined(&moved).unwrap().home, "big");
    }
}
