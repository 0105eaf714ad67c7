//! The policy's promises, by the built-in profile and by random readings.

use super::*;
use crate::profile::read;
use proptest::prelude::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn builtin() -> Policy {
    Policy::new(Profile::embedded("builtin").unwrap(), History::default())
}

/// An agent at `site`, with a desk, a compute site, and a migration of 30 s to any.
fn at(site: &str) -> Situation {
    let known = Site { migration: Some(s(30)), ..Site::default() };
    Situation {
        site: site.to_owned(),
        vcpus: 2,
        roles: [("home", "desk"), ("compute", "cluster")]
            .map(|(r, s)| (r.to_owned(), vec![s.to_owned()]))
            .into(),
        sites: ["desk", "cluster"].map(|site| (site.to_owned(), known.clone())).into(),
        mode: Mode::Auto,
    }
}

fn busy() -> Readings {
    Readings { busiest: Some(0.95), inputs: Some(0.0), ..Readings::default() }
}

fn poor() -> Readings {
    Readings { busiest: Some(0.1), inputs: Some(40.0), response: Some(110.0), ..Readings::default() }
}

fn moved_to(decision: Option<Decision>) -> Option<String> {
    match decision?.action {
        Action::Move { to } => Some(to),
        _ => None,
    }
}

fn why(decision: Option<Decision>) -> Option<Why> {
    decision.map(|decision| decision.action.why())
}

#[test]
fn crunch_goes_to_compute_and_poor_interaction_comes_back() {
    let mut policy = builtin();
    assert_eq!(moved_to(policy.step(s(10), &busy(), &at("desk"))), Some("cluster".to_owned()));
    assert_eq!(
        policy.step(s(11), &busy(), &at("desk")),
        None,
        "while a move is under way nothing is decided"
    );
    policy.moved(s(40), &Outcome::Arrived);
    assert_eq!(policy.state(), "crunch");
    assert_eq!(policy.step(s(101), &busy(), &at("cluster")), None, "a rule to where the agent is");
    let back = policy.step(s(102), &poor(), &at("cluster")).unwrap();
    assert_eq!(
        back.sentence(),
        "Moved from cluster to desk for cognitive: inputs >= 15 and (fps < 20 or response > 80ms) (inputs 40.0, response 110 ms)."
    );
    let json = serde_json::to_string(&back).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), back);
}

#[test]
fn who_is_interacted_with_is_not_taken_away() {
    let mut policy = builtin();
    let both = Readings { inputs: Some(30.0), fps: Some(60.0), response: Some(5.0), ..busy() };
    assert_eq!(policy.step(s(10), &both, &at("desk")), None);
    assert_eq!(moved_to(policy.step(s(11), &busy(), &at("desk"))), Some("cluster".to_owned()));
}

/// Half of the time it computes, and for so much of it it waits for data at a site; nobody looks.
fn reads_from(site: &str, waited: f64) -> Readings {
    let net = [(site.to_owned(), sensors::Net { inward: 2e5, outward: 1e4, waited })].into();
    let (inputs, updates) = (Some(0.0), Some(0.0));
    Readings { busiest: Some(0.5), inputs, updates, net, ..Readings::default() }
}

/// Two sites may compute; the data of one of them is waited for.
fn with_two(roles: &[&str]) -> Situation {
    let mut situation = at("desk");
    let sites = roles.iter().map(|site| (*site).to_owned()).collect();
    situation.roles.insert("compute".to_owned(), sites);
    situation.sites.insert("near".to_owned(), Site { migration: Some(s(30)), ..Site::default() });
    situation
}

#[test]
fn who_waits_for_data_between_computing_goes_to_where_it_lies_and_nowhere_else() {
    let both = with_two(&["cluster", "near"]);
    let decision = builtin().step(s(10), &reads_from("near", 0.4), &both).unwrap();
    assert_eq!(
        decision.sentence(),
        "Moved from desk to near for crunch: demand:there >= 0.8 and updates < 5 (demand:near 90 % (busiest 50 %, net_wait:near 40 %), updates 0.0)."
    );
    let json = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    // It need not be where nobody computes, and half of the time alone is no wish.
    assert_eq!(builtin().step(s(10), &reads_from("home", 0.4), &both), None);
    assert_eq!(builtin().step(s(10), &reads_from("near", 0.4), &with_two(&["cluster"])), None);
    assert_eq!(builtin().step(s(10), &reads_from("near", 0.2), &both), None);
}

#[test]
fn who_looks_at_a_film_or_works_is_left_where_they_are() {
    let both = with_two(&["cluster", "near"]);
    let film = Readings { updates: Some(24.0), ..reads_from("near", 0.5) };
    assert_eq!(builtin().step(s(10), &film, &both), None);
    let works = Readings { inputs: Some(20.0), ..reads_from("near", 0.5) };
    assert_eq!(builtin().step(s(10), &works, &both), None);
    // What is shown is not known: nothing is certain.
    let unseen = Readings { updates: None, ..reads_from("near", 0.5) };
    assert_eq!(builtin().step(s(10), &unseen, &both), None);
}

