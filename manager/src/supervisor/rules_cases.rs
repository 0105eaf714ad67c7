//! What a machine answers to single events: promises of the rules that need no second site to be told.

use uuid::Uuid;

use super::super::event::{Action, Event, Yield};
use super::super::phase::{End, Leave, Machine, Phase};
use super::super::why::Why;

const ATTEMPT: Uuid = Uuid::from_u128(1);

fn arrives(attempt: Uuid) -> Event {
    Event::Arrive { attempt, from: "a".to_owned(), patience_s: 1 }
}

fn machine(phase: Phase) -> Machine {
    Machine { phase, ..Machine::default() }
}

#[test]
fn a_destination_that_said_it_never_will_never_does() {
    let mut machine = Machine::default();
    assert_eq!(machine.step(Event::Go { attempt: ATTEMPT }), Ok(Vec::new()));
    assert_eq!(machine.verdict(ATTEMPT), Some(Yield::NeverWill));
    assert!(machine.step(arrives(ATTEMPT)).is_err());
}

#[test]
fn a_destination_that_hears_nothing_twice_ends_and_one_whose_disk_has_come_does_not() {
    let listening = || {
        let mut machine = Machine::default();
        machine.step(arrives(ATTEMPT)).unwrap();
        let listens = Event::Went { action: Action::Listen, result: Ok(Yield::Done) };
        let clocks =
            vec![Action::Patience { attempt: ATTEMPT, for_s: 1 }, Action::Await { attempt: ATTEMPT }];
        assert_eq!(machine.step(listens), Ok(clocks));
        machine
    };
    let hark = Action::Hark { attempt: ATTEMPT };
    let time_passes = |machine: &mut Machine, result: Result<Yield, Why>| {
        assert_eq!(machine.step(Event::Unheard { attempt: ATTEMPT }), Ok(vec![hark.clone()]));
        machine.step(Event::Went { action: hark.clone(), result }).unwrap()
    };
    let again = vec![Action::Patience { attempt: ATTEMPT, for_s: 1 }];
    let mut machine = listening();
    for result in [Ok(Yield::NeverWill), Ok(Yield::Done), Ok(Yield::NeverWill), Err("no disk".into())] {
        assert_eq!(time_passes(&mut machine, result), again);
    }
    assert_eq!(time_passes(&mut machine, Ok(Yield::NeverWill)), again);
    assert_eq!(time_passes(&mut machine, Ok(Yield::NeverWill)), vec![Action::Quit]);
    assert_eq!(machine.phase, Phase::Off(End::Left { to: "a".to_owned() }));
    assert_eq!(machine.verdict(ATTEMPT), Some(Yield::NeverWill));

    // The clock of an earlier try says nothing of this one; the next supervisor has clocks of its own.
    let mut machine = listening();
    assert_eq!(machine.step(Event::Unheard { attempt: Uuid::from_u128(2) }), Ok(Vec::new()));
    let clocks = [again, vec![Action::Await { attempt: ATTEMPT }]].concat();
    assert_eq!(machine.step(Event::Recovered { alive: true }), Ok(clocks));
}

#[test]
fn a_destination_asks_its_source_until_it_may_start_or_hears_that_nothing_comes() {
    let mut machine = Machine::default();
    machine.step(arrives(ATTEMPT)).unwrap();
    machine.step(Event::Went { action: Action::Listen, result: Ok(Yield::Done) }).unwrap();
    assert_eq!(machine.step(Event::Completed), Ok(Vec::new()), "one clock is enough");
    let asks = vec![Action::Rouse { attempt: ATTEMPT, from: "a".to_owned() }];
    for _ in 0..2 {
        assert_eq!(machine.step(Event::Overdue { attempt: ATTEMPT }), Ok(asks.clone()));
    }
    assert_eq!(machine.step(Event::Overdue { attempt: Uuid::from_u128(2) }), Ok(Vec::new()));
    let mut given_up = machine.clone();
    assert_eq!(given_up.step(Event::GiveUp { attempt: ATTEMPT }), Ok(vec![Action::Quit]));
    assert_eq!(given_up.step(Event::Overdue { attempt: ATTEMPT }), Ok(Vec::new()));
    machine.step(Event::Go { attempt: ATTEMPT }).unwrap();
    machine.step(Event::Went { action: Action::Check, result: Ok(Yield::Done) }).unwrap();
    assert_eq!(machine.step(Event::Overdue { attempt: ATTEMPT }), Ok(Vec::new()));
}

