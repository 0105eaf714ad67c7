//! A VNC server inside the agent is found through its network, shown in the place of the machine's screen, and stays through moves.

use agent_init::glass::picture;

use crate::viewer::Viewer;
use crate::world::{AGENT, World, beside, eventually};

/// Neither the first that is looked at nor the last.
const PORT: u16 = 5903;

#[track_caller]
fn sees(viewer: &mut Viewer, keys: usize) {
    eventually("the viewer sees what the agent's own server shows", || {
        viewer.look();
        viewer.picture.pixels() == picture(keys)
    });
}

#[test]
fn a_vnc_server_inside_the_agent_is_found_and_stays_through_moves() {
    beside("vmgl-proxy");
    let world = World::with_agent_told(&format!("vnc={PORT}"));
    let view = |site: &str, more: &str| {
        let words = ["view", AGENT, "--print", more];
        let words = if more.is_empty() { &words[..3] } else { &words[..] };
        world.run(site, words)
    };
    let mut place = String::new();
    eventually("the server is found", || {
        let output = view("a", "--guest");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        place = told["address"].as_str().unwrap_or_default().to_owned();
        output.status.success() && told["screen"]["guest"]["port"] == PORT
    });
    let mut viewer = Viewer::at(&place);
    sees(&mut viewer, 0);
    viewer.types("here");
    world.judge.heard("a", "here");
    sees(&mut viewer, 5);

    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    viewer.types("there");
    world.judge.heard("b", "there");
    sees(&mut viewer, 11);
    let status = &world.ok("a", &["status", AGENT])["view"];
    assert_eq!((&status["screen"], &status["viewers"]), (&"guest:5903".into(), &1.into()), "{status}");

    // Who looks at the other site is led to it by way of home, and its word is its own.
    let told = world.ok("b", &["view", AGENT, "--print", "--guest=5903"]);
    let mut other = Viewer::at(told["address"].as_str().unwrap());
    sees(&mut other, 11);
    let sentence = world.fails("b", &["view", AGENT, "--print", "--guest=5950"]);
    assert!(sentence.contains("no VNC server answers in the agent (port 5950"), "{sentence}");

    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    other.types("both");
    world.judge.heard("a", "both");
    sees(&mut viewer, 16);
    // The machine's screen again, by the same connection.
    assert!(view("a", "--machine").status.success());
    viewer.sees(&world.home("a").join("agents").join(AGENT).join("display.sock"));
    world.end_at("a");
}
