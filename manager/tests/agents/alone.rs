//! An agent that moves by itself: by what its processor wants, and by what its user does (here: a sensor of the profile's own).

use serde_json::Value;

use crate::world::{AGENT, World, eventually, kill, script};

/// The code path of the built-in profile, with short times. Both sites are this host, so that none is faster.
fn profile(world: &World) -> String {
    let (hands, at) = (world.file("hands"), world.file("hands.now"));
    let said = r#"{"e":"external","name":"hands","value":"#;
    script(&hands, &format!("while sleep 0.2; do echo '{said}'$(cat {})'}}'; done", at.display()));
    let text = format!(
        r#"
version = 1
name = "test"
poll = "500ms"
window = "3s"
residence = "1s"
[sensors.hands]
command = "{}"
[states.cognitive]
place = "desk"
[states.crunch]
place = "compute"
gain = "near"
[[transitions]]
from = "cognitive"
to = "crunch"
when = "busiest >= 0.8"
[[transitions]]
from = "cognitive"
to = "cognitive"
when = "hands >= 15"
priority = 10
[[transitions]]
from = "crunch"
to = "cognitive"
when = "hands >= 15"
priority = 10
"#,
        hands.display()
    );
    let file = world.file("test.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// So much does the user from now on.
fn hands(world: &World, inputs: u32) {
    std::fs::write(world.file("hands.now"), inputs.to_string()).unwrap();
}

/// The records of the agent's log at home.
fn records(world: &World) -> Vec<Value> {
    let log = world.ok("a", &["log", AGENT]);
    log["log"].as_array().unwrap().iter().filter_map(|line| line.get("record")).cloned().collect()
}

fn kill_watcher(world: &World) {
    // One that is just starting another program looks like two.
    let mut watchers = Vec::new();
    eventually("there is one watcher", || {
        watchers = world.processes("watch");
        watchers.len() == 1
    });
    watchers.into_iter().for_each(kill);
    // Until it is gone it holds its lock, and nobody takes its place.
    eventually("the watcher is dead", || world.processes("watch").is_empty());
}

#[test]
fn an_agent_moves_by_itself_to_compute_and_back_to_its_user_and_a_dead_watcher_loses_nothing() {
    let world = World::with_agent();
    let profile = profile(&world);
    for (args, word) in [
        (["--role", "comptue=b"], "did you mean \"compute\"?"),
        (["--role", "compute=nowhere"], "nowhere"),
        (["--profile", "nothing.toml"], "nothing.toml"),
    ] {
        let sentence = world.fails("a", &[&["auto", AGENT, "auto"], &args[..]].concat());
        assert!(sentence.contains(word), "{args:?}: {sentence}");
    }

    // Advice is told, and it stays.
    hands(&world, 20);
    world.judge.say("a", "work");
    let told = world.ok("a", &["auto", AGENT, "advise", "--profile", &profile, "--role", "compute=b"]);
    assert_eq!(told["roles_without_site"], Value::Array(Vec::new()), "{told}");
    eventually("its watcher hears it", || {
        let status = world.ok("a", &["status", AGENT]);
        status["readings"]["busiest"].as_f64().is_some_and(|busiest| busiest >= 0.8)
            && status["readings"]["external"]["hands"] == 20.0
    });
    assert_eq!(records(&world), [Value::Null; 0]);
    hands(&world, 0);
    eventually("it is advised to move", || {
        records(&world)
            .iter()
            .any(|record| record["action"]["do"] == "advise" && record["action"]["to"] == "b")
    });
    let status = world.ok("a", &["status", AGENT]);
    assert_eq!((status["site"].as_str(), status["profile_state"].as_str()), (Some("a"), Some("cognitive")));
    let would = status["auto"]["would_move_told"].to_string();
    assert!(would.contains("to crunch at compute (b) when busiest >= 0.8"), "{would}");

    // Its watcher dies; the user's word starts another, which moves it.
    kill_watcher(&world);
    world.ok("a", &["auto", AGENT, "auto"]);
    world.judge.goes_on_at("b");
    eventually("how that went is told", || records(&world).iter().any(|record| record["review"] == "moved"));

    // Any command starts it again, and it finds the agent where it is.
    kill_watcher(&world);
    world.ok("a", &["ls"]);
    world.judge.say("b", "rest");
    hands(&world, 20);
    world.judge.goes_on_at("a");
    eventually("all of it is told", || {
        let moved = records(&world).into_iter().filter(|record| record["review"] == "moved");
        moved.filter(|review| review["failed"].is_null()).count() == 2
    });
    let all = records(&world);
    let moves: Vec<(&str, u64)> = all
        .iter()
        .filter(|record| record["action"]["do"] == "move")
        .map(|record| (record["action"]["to"].as_str().unwrap(), record["id"].as_u64().unwrap()))
        .collect();
    assert_eq!(moves, [("b", 1), ("a", 2)], "{all:?}");

    world.ok("a", &["auto", AGENT, "off"]);
    eventually("nobody watches it", || world.processes("watch").is_empty());
    world.end_at("a");
}
