//! The watcher's brain, a second a poll: what it does about what it sees.

use super::*;
use crate::profile::read;

const PROFILE: &str = r#"
version = 1
name = "test"
window = "5s"
residence = "10s"
[states.cognitive]
place = "desk"
[states.crunch]
place = "compute"
[[transitions]]
from = "cognitive"
to = "crunch"
when = "busiest >= 0.8"
[[transitions]]
from = "cognitive"
to = "cognitive"
when = "inputs >= 15"
priority = 10
[[transitions]]
from = "crunch"
to = "cognitive"
when = "inputs >= 15"
priority = 10
"#;

/// A user's word: this mode, and where to compute.
fn word(mode: Mode, compute: &[&str]) -> Settings {
    let roles = [("compute".to_owned(), compute.iter().map(|site| (*site).to_owned()).collect())];
    Settings {
        mode,
        roles: roles.into_iter().filter(|_| !compute.is_empty()).collect(),
        ..Settings::default()
    }
}

struct Life {
    brain: Brain,
    now: Now,
    /// All that was to be done, in order.
    done: Vec<Action>,
    learnt: Learnt,
}

impl Life {
    /// At `desk`, heard.
    fn new(settings: Settings) -> Life {
        Life::after(settings, Learnt::default(), Now { at: Duration::from_secs(1000), wall_ms: 1_000_000 })
    }

    fn after(settings: Settings, learnt: Learnt, now: Now) -> Life {
        let brain = Brain::new(read(PROFILE).unwrap(), 1, "desk", learnt.clone(), now);
        let mut life = Life { brain, now, done: Vec::new(), learnt };
        life.take(Event::Settings(settings));
        life.take(Event::Found { site: "desk".to_owned() });
        life
    }

    fn take(&mut self, event: Event) {
        let actions = self.brain.take(self.now, event);
        for action in &actions {
            if let Action::Keep(learnt) = action {
                self.learnt = learnt.clone();
            }
        }
        self.done.extend(actions);
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.wall_ms += seconds * 1000;
    }

    /// Seconds with this share of its processor wanted, and so many inputs.
    fn lives(&mut self, seconds: u64, busy: f64, inputs: f64) {
        self.lives_moved(seconds, busy, inputs, None);
    }

    fn lives_moved(&mut self, seconds: u64, busy: f64, inputs: f64, moving: Option<&str>) {
        for _ in 0..seconds {
            self.pass(1);
            let wall = Duration::from_secs(1);
            let events = vec![Sense::Cpu { wall, busy: vec![wall.mul_f64(busy)] }];
            self.take(Event::Sensed { events, moving: moving.map(str::to_owned) });
            self.take(Event::Display(Some(Readings { inputs: Some(inputs), ..Readings::default() })));
            self.take(Event::Poll);
        }
    }

    fn moves(&self) -> Vec<&str> {
        self.done
            .iter()
            .filter_map(|action| if let Action::Move { to } = action { Some(to.as_str()) } else { None })
            .collect()
    }

    fn said(&self) -> Vec<String> {
        let said = |action: &Action| {
            if let Action::Record(record) = action { Some(record.sentence()) } else { None }
        };
        self.done.iter().filter_map(said).collect()
    }

    #[track_caller]
    fn says(&mut self, words: &str) {
        let said = self.said();
        assert!(said.iter().any(|sentence| sentence.contains(words)), "{words}: {said:#?}");
        self.done.clear();
    }

    /// The move that was asked for ends after some seconds, and the agent is heard there.
    fn arrives(&mut self, seconds: u64) {
        let to = (*self.moves().last().unwrap()).to_owned();
        self.lives_moved(seconds, 1.0, 0.0, Some(&to));
        self.take(Event::Moved(Ok(json!({ "total_ms": seconds * 1000, "suspended_ms": 300 }))));
        self.take(Event::Silent { why: "it has moved".to_owned() });
        self.take(Event::Found { site: to });
    }
}

#[test]
fn pictures_are_those_that_the_display_shows() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    let shown = |life: &mut Life, display| {
        life.take(Event::Display(display));
        life.take(Event::Poll);
        life.brain.status(life.now)["readings"]["updates"].clone()
    };
    life.lives(5, 0.1, 0.0);
    let film = Readings { updates: Some(25.0), ..Readings::default() };
    assert_eq!(shown(&mut life, Some(film)), 25.0);
    assert_eq!(shown(&mut life, None), 0.0, "nobody looks");
}

