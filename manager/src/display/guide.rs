//! What the display proxy is told while its agent runs, moves, and ends. Pure: what is seen of the agent in, the next thing
//! to do out.
//!
//! ```text
//! runs at a ── leaves for b, b listens ── stands ── runs at b
//!              Prepare b                  Hold      Rehome b       (input in between waits, and goes to b)
//!                                    └─ runs at a: Cancel          (a move that was given up)
//! ```
//!
//! A screen of the agent's own (a server inside it) is reached at one place wherever the agent is: it is shown, and moves change
//! nothing.
//!
//! It compares what the proxy has with what it should have, so it can begin anywhere, and whatever failed is asked for again.
//!
//! Invariant: viewers are shown the other site only after the agent was seen to run there.
//! Invariant: at a site where the agent is known to stand for a move nothing is typed: QEMU forgets input to a machine that stands.

use serde_json::Value;

/// How an agent was seen, at the supervisor of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has a machine there and is not being moved, or was seen to run there by the site that it left.
    At(String),
    /// It leaves that site.
    Leaving {
        /// Where from.
        from: String,
        /// Where to.
        to: String,
        /// The other site's machine has a display.
        listens: bool,
        /// It stands.
        stands: bool,
    },
    /// It has no machine anywhere: it was shut down, killed, or has failed.
    Off,
    /// It has none at the moment, or it cannot be known.
    Unknown,
}

impl Sight {
    /// What a supervisor's status says; `site` is where it was asked.
    #[must_use]
    pub fn of(site: &str, status: &Value) -> Sight {
        let (at, moving) = (status["site"].as_str().unwrap_or(site), &status["moving"]);
        match status["state"].as_str() {
            Some("running" | "paused") => Sight::At(site.to_owned()),
            // It left only after it was started there.
            Some("off") if at != site => Sight::At(at.to_owned()),
            Some("off") => Sight::Off,
            Some("leaving") => match moving["to"].as_str() {
                Some(to) => Sight::Leaving {
                    from: site.to_owned(),
                    to: to.to_owned(),
                    listens: moving["listens"].as_bool().unwrap_or(false),
                    stands: moving["stands"].as_bool().unwrap_or(false),
                },
                None => Sight::Unknown,
            },
            _ => Sight::Unknown,
        }
    }
}

/// What the proxy is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load this site's display ahead.
    Prepare(String),
    /// Keep input back.
    Hold,
    /// Show this site's display.
    Rehome(String),
    /// Stay with what is shown.
    Cancel,
    /// Nothing is to be seen any more.
    End,
}

/// What the proxy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    shown: String,
    prepared: Option<String>,
    held: bool,
}

impl Guide {
    /// Of a proxy that shows this site's display, and may have more that is not known.
    #[must_use]
    pub fn of(shown: String, prepared: Option<String>, held: bool) -> Guide {
        Guide { shown, prepared, held }
    }

    /// The site whose display is shown, or waited for.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is to be done next; `own` stands for the agent's own screen, if that is wanted.
    #[must_use]
    pub fn next(&self, sight: &Sight, own: Option<&str>) -> Option<Action> {
        match sight {
            Sight::At(_) | Sight::Leaving { .. } if own.is_some_and(|own| self.shown != own) => {
                own.map(|own| Action::Rehome(own.to_owned()))
            }
            Sight::At(_) | Sight::Leaving { .. } if own.is_some() => {
                (self.held || self.prepared.is_some()).then_some(Action::Cancel)
            }
            Sight::At(site) if self.shown != *site => Some(Action::Rehome(site.clone())),
            Sight::At(_) => (self.held || self.prepared.is_some()).then_some(Action::Cancel),
            Sight::Leaving { from, to, .. } if ![from, to].contains(&&self.shown) => {
                Some(Action::Rehome(from.clone()))
            }
            // It was seen to run there; the site that it left has not heard of it.
            Sight::Leaving { to, .. } if self.shown == *to => None,
            Sight::Leaving { stands: true, .. } if !self.held => Some(Action::Hold),
            Sight::Leaving { to, listens: true, .. } if self.prepared.as_ref() != Some(to) => {
                Some(Action::Prepare(to.clone()))
            }
            Sight::Leaving { .. } | Sight::Unknown => None,
            Sight::Off => Some(Action::End),
        }
    }

