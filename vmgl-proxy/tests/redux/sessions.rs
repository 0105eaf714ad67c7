//! A session that was recorded on the spot is done again from far away.

use std::path::Path;

use serde_json::Value;

use crate::desk::{CALCULATOR, Desk, FIVE, FOUR, Hands, RESULT, TEXT, path_to, record, replay};

/// Calculates with a clock under the hands, writes something, and calculates again.
fn work(hands: &mut Hands) {
    hands.click(FOUR);
    hands.click(FIVE);
    hands.go((430, 150));
    hands.types("ihello from afar\u{1b}");
    hands.click(FOUR);
    hands.rest(300);
}

struct Done {
    summary: Value,
    said: String,
    result: Vec<u32>,
    text: Vec<u32>,
}

fn again(folder: &Path, session: &Path, round_trip_ms: u64, more: &[&str]) -> Done {
    let desk = Desk::set(folder);
    let near = folder.join("near");
    let _path = path_to(&desk.server.path, &near, round_trip_ms);
    let output = replay(&near, session, more);
    Done {
        summary: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        result: desk.part(RESULT),
        text: desk.part(TEXT),
    }
}

#[test]
fn a_session_from_0_ms_goes_through_at_66_and_100_ms_with_jitter_where_strict_matching_stalls() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let first = folder("first");
    let desk = Desk::set(&first);
    let session = record(&first, &desk, work);
    let (result, text) = (desk.part(RESULT), desk.part(TEXT));
    drop(desk);
    let strict = ["--distance", "0", "--pixels", "0", "--patience", "3", "--restarts", "1"];
    let report = dir.path().join("report");
    let report = ["--patience", "60", "--report", report.to_str().unwrap()];
    let folders = ["strict", "near", "far"].map(folder);
    let [strict, near, far] = std::thread::scope(|all| {
        let run = |folder, ms, more| {
            let session = &session;
            all.spawn(move || again(folder, session, ms, more))
        };
        [
            run(&folders[0], 66, &strict[..]),
            run(&folders[1], 66, &["--patience", "60"][..]),
            run(&folders[2], 100, &report[..]),
        ]
        .map(|one| one.join().unwrap())
    });
    let stalled = "attempt 2: before input";
    assert!(strict.said.contains(stalled) && strict.summary.is_null(), "{} {}", strict.said, strict.summary);
    for (done, ms) in [(&near, 66.0), (&far, 100.0)] {
        let summary = &done.summary;
        assert_eq!(summary["attempts"], 1, "{} {summary}", done.said);
        assert_eq!(summary["buttons"], 6);
        assert!(summary["response_median_ms"].as_f64().unwrap() >= ms, "{summary}");
        assert!(done.result == result, "the calculator shows something else at {ms} ms");
        assert!(done.text == text, "the editor shows something else at {ms} ms");
    }
    let rows = std::fs::read_to_string(dir.path().join("report/inputs.csv")).unwrap().lines().count() - 1;
    assert_eq!(far.summary["inputs"], rows);
    for file in ["fps.csv", "fps.svg", "fps-paper.svg", "response.csv", "response.svg", "trace.jsonl"] {
        assert!(dir.path().join("report").join(file).exists(), "{file}");
    }
}

#[test]
fn a_screen_that_stays_different_is_set_back_and_the_session_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::bare(dir.path());
    desk.start(&CALCULATOR);
    desk.draws(RESULT);
    let session = record(dir.path(), &desk, |hands| hands.click(FOUR));
    let result = desk.part(RESULT);
    drop(desk);
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let bare = Desk::bare(&other);
    let again = |more: &[&str]| replay(&bare.server.path, &session, more);
    let said =
        String::from_utf8_lossy(&again(&["--patience", "0.2", "--restart", "exit 7"]).stderr).into_owned();
    assert!(said.contains("exit status: 7"), "{said}");
    let start = format!("DISPLAY={} {} >&- 2>&- &", bare.server.display, CALCULATOR.join(" "));
    let output = again(&["--patience", "3", "--restarts", "12", "--restart", &start]);
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert!(summary["attempts"].as_u64().unwrap() >= 2, "{summary}");
    assert!(bare.part(RESULT) == result, "the calculator was not told of the click");
}