#[test]
fn it_goes_where_it_computes_and_comes_back_to_its_user() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    // A window speaks after three seconds.
    life.lives(2, 1.0, 0.0);
    assert_eq!(life.done, []);
    life.lives(1, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
    // What it leaves behind is written before the move is begun.
    let order: Vec<bool> = life.done.iter().map(|action| matches!(action, Action::Keep(_))).collect();
    assert_eq!(order, [true, false, false], "{:?}", life.done);
    assert!(life.learnt.open.is_some());
    life.arrives(4);
    assert!(life.said().iter().any(|said| said.contains("the agent stood for 300 ms")), "{:?}", life.said());
    life.says("the migration took 4 s (nothing was known before)");
    assert_eq!((life.brain.policy.state(), life.learnt.open.clone()), ("crunch", None));
    // Nothing of before counts, and no move before it has been there for ten seconds.
    life.lives(2, 0.0, 20.0);
    assert_eq!(life.said(), [""; 0]);
    life.lives(2, 0.0, 20.0);
    life.says("It came here too recently");
    life.lives(6, 0.0, 20.0);
    assert_eq!(life.moves(), ["desk"]);
    life.arrives(4);
    // The way back was expected to take as long.
    life.says("the migration took 4 s (4 s expected)");
    // Its user is at it: it is not taken away, however busy.
    life.lives(60, 1.0, 20.0);
    assert_eq!(life.moves(), [""; 0]);
}