#[test]
fn a_pause_for_the_disk_ends_by_itself_but_not_where_there_is_no_room() {
    let mut paused = machine(Phase::Running);
    assert_eq!(paused.step(Event::IoPaused { no_space: false }), Ok(vec![Action::Wait]));
    assert_eq!(paused.step(Event::Again), Ok(vec![Action::AskDisk]));
    // Nobody has it now: why is told, and it is asked again later.
    let silent = Err("site \"a\" does not answer".into());
    assert_eq!(paused.step(Event::Went { action: Action::AskDisk, result: silent }), Ok(vec![Action::Wait]));
    assert!(paused.phase.paused_because().unwrap().contains("\"a\" does not answer; it goes on by itself"));
    assert_eq!(paused.step(Event::Again), Ok(vec![Action::AskDisk]));
    let here = Ok(Yield::Done);
    assert_eq!(paused.step(Event::Went { action: Action::AskDisk, result: here }), Ok(vec![Action::Run]));
    paused.step(Event::Went { action: Action::Run, result: Ok(Yield::Done) }).unwrap();
    assert_eq!(paused.phase, Phase::Running);
    assert_eq!(paused.step(Event::IoPaused { no_space: true }), Ok(Vec::new()));
    assert_eq!(paused.step(Event::Again), Ok(Vec::new()));
    assert_eq!(paused.step(Event::Launch), Ok(vec![Action::Run]));
}

#[test]
fn an_agent_whose_site_is_lost_is_launched_where_its_disk_is_and_only_if_that_is_said() {
    let left = || machine(Phase::Off(End::Left { to: "b".to_owned() }));
    assert!(left().step(Event::Launch).is_err());
    let mut here = left();
    assert_eq!(here.step(Event::LaunchHere), Ok(vec![Action::Launch]));
    assert_eq!(here.phase, Phase::Launching);
    let leaving =
        Phase::Leaving { attempt: ATTEMPT, to: "b".to_owned(), at: Leave::Asking, alive: true, image: None };
    assert!(machine(leaving).step(Event::LaunchHere).is_err());
}

#[test]
fn wishes_that_make_no_sense_are_refused_and_change_nothing() {
    let leaving =
        |at| machine(Phase::Leaving { attempt: ATTEMPT, to: "b".to_owned(), at, alive: true, image: None });
    let arriving = || {
        let mut comes = machine(Phase::Off(End::Never));
        comes.step(arrives(ATTEMPT)).unwrap();
        comes
    };
    let migrate = || Event::Migrate { attempt: Uuid::from_u128(2), to: "c".to_owned() };
    for (before, event, word) in [
        (leaving(Leave::Copying), migrate(), "being moved"),
        (leaving(Leave::Asking), Event::Cancel, "handed over"),
        (arriving(), migrate(), "being moved"),
        (arriving(), Event::Cancel, "from site \"a\""),
        (leaving(Leave::Copying), Event::Kill, "being moved"),
        (machine(Phase::Off(End::Never)), migrate(), "does not run"),
        (machine(Phase::Off(End::Left { to: "b".to_owned() })), Event::Launch, "at site \"b\""),
        (machine(Phase::Running), Event::Cancel, "not being moved"),
    ] {
        let mut after = before.clone();
        let refusal = after.step(event).unwrap_err();
        assert!(refusal.message.contains(word), "{refusal}");
        assert_eq!(after, before);
    }
}

