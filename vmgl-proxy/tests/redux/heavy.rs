//! How many pictures of a session there are a second: alone on the machine, since time is counted.

use serde_json::Value;

use crate::desk::{Desk, path_to, record, replay};

/// A body that turns is dragged over at 100 ms: who has one request on its way gets one picture a round trip.
#[test]
fn who_asks_ahead_gets_more_pictures_of_the_same_session_than_who_pulls() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::bare(dir.path());
    desk.start(&["ico", "-faces", "-sleep", "0.015", "-geometry", "300x300+10+10"]);
    desk.draws([60, 60, 200, 200]);
    let session = record(dir.path(), &desk, |hands| {
        for to in [(60, 60), (250, 70), (200, 260), (80, 200), (160, 160)] {
            hands.go(to);
            hands.rest(300);
        }
    });
    let near = dir.path().join("near");
    let _path = path_to(&desk.server.path, &near, 100);
    let fps = |more: &[&str]| {
        let output = replay(&near, &session, more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        summary["fps_median"].as_f64().unwrap_or_else(|| panic!("no rate: {summary}"))
    };
    let [ahead, pulled] = [fps(&[]), fps(&["--pull"])];
    assert!(pulled <= 10.5 && ahead >= 1.5 * pulled, "{ahead} ahead, {pulled} pulled");
}