    /// It was done; of a [`Action::Prepare`], it was asked for.
    pub fn did(&mut self, action: &Action) {
        match action {
            Action::Prepare(site) => self.prepared = Some(site.clone()),
            Action::Hold => self.held = true,
            Action::Rehome(site) => *self = Guide::of(site.clone(), None, false),
            Action::Cancel => *self = Guide::of(self.shown.clone(), None, false),
            Action::End => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(site: &str) -> Sight {
        Sight::At(site.to_owned())
    }

    fn leaving(listens: bool, stands: bool) -> Sight {
        Sight::Leaving { from: "a".to_owned(), to: "b".to_owned(), listens, stands }
    }

    /// All that is done in each sight, one after the other.
    fn done(sights: &[Sight]) -> Vec<Vec<Action>> {
        let with: Vec<_> = sights.iter().map(|sight| (sight.clone(), None)).collect();
        done_with(&with)
    }

    /// The same, with what is wanted of the agent's own.
    fn done_with(sights: &[(Sight, Option<&str>)]) -> Vec<Vec<Action>> {
        let mut guide = Guide::of("a".to_owned(), None, false);
        let mut all = Vec::new();
        for (sight, own) in sights {
            let mut here = Vec::new();
            while let Some(action) = guide.next(sight, *own) {
                guide.did(&action);
                here.push(action.clone());
                assert!(here.len() < 5, "{sight:?} leads to no end: {here:?}");
                if action == Action::End {
                    break;
                }
            }
            all.push(here);
        }
        all
    }

    fn b(action: fn(String) -> Action) -> Action {
        action("b".to_owned())
    }

    #[test]
    fn a_move_prepares_holds_and_shows_the_other_site() {
        let way = [at("a"), leaving(false, false), leaving(true, false), leaving(true, true), at("b")];
        let due = [vec![], vec![], vec![b(Action::Prepare)], vec![Action::Hold], vec![b(Action::Rehome)]];
        assert_eq!(done(&way), due);
        // Where it stands from the beginning, and where steps were not seen.
        let due = [vec![Action::Hold, b(Action::Prepare)], vec![b(Action::Rehome)], vec![Action::End]];
        assert_eq!(done(&[leaving(true, true), at("b"), Sight::Off]), due);
        assert_eq!(done(&[at("b")]), [vec![b(Action::Rehome)]]);
    }

    #[test]
    fn a_move_that_is_given_up_stays_and_lets_input_go_when_the_agent_runs_again() {
        let way = [leaving(true, true), leaving(false, true), at("a"), at("a")];
        let due = [vec![Action::Hold, b(Action::Prepare)], vec![], vec![Action::Cancel], vec![]];
        assert_eq!(done(&way), due);
    }

    #[test]
    fn the_agents_own_screen_is_shown_through_moves_until_the_machines_is_wanted_again() {
        let own = Some("*5901");
        let show = || Action::Rehome("*5901".to_owned());
        let way = [
            (at("a"), own),
            (leaving(true, false), own),
            (leaving(true, true), own),
            (at("b"), own),
            (Sight::Unknown, own),
            (at("b"), None),
            (leaving(true, true), None),
            // Input that was held for the machine's goes on.
            (leaving(true, true), own),
            (Sight::Off, own),
        ];
        let due = [
            vec![show()],
            vec![],
            vec![],
            vec![],
            vec![],
            vec![b(Action::Rehome)],
            vec![],
            vec![show()],
            vec![Action::End],
        ];
        assert_eq!(done_with(&way), due);
        let held = Guide::of("*5901".to_owned(), None, true);
        assert_eq!(held.next(&at("a"), own), Some(Action::Cancel));
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        assert_eq!(done(&[Sight::Unknown, leaving(true, false), Sight::Unknown])[2], []);
        // One that was shown already is not given back to the site that has not heard of it.
        assert_eq!(done(&[at("b"), leaving(true, true)]), [vec![b(Action::Rehome)], vec![]]);
    }

    #[test]
    fn a_status_is_read_as_its_site_means_it() {
        let moving = json!({ "to": "b", "listens": true, "stands": false });
        for (status, sight) in [
            (json!({ "state": "running", "site": "a" }), at("a")),
            (json!({ "state": "off", "site": "a" }), Sight::Off),
            (json!({ "state": "off", "site": "b" }), at("b")),
            (json!({ "state": "leaving", "site": "a", "moving": moving }), leaving(true, false)),
            (json!({ "state": "leaving", "site": "a" }), Sight::Unknown),
            (json!({ "state": "launching", "site": "a" }), Sight::Unknown),
            (json!(7), Sight::Unknown),
        ] {
            assert_eq!(Sight::of("a", &status), sight, "{status}");
        }
    }
}