#[test]
fn a_cd_is_changed_where_the_agent_is_and_never_while_its_machine_goes_elsewhere() {
    let eject = || Event::Cd { file: None, force: false };
    let change = Ok(vec![Action::ChangeCd { file: None, force: false }]);
    for phase in [Phase::Running, Phase::Off(End::Never), Phase::Off(End::ShutDown)] {
        assert_eq!(machine(phase).step(eject()), change);
    }
    let at = Leave::Copying;
    let leaving = Phase::Leaving { attempt: ATTEMPT, to: "b".to_owned(), at, alive: true, image: None };
    let left = Phase::Off(End::Left { to: "b".to_owned() });
    for (phase, word) in [(leaving, "being moved"), (left, "at site \"b\""), (Phase::Launching, "launched")] {
        let refusal = machine(phase).step(eject()).unwrap_err();
        assert!(refusal.message.contains(word), "{refusal}");
    }
}

#[test]
fn a_site_to_which_a_move_failed_knows_where_the_agent_stayed() {
    let arrive = arrives(ATTEMPT);
    let stayed = Phase::Off(End::Left { to: "a".to_owned() });
    let listens = Event::Went { action: Action::Listen, result: Ok(Yield::Done) };
    let fails = Event::Went { action: Action::Listen, result: Err("no QEMU".into()) };
    for (how, events) in [
        ("no QEMU", vec![fails]),
        ("killed", vec![Event::Kill]),
        ("gave the move up", vec![listens.clone(), Event::GiveUp { attempt: ATTEMPT }]),
        ("before all had come", vec![listens, Event::Ended { orderly: false }]),
        ("restarted", vec![Event::Recovered { alive: true }]),
    ] {
        let mut machine = Machine::default();
        machine.step(arrive.clone()).unwrap();
        events.into_iter().for_each(|event| drop(machine.step(event).unwrap()));
        assert_eq!(machine.phase, stayed, "{how}");
        assert!(
            machine.failure.as_ref().is_some_and(|why| why.message.contains(how)),
            "{:?}",
            machine.failure
        );
        assert_eq!(machine.verdict(ATTEMPT), Some(Yield::NeverWill));
    }
}

#[test]
fn what_an_earlier_supervisor_asked_of_the_disk_for_a_try_that_is_given_up_is_given_up_by_its_name() {
    for at in [Leave::Presending, Leave::Copying, Leave::Switching { token: None, complete: false }] {
        let (to, alive, image) = ("b".to_owned(), true, None);
        let mut begun = machine(Phase::Leaving { attempt: ATTEMPT, to, at, alive, image });
        let free = Action::Free { attempt: ATTEMPT };
        assert_eq!(begun.step(Event::Recovered { alive: true }), Ok(vec![free.clone()]));
        let lost = Event::Went { action: free.clone(), result: Err("lost".into()) };
        assert_eq!(begun.step(lost), Ok(vec![Action::Retry]));
        assert_eq!(begun.step(Event::Again), Ok(vec![free]));
    }
}

#[test]
fn a_disk_whose_server_ended_is_attached_again_and_a_move_without_it_is_given_up() {
    let mut runs = machine(Phase::Running);
    assert_eq!(runs.step(Event::KeeperEnded), Ok(vec![Action::Run]));
    let leaving = |at| {
        let (to, alive, image) = ("b".to_owned(), true, None);
        machine(Phase::Leaving { attempt: ATTEMPT, to, at, alive, image })
    };
    let mut copies = leaving(Leave::Copying);
    assert_eq!(copies.step(Event::KeeperEnded), Ok(vec![Action::Free { attempt: ATTEMPT }]));
    assert!(copies.failure.unwrap().message.contains("serves its disk"));
    // What was committed is, and is asked for until it is known.
    let mut commits = leaving(Leave::Committing { token: "t".to_owned() });
    assert_eq!(commits.step(Event::KeeperEnded), Ok(Vec::new()));
    let mut off = machine(Phase::Off(End::ShutDown));
    assert_eq!(off.step(Event::KeeperEnded), Ok(Vec::new()));
}