#[test]
fn a_site_that_is_no_faster_is_so_for_whoever_waits_for_its_data() {
    let mut both = with_two(&["cluster", "near"]);
    for site in both.sites.values_mut() {
        (site.cpus, site.clock_mhz) = (Some(2), Some(2000));
    }
    let decision = builtin().step(s(10), &reads_from("near", 0.4), &both).unwrap();
    assert_eq!(decision.candidates[0].speedup, Some(1.8), "half of its time it computes");
    assert_eq!(moved_to(Some(decision)), Some("near".to_owned()));
    assert_eq!(why(builtin().step(s(10), &busy(), &both)), Some(Why::NotWorthwhile));
}

#[test]
fn a_move_waits_for_the_minimum_residence_and_that_is_told_once() {
    let mut policy = builtin();
    policy.step(s(10), &busy(), &at("desk"));
    policy.moved(s(40), &Outcome::Arrived);
    let declined = policy.step(s(50), &poor(), &at("cluster")).unwrap();
    assert!(
        declined.sentence().ends_with("It came here too recently. It may move in 50 s."),
        "{}",
        declined.sentence()
    );
    for now in 51..100 {
        assert_eq!(policy.step(s(now), &poor(), &at("cluster")), None, "{now}");
    }
    assert_eq!(moved_to(policy.step(s(100), &poor(), &at("cluster"))), Some("desk".to_owned()));
}

#[test]
fn a_move_by_somebody_else_counts_and_so_does_one_that_failed() {
    let mut policy = builtin();
    assert_eq!(policy.step(s(1), &Readings::default(), &at("desk")), None);
    assert_eq!(why(policy.step(s(2), &poor(), &at("cluster"))), Some(Why::Residence));
    assert_eq!(policy.state(), "crunch", "the state of the place");
    policy.step(s(70), &poor(), &at("cluster"));
    policy.moved(s(80), &Outcome::Stayed("the link went".to_owned()));
    assert!(policy.reviews()[0].sentence().ends_with("failed after 10 s: the link went."));
    assert_eq!(policy.state(), "crunch");
    assert_eq!(why(policy.step(s(81), &poor(), &at("cluster"))), Some(Why::Residence));
    assert_eq!(why(policy.step(s(140), &poor(), &at("cluster"))), Some(Why::Done));
}

#[test]
fn a_mode_says_what_may_be_done() {
    let mode = |mode| Situation { mode, ..at("desk") };
    let mut policy = builtin();
    assert_eq!(policy.step(s(10), &busy(), &mode(Mode::Off)), None);
    assert_eq!(why(policy.step(s(11), &busy(), &mode(Mode::Advise))), Some(Why::Advice));
    assert_eq!(policy.step(s(12), &busy(), &mode(Mode::Advise)), None, "told once");
    assert_eq!(policy.state(), "cognitive");
    assert_eq!(why(policy.step(s(13), &busy(), &mode(Mode::Auto))), Some(Why::Done));
}

#[test]
fn a_move_that_does_not_pay_is_declined_with_its_figures() {
    let text = Profile::embedded_text("builtin").unwrap();
    let profile =
        read(&text.replace("place = \"compute\"", "place = \"compute\"\nexpected = \"60s\"")).unwrap();
    let mut policy = Policy::new(profile, History::default());
    let mut situation = at("desk");
    for (site, cpus) in [("desk", 1), ("cluster", 2)] {
        let known = situation.sites.get_mut(site).unwrap();
        (known.cpus, known.clock_mhz) = (Some(cpus), Some(3000));
    }
    let declined = policy.step(s(10), &busy(), &situation).unwrap();
    let expected =
        "Moving to cluster would gain 30 s (by the length that the profile expects) and take 30 s.";
    assert!(declined.sentence().ends_with(expected), "{}", declined.sentence());
    // It has lasted twice as long as was expected: it may last as long again.
    let later =
        (11..200).find_map(|now| moved_to(policy.step(s(now), &busy(), &situation)).map(|to| (now, to)));
    assert_eq!(later, Some((71, "cluster".to_owned())));
}

#[test]
fn sites_that_refuse_and_roles_without_a_site_are_named() {
    let mut situation = at("desk");
    situation.sites.get_mut("cluster").unwrap().refused = Some("its CPU has no avx2".to_owned());
    let declined = builtin().step(s(10), &busy(), &situation).unwrap();
    assert!(declined.sentence().ends_with("No site can take it: cluster: its CPU has no avx2."));
    situation.roles.remove("compute");
    let declined = builtin().step(s(10), &busy(), &situation).unwrap();
    assert!(declined.sentence().ends_with("No site has the role compute."));
}

