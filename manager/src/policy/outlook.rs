//! What would move an agent: the rules of its present state with what is read now.

use sensors::Readings;
use serde::Serialize;

use super::decision::{said, words};
use super::{Policy, Situation};

/// A rule of the present state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// The state that it leads to; the present one for a rule that keeps the agent.
    pub to_state: String,
    /// That state's place.
    pub place: String,
    /// The sites of that place.
    pub sites: Vec<String>,
    /// Its condition.
    pub when: String,
    /// The readings that it asks for, in words; empty while they are not known.
    pub now: String,
    /// Whether it holds; `None` while that depends on a reading that is not known.
    pub holds: Option<bool>,
    /// Whether it keeps the agent where it is.
    pub stays: bool,
}

impl Outlook {
    /// The rule for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let now = if self.now.is_empty() { "not known".to_owned() } else { self.now.clone() };
        let holds = if self.holds == Some(true) { ", which holds" } else { "" };
        let condition = format!("when {} (now: {now}{holds})", self.when);
        if self.stays {
            return format!("stays {condition}");
        }
        let sites =
            if self.sites.is_empty() { "no site has that role".to_owned() } else { self.sites.join(", ") };
        format!("to {} at {} ({sites}) {condition}", self.to_state, self.place)
    }
}

impl Policy {
    /// The rules of the present state, those of highest priority first.
    #[must_use]
    pub fn outlook(&self, readings: &Readings, situation: &Situation) -> Vec<Outlook> {
        let mut rules: Vec<_> =
            self.profile.rules.iter().filter(|rule| rule.from.contains(&self.state)).collect();
        rules.sort_by_key(|rule| -rule.priority);
        let one = |rule: &&crate::profile::Rule| {
            let to = self.profile.state(rule.to);
            let sites = situation.sites_of(&to.place);
            let there = self.there(rule, readings, situation);
            Outlook {
                to_state: to.name.clone(),
                place: to.place.clone(),
                sites: sites.to_vec(),
                when: words(&rule.text),
                now: said(&rule.text, readings, there),
                holds: rule.when.holds(readings, there),
                stays: rule.to == self.state || sites.contains(&situation.site),
            }
        };
        rules.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::History;
    use crate::profile::Profile;

    #[test]
    fn what_would_move_it_is_said_with_what_is_read_now() {
        let policy = Policy::new(Profile::embedded("builtin").unwrap(), History::default());
        let roles = [("home".to_owned(), vec!["desk".to_owned()])].into();
        let situation = Situation { site: "desk".to_owned(), roles, ..Situation::default() };
        let readings = Readings { busiest: Some(0.125), ..Readings::default() };
        let said: Vec<String> = policy.outlook(&readings, &situation).iter().map(Outlook::sentence).collect();
        assert_eq!(
            said,
            [
                "stays when inputs >= 15 (now: not known)",
                "to crunch at compute (no site has that role) when busiest >= 0.8 (now: busiest 12 %)",
                "to crunch at compute (no site has that role) when demand:there >= 0.8 and updates < 5 (now: not known)",
            ]
        );
    }

    #[test]
    fn what_is_waited_for_at_a_site_is_said_with_its_name() {
        let policy = Policy::new(Profile::embedded("builtin").unwrap(), History::default());
        let roles = [("home", vec!["desk"]), ("compute", vec!["big", "huge"])];
        let owned = |(role, sites): (&str, Vec<&str>)| {
            (role.to_owned(), sites.into_iter().map(str::to_owned).collect())
        };
        let roles = roles.map(owned).into();
        let situation = Situation { site: "desk".to_owned(), roles, ..Situation::default() };
        let net = [("huge".to_owned(), sensors::Net { waited: 0.5, ..sensors::Net::default() })].into();
        let readings = Readings { busiest: Some(0.4), updates: Some(0.0), net, ..Readings::default() };
        let outlook = policy.outlook(&readings, &situation);
        let last = outlook.last().unwrap();
        assert_eq!(last.holds, Some(true));
        assert_eq!(last.now, "demand:huge 90 % (busiest 40 %, net_wait:huge 50 %), updates 0.0");
    }
}
