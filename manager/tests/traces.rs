//! The kept traces, replayed: what each profile decides is what stands beside the trace, phases are seen soon enough, and no
//! move is frivolous.
//!
//! `traces/NAME.PROFILE.expected` is what `snowbird profile replay PROFILE traces/NAME.jsonl` prints. Traces are made by
//! `examples/traces`; what the agent really did is in their headers.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use manager::profile::{Profile, read};
use manager::replay::{Options, Replay, replay, svg, table};

/// How many phases of each trace need a move; the other traces' need none.
const MOVES: [(&str, usize); 7] = [
    ("alternating", 4),
    ("motion", 1),
    ("network", 2),
    ("overlapping", 2),
    ("quota", 1),
    ("surfaces", 1),
    ("typing", 1),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("traces")
}

fn names() -> Vec<String> {
    let files =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.strip_suffix(".jsonl")?.to_owned())).collect();
    names.sort();
    names
}

fn play(profile: &Profile, trace: &str) -> Replay {
    let file = File::open(folder().join(format!("{trace}.jsonl"))).unwrap();
    replay(profile, BufReader::new(file), &Options::default()).unwrap_or_else(|e| panic!("{trace}: {e}"))
}

fn embedded(profile: &str, trace: &str) -> Replay {
    play(&Profile::embedded(profile).unwrap(), trace)
}

/// Which phase it really was at a time; empty where it was nobody's.
fn really(replay: &Replay, at: Duration) -> &str {
    let begun = replay.trace.phases.iter().rev().find(|phase| phase.at() <= at);
    begun.map_or("", |phase| &phase.state)
}

/// Seconds from the beginning of each phase to the move for it; phases that need none are not there.
fn detections(replay: &Replay) -> Vec<f64> {
    let mut phases = replay.trace.phases.iter().peekable();
    let mut found = Vec::new();
    while let Some(phase) = phases.next() {
        let end = phases.peek().map_or(replay.length, |next| next.at());
        let mut moves = replay.moves().filter(|(decision, _)| (phase.at()..end).contains(&decision.at));
        found.extend(
            moves.find(|(d, _)| d.to_state == phase.state).map(|(d, _)| (d.at - phase.at()).as_secs_f64()),
        );
    }
    found
}

/// Moves for a phase that it was not.
fn frivolous(replay: &Replay) -> Vec<String> {
    let wrong = replay.moves().filter(|(decision, _)| really(replay, decision.at) != decision.to_state);
    wrong.map(|(decision, _)| decision.sentence()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
}

#[test]
fn decisions_are_those_that_stand_beside_the_trace() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((trace, profile)) = name.strip_suffix(".expected").and_then(|name| name.split_once('.'))
        else {
            continue;
        };
        let expected = std::fs::read_to_string(folder().join(&name)).unwrap();
        assert_eq!(table(&embedded(profile, trace)), expected, "{name}");
        seen += 1;
    }
    assert!(seen >= names().len() && names().len() >= 10, "{seen} expectations of {} traces", names().len());
}

/// No phase is overlooked and no move is frivolous; the mean time from a phase's beginning to the move, in seconds.
fn mean_detection(profile: &str) -> f64 {
    let expected = BTreeMap::from(MOVES);
    let mut all = Vec::new();
    for trace in names() {
        let replay = embedded(profile, &trace);
        assert_eq!(frivolous(&replay), [""; 0], "{trace}");
        let found = detections(&replay);
        println!("{trace}: {found:?}");
        assert_eq!(found.len(), expected.get(trace.as_str()).copied().unwrap_or(0), "{trace}: {found:?}");
        // Which has a test of its own.
        if trace != "surfaces" {
            all.extend(found);
        }
    }
    println!("mean of {}: {:.2} s", all.len(), mean(&all));
    mean(&all)
}

#[test]
fn every_phase_is_seen_within_ten_seconds_on_average_and_no_move_is_frivolous() {
    assert!(mean_detection("builtin") <= 10.0);
}

#[test]
fn a_tuned_profile_sees_every_phase_within_four_seconds_on_average_and_makes_no_frivolous_move() {
    assert!(mean_detection("tuned") <= 4.0);
}

#[test]
fn a_profile_that_knows_of_data_goes_there() {
    let replay = embedded("data", "network");
    assert_eq!(frivolous(&replay), [""; 0]);
    assert_eq!(replay.moves().map(|(_, to)| to).collect::<Vec<_>>(), ["data:set", "compute", "desk"]);
    assert!(mean(&detections(&replay)) <= 10.0);
}

/// What keeps the built-in profile at rest is in it: without, the same trace takes the agent from under the user's hands.
#[test]
fn without_interactive_priority_the_overlapping_trace_moves_an_agent_in_use() {
    let text = Profile::embedded_text("builtin").unwrap();
    let held =
        "[[transitions]]\nfrom = \"cognitive\"\nto = \"cognitive\"\nwhen = \"inputs >= 15\"\npriority = 10\n";
    assert!(text.contains(held));
    let replay = play(&read(&text.replace(held, "")).unwrap(), "overlapping");
    assert_eq!(frivolous(&replay).len(), 1, "{}", table(&replay));
}

/// A film that lies where the agent could compute is read from there all the time, and its player decodes it: what keeps it at the desk is
/// that somebody looks.
#[test]
fn a_film_that_is_watched_from_afar_is_left_at_the_desk_for_its_pictures() {
    assert_eq!(embedded("builtin", "film").moves().count(), 0);
    let text = Profile::embedded_text("builtin").unwrap();
    let looked_at = " and updates < 5\"";
    assert!(text.contains(looked_at));
    let replay = play(&read(&text.replace(looked_at, "\"")).unwrap(), "film");
    let moves: Vec<_> = replay.moves().map(|(decision, to)| (decision.at.as_secs(), to)).collect();
    // Not the one that is fetched second by second, which needs a quarter of what the way allows.
    assert!(matches!(moves[..], [(60.., "compute")]), "{}", table(&replay));
}

/// It mounts and reads for seconds before it computes: by its processors alone it is seen late.
#[test]
fn who_reads_and_computes_in_turn_is_seen_as_soon_as_who_computes() {
    let found = detections(&embedded("builtin", "surfaces"));
    assert!(found.len() == 1 && found[0] <= 10.0, "{found:?}");
    let text = Profile::embedded_text("builtin").unwrap();
    let by_processors = text.replace("demand:there >= 0.8", "busiest >= 0.8");
    let late = detections(&play(&read(&by_processors).unwrap(), "surfaces"));
    assert!(late.len() == 1 && late[0] > found[0] + 1.0, "{late:?}");
}

#[test]
fn a_picture_shows_readings_states_and_moves() {
    let replay = embedded("builtin", "alternating");
    let picture = svg(&replay);
    for part in
        ["inputs</text>", "response</text>", "busiest</text>", "crunch: ", "→ compute</text>", "phase (told)"]
    {
        assert!(picture.contains(part), "{part}");
    }
    assert_eq!(picture.matches("stroke-dasharray").count(), 4, "one line a move");
    assert_eq!(picture.matches("<g>").count(), picture.matches("</g>").count());
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
}