#[test]
fn what_was_predicted_is_compared_with_what_came() {
    let mut policy = builtin();
    policy.history.note_length("crunch", "desk", 300.0);
    let mut done = Vec::new();
    let mut site = "desk";
    for now in 10..400 {
        let readings =
            if now < 210 { busy() } else { Readings { busiest: Some(0.0), ..Readings::default() } };
        if policy.step(s(now), &readings, &at(site)).is_some_and(|d| d.action.why() == Why::Done) {
            policy.moved(s(now + 25), &Outcome::Arrived);
            site = "cluster";
        }
        done.extend(policy.reviews());
    }
    let said: Vec<String> = done.iter().map(Review::sentence).collect();
    assert_eq!(
        said,
        [
            "Decision 0: the migration took 25 s (30 s expected).",
            "Decision 0: the phase lasted 3 min 19 s more (5 min expected).",
        ]
    );
}

/// While it migrates the agent still runs, and its work goes on where it was.
#[test]
fn the_time_of_a_migration_is_time_of_the_phase_where_it_began() {
    let mut policy = builtin();
    policy.history.note_length("crunch", "desk", 300.0);
    for now in 10..=200 {
        if now == 70 {
            policy.moved(s(now), &Outcome::Arrived);
        }
        let readings = if now <= 160 { busy() } else { Readings::default() };
        policy.step(s(now), &readings, &at(if now < 70 { "desk" } else { "cluster" }));
    }
    policy.step(s(300), &Readings::default(), &at("cluster"));
    // 60 s at the desk, and 240 s of its work in 90 s.
    assert_eq!(policy.history().speedup("desk", "cluster"), Some((240.0 / 90.0, 1)));
}

#[test]
fn a_hold_is_counted_in_polls_and_a_higher_rule_blocks_while_it_is_counted() {
    let text = Profile::embedded_text("builtin").unwrap().replace("hold = 1 ", "hold = 3 ");
    let mut policy = Policy::new(read(&text).unwrap(), History::default());
    let polls = [busy(), busy(), Readings::default(), busy(), busy(), busy()];
    let decided: Vec<bool> =
        (10..).zip(&polls).map(|(now, r)| policy.step(s(now), r, &at("desk")).is_some()).collect();
    assert_eq!(decided, [false, false, false, false, false, true]);
}

fn readings() -> impl Strategy<Value = Readings> {
    let some = |range: std::ops::Range<f64>| proptest::option::weighted(0.9, range);
    (some(0.0..1.0), some(0.0..60.0), some(0.0..60.0), some(0.0..200.0), some(0.0..1.0)).prop_map(
        |(busiest, inputs, fps, response, cpu)| Readings {
            busiest,
            inputs,
            fps,
            response,
            cpu,
            ..Readings::default()
        },
    )
}

/// Three phases at three places, everything leads everywhere: the profile that thrashes most.
const THRASHING: &str = r#"
version = 1
residence = "45s"
[states.a]
place = "desk"
[states.b]
place = "compute"
expected = "2min"
[states.c]
place = "data:x"
[[transitions]]
from = "*"
to = "b"
when = "busiest > 0.4"
[[transitions]]
from = "*"
to = "a"
when = "inputs > 20"
priority = 1
[[transitions]]
from = "*"
to = "c"
when = "not cpu > 0.5"
"#;

/// Plays polls a second apart; some moves fail, and now and then the user moves the agent. Gives the decisions.
fn play(polls: &[(Readings, u8)]) -> Result<Vec<Decision>, TestCaseError> {
    let mut policy = Policy::new(read(THRASHING).unwrap(), History::default());
    let mut situation = at("desk");
    situation.roles.insert("data:x".to_owned(), vec!["store".to_owned(), "cluster".to_owned()]);
    let mut arrives: Option<(Duration, String)> = None;
    let (mut settled, mut decisions) = (None, Vec::new());
    for (now, (readings, chance)) in (0..).map(s).zip(polls) {
        if let Some((_, to)) = arrives.take_if(|(at, _)| *at <= now) {
            let outcome =
                if chance % 4 == 0 { Outcome::Stayed("chance".to_owned()) } else { Outcome::Arrived };
            if outcome == Outcome::Arrived {
                situation.site = to;
            }
            policy.moved(now, &outcome);
            settled = Some(now);
        } else if arrives.is_none() && *chance == 77 && !now.is_zero() {
            let other = if situation.site == "desk" { "store" } else { "desk" };
            situation.site = other.to_owned();
            settled = Some(now);
        }
        let Some(decision) = policy.step(now, readings, &situation) else { continue };
        if let Action::Move { to } = &decision.action {
            prop_assert!(arrives.is_none(), "a decision while a move is under way");
            prop_assert!(settled.is_none_or(|settled| now >= settled + s(45)), "too soon: {decision:?}");
            arrives = Some((now + s(5 + u64::from(*chance) % 40), to.clone()));
        }
        prop_assert!(!situation.sites_of(&decision.place).contains(&situation.site), "inert: {decision:?}");
        decisions.push(decision);
    }
    Ok(decisions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_read_residence_is_kept_inert_rules_decide_nothing_and_a_replay_is_the_same(
        polls in prop::collection::vec((readings(), any::<u8>()), 1..600),
    ) {
        prop_assert_eq!(play(&polls)?, play(&polls)?);
    }
}