#[test]
fn advice_is_written_and_nothing_moves_until_the_user_says_so() {
    let mut life = Life::new(word(Mode::Advise, &["big"]));
    life.lives(30, 1.0, 0.0);
    assert_eq!((life.moves().len(), life.said().len()), (0, 1));
    life.says("Would be better at big for crunch");
    life.take(Event::Settings(word(Mode::Auto, &["big"])));
    life.lives(1, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn a_site_to_which_a_move_failed_is_left_alone_for_a_while_that_doubles() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    for wait in [30, 60, 120] {
        life.lives(3, 1.0, 0.0);
        assert_eq!(life.moves(), ["big"], "{wait}");
        life.take(Event::Moved(Err("no room".to_owned())));
        life.says("failed after");
        life.lives(wait - 1, 1.0, 0.0);
        assert_eq!(life.moves(), [""; 0], "{wait}");
        life.says("the last move there failed (no room)");
        life.lives(1, 1.0, 0.0);
        let tried = life.moves().len();
        assert_eq!(tried, 1, "after {wait} s: {:?}", life.said());
    }
    // The user's word counts at once.
    life.take(Event::Moved(Err("no room".to_owned())));
    life.take(Event::Settings(word(Mode::Auto, &["big", "other"])));
    life.done.clear();
    life.lives(11, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn it_stays_while_the_user_wants_it_to() {
    let mut settings = word(Mode::Auto, &["big"]);
    settings.stay_until_ms = Some(1_000_000 + 60_000);
    let mut life = Life::new(settings);
    life.lives(59, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.says("the user wants it to stay where it is for another 57 s");
    assert_eq!(life.brain.status(life.now)["stays_for_s"], 1);
    life.lives(1, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn a_role_without_a_site_and_a_site_without_an_answer_are_told() {
    let mut life = Life::new(word(Mode::Auto, &[]));
    assert_eq!(without_site(life.brain.policy.profile(), &life.brain.situation.roles), ["compute"]);
    life.lives(10, 1.0, 0.0);
    life.says("No site has the role compute");
    life.take(Event::Settings(word(Mode::Auto, &["big"])));
    let silent = Err("site \"big\" does not answer".to_owned());
    life.take(Event::Facts { site: "big".to_owned(), facts: silent });
    life.lives(10, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.says("No site can take it: big: site \"big\" does not answer");
    let facts = Ok(Facts { cpus: Some(8), clock_mhz: None });
    life.take(Event::Facts { site: "big".to_owned(), facts });
    life.lives(1, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn a_site_that_is_no_faster_is_not_gone_to() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    for site in ["desk", "big"] {
        let facts = Ok(Facts { cpus: Some(8), clock_mhz: Some(2000) });
        life.take(Event::Facts { site: site.to_owned(), facts });
    }
    life.lives(10, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.says("big is no faster (1.00 times by vCPUs and clock)");
}

#[test]
fn a_phase_shorter_than_the_move_is_sat_out() {
    let mut learnt = Learnt::default();
    learnt.note_move("desk", "big", Duration::from_secs(20));
    learnt.history.note_length("crunch", "desk", 15.0);
    learnt.history.note_speedup("desk", "big", 4.0);
    let now = Now { at: Duration::from_secs(1000), wall_ms: 0 };
    let mut life = Life::after(word(Mode::Auto, &["big"]), learnt, now);
    life.lives(12, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.says("Moving to big would gain 11.2 s (by the median of 1 past phases) and take 20 s");
}

#[test]
fn silence_is_told_once_and_nothing_is_decided_in_it() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    life.lives(2, 1.0, 0.0);
    let silent = || Event::Silent { why: "site \"desk\" does not answer".to_owned() };
    life.take(silent());
    for _ in 0..60 {
        life.pass(1);
        life.take(silent());
        life.take(Event::Poll);
    }
    assert_eq!(life.said().len(), 1);
    life.says("cannot be heard: site \"desk\" does not answer");
    assert!(life.brain.status(life.now)["rests_because"].as_str().is_some());
    life.take(Event::Found { site: "desk".to_owned() });
    life.says("heard again, at desk");
    // A new window.
    life.lives(2, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.lives(1, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn while_somebody_else_moves_it_nothing_is_decided() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    life.lives(2, 1.0, 0.0);
    life.lives_moved(20, 1.0, 0.0, Some("other"));
    assert_eq!(life.done, []);
    life.take(Event::Found { site: "other".to_owned() });
    // It came here just now: the user's move counts as one.
    life.lives(5, 1.0, 0.0);
    assert_eq!(life.moves(), [""; 0]);
    life.lives(6, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
}

#[test]
fn a_watcher_that_died_in_a_move_leaves_word_of_it() {
    let mut life = Life::new(word(Mode::Auto, &["big"]));
    life.lives(3, 1.0, 0.0);
    assert_eq!(life.moves(), ["big"]);
    // The next one finds it still on its way, then there.
    let learnt = Learnt::read(Some(&serde_json::to_string(&life.learnt).unwrap()));
    let mut next = Life::after(word(Mode::Auto, &["big"]), learnt, life.now);
    next.lives_moved(20, 1.0, 0.0, Some("big"));
    assert_eq!(next.done, []);
    next.take(Event::Found { site: "big".to_owned() });
    next.lives(1, 0.0, 0.0);
    next.says("Decision 0: the agent arrived at big while nobody watched it");
    // Numbers go on, and so does its minimum residence for one that begins now.
    assert_eq!(next.learnt.decisions, 1);
    let mut third = Life::after(word(Mode::Auto, &["big"]), next.learnt.clone(), next.now);
    third.take(Event::Found { site: "big".to_owned() });
    third.lives(8, 0.0, 20.0);
    assert_eq!(third.moves(), [""; 0]);
    third.lives(3, 0.0, 20.0);
    assert_eq!(third.moves(), ["desk"]);
    let first = third.done.iter().find_map(|action| match action {
        Action::Record(Record::Decision(decision)) => Some(decision.id),
        _ => None,
    });
    assert_eq!(first, Some(1));
}

/// What is said by the calendar is counted by the other clock from then on.
#[test]
fn a_clock_that_is_set_while_it_runs_decides_nothing() {
    let year_ms = 365 * 86_400_000;
    let told = |jump: &dyn Fn(u64) -> u64| {
        let mut settings = word(Mode::Auto, &["big"]);
        settings.stay_until_ms = Some(year_ms * 10 + 60_000);
        let began = Now { at: Duration::from_secs(1000), wall_ms: year_ms * 10 };
        let mut life = Life::after(settings.clone(), Learnt::default(), began);
        let mut moves = Vec::new();
        for second in 0..400 {
            life.now.wall_ms = jump(second);
            // (Said again, as each poll may.)
            life.take(Event::Settings(settings.clone()));
            life.lives(1, if second < 200 { 1.0 } else { 0.0 }, if second < 200 { 0.0 } else { 30.0 });
            if let Some(to) = life.moves().last() {
                moves.push((second, (*to).to_owned()));
                life.done.clear();
                life.take(Event::Moved(Ok(json!({}))));
                life.take(Event::Found { site: moves.last().unwrap().1.clone() });
            }
        }
        moves
    };
    let straight = told(&|second| year_ms * 10 + second * 1000);
    assert!(straight.first().is_some_and(|(second, _)| *second >= 59), "{straight:?}");
    assert_eq!(told(&|second| if second < 10 { year_ms * 10 } else { year_ms * 11 }), straight);
    assert_eq!(told(&|second| if second < 10 { year_ms * 10 } else { year_ms * 9 }), straight);
    assert_eq!(told(&|second| year_ms * (8 + second % 5).max(if second == 0 { 10 } else { 0 })), straight);
}
