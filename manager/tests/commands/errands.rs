//! Commands whose reader has gone, an agent whose site is lost, and a home that is not given away.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use manager::agent::automatic::Settings;
use manager::agent::store::Store;
use manager::control::{Open, Opening, PROTOCOL};
use manager::supervisor::phase::Machine;
use serde_json::{Value, json};

use crate::known;
use crate::world::{AGENT, World, eventually, kill};

/// Where nobody reads.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_has_gone_is_no_defect() {
    let world = World::new();
    known(&world);
    for json in [true, false] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowbird"));
        command.arg("--home").arg(world.home("a")).args(json.then_some("--json")).args(["status", "nobody"]);
        let ended = command.stdout(nobody()).stderr(nobody()).status().unwrap();
        assert_eq!(ended.code(), Some(1), "json: {json}");
    }
}

/// A command began it and was killed before it could hear that it had begun.
#[test]
fn a_supervisor_whose_beginner_was_killed_goes_on() {
    let world = World::new();
    known(&world);
    let mut command = world.command_for_long("a", &["supervise", AGENT]);
    let mut supervisor = command.stdout(nobody()).stderr(Stdio::null()).spawn().unwrap();
    let mut ended = None;
    eventually("nobody asks for it, and it ends", || {
        ended = supervisor.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));
}

/// Somebody asked for it there, or made that site its home.
#[test]
fn a_supervisor_of_an_agent_that_was_never_there_ends_when_nobody_asks() {
    let world = World::new();
    let agent = known(&world);
    std::fs::create_dir_all(world.home("b").join("agents").join(AGENT)).unwrap();
    let off = serde_json::to_string(&Machine::default()).unwrap();
    Store::open(&world.home("b")).unwrap().put(&agent, &off, "known from another site").unwrap();
    let mut supervisor =
        world.command_for_long("b", &["supervise", AGENT]).stdout(Stdio::null()).spawn().unwrap();
    let mut ended = None;
    eventually("it ends", || {
        ended = supervisor.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));
}

/// Its site is lost, and its disk taken over: it begins there, when that is said.
#[test]
fn an_agent_whose_site_is_lost_is_launched_where_its_disk_was_taken_over() {
    let world = World::new();
    let machine = ["--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    world.ok("a", &[&["create", AGENT][..], &machine].concat());
    world.ok("a", &["launch", AGENT]);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.sever();
    world.processes("").into_iter().for_each(kill);
    let why = world.fails("a", &["launch", AGENT]);
    assert!(why.contains("does not answer"), "{why}");
    let why = world.fails("a", &["launch", AGENT, "--here"]);
    assert!(why.contains("not at this site, but at b"), "{why}");
    world.wandisk("a", &["takeover", AGENT, "--force"]);
    let status = world.ok("a", &["launch", AGENT, "--here"]);
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(world.state("a"), "running");
    world.ok("a", &["kill", AGENT]);
    // Whom it is not asked for does not begin twice.
    assert_eq!(world.ok("a", &["launch", AGENT, "--here"])["state"], "running");
    assert_eq!(world.ok("a", &["launch", AGENT, "--here"])["state"], "running");
    eventually("one machine runs", || world.processes("qemu-system").len() == 1);
}

#[test]
fn an_agent_is_created_for_another_home() {
    let world = World::new();
    let machine = ["--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    let why = world.fails("a", &[&["create", AGENT, "--at", "nowhere"][..], &machine].concat());
    assert!(why.contains("no site named \"nowhere\""), "{why}");
    let made = world.ok("a", &[&["create", AGENT, "--at", "b"][..], &machine].concat());
    assert_eq!(made["home"], "b");
    // Orders come from there; it is where its disk is.
    let status = world.ok("b", &["launch", AGENT]);
    assert_eq!(
        (&status["state"], &status["site"], &status["home"]),
        (&json!("running"), &json!("a"), &json!("b"))
    );
    world.ok("b", &["kill", AGENT]);
}

/// As a kill leaves it: a mark, and perhaps a disk.
#[test]
fn what_a_killed_create_has_left_is_told_and_does_not_stand_in_the_way() {
    let world = World::new();
    let machine = ["--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    let folder = world.home("a").join("agents").join(AGENT);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("unfinished"), "").unwrap();
    assert_eq!(world.ok("a", &["ls"])["agents"][0]["state"], "unfinished");
    // An image may be all that there is of somebody's work.
    let image = world.file("image");
    std::fs::write(&image, [1; 65536]).unwrap();
    world.wandisk("a", &["create", AGENT, "--from", image.to_str().unwrap()]);
    let why = world.fails("a", &[&["create", AGENT, "--size", "1M"][..], &machine].concat());
    assert!(why.contains("was ended when it had made the disk"), "{why}");
    world.wandisk("a", &["rm", AGENT, "--force"]);
    world.wandisk("a", &["create", AGENT, "--size", "2M"]);
    world.ok("a", &[&["create", AGENT, "--size", "1M"][..], &machine].concat());
    assert_eq!(world.wandisk("a", &["status", AGENT])["size"], 1 << 20);
    assert_eq!(world.ok("a", &["ls"])["agents"][0]["state"], "off");
}

const OWN_SENSOR: &str = "
[sensors.gpu]
command = \"gpu-load\"
";

fn profile() -> String {
    let builtin = include_str!("../../profiles/builtin.toml");
    format!("{builtin}\n{OWN_SENSOR}")
}

#[test]
fn a_home_that_is_lost_is_replaced_by_force_and_hears_so_when_it_comes_back() {
    let world = World::new();
    known(&world);
    world.ok("a", &["home", AGENT, "--to", "b"]);
    // It had never heard of the agent, and knows where it is.
    let status = world.ok("b", &["status", AGENT]);
    assert_eq!((status["site"].as_str(), status["home"].as_str()), (Some("a"), Some("b")));

    // What is said there is known where the agent is.
    world.ok("b", &["auto", AGENT, "advise", "--role", "compute=a"]);
    let uuid = Store::open(&world.home("b")).unwrap().agent(AGENT).unwrap().agent.uuid;
    let learnt = json!({ "took_ms": { "a": { "b": [7000] } }, "decisions": 3 });
    Store::open(&world.home("b")).unwrap().set_learnt(uuid, "b", &learnt.to_string()).unwrap();
    world.ok("b", &["net", AGENT, "forward", "tcp", "18022:22"]);

    let back = |more: &[&'static str]| [&["home", AGENT, "--to", "a"][..], more].concat();
    assert!(world.fails("a", &back(&[])).contains("the home of vm is site b"));
    assert!(world.fails("a", &back(&["--force"])).contains("it is not lost"));
    world.sever();
    assert!(world.fails("a", &["home", AGENT, "--to", "b", "--force"]).contains("where that is said"));
    let heir = world.ok("a", &back(&["--force"]));
    assert_eq!((&heir["lost"], &heir["missed"]), (&json!("b"), &json!([])), "{heir}");
    assert_eq!(
        heir["inherited"],
        json!({ "auto": "advise", "learnt": true, "forwards": ["127.0.0.1:18022"] })
    );
    let kept = Store::open(&world.home("a")).unwrap().learnt(uuid).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), learnt);
    let status = world.ok("a", &["status", AGENT]);
    assert_eq!((&status["home"], &status["auto"]["mode"]), (&json!("a"), &json!("advise")));
    assert_eq!(world.ok("a", &["net", AGENT, "ls"])["forwards"][0]["host"], "127.0.0.1:18022");
    world.cut(false);
    assert_eq!(world.ok("b", &["status", AGENT])["home"], "a");
    assert!(world.fails("b", &["stay", AGENT]).contains("the home of vm is site a"));
}

#[test]
fn a_home_is_not_given_away_with_commands_that_would_run_there() {
    let world = World::new();
    let agent = known(&world);
    let file = world.file("own.toml");
    std::fs::write(&file, profile()).unwrap();
    world.ok("a", &["auto", AGENT, "off", "--profile", file.to_str().unwrap()]);
    let why = world.fails("a", &["home", AGENT, "--to", "b"]);
    assert!(why.contains("commands of this site"), "{why}");
    assert_eq!(Store::open(&world.home("a")).unwrap().agent(AGENT).unwrap().agent.home, "a");
    assert!(!Store::is_at(&world.home("b")), "nothing was said there");

    // Nor does a site take them from another one.
    world.ok("a", &["auto", AGENT, "off", "--profile", "builtin"]);
    let settings = Settings { profile: Some(profile()), ..Settings::default() };
    let open = Open::Automatic { settings, learnt: None };
    let opening = Opening { snowbird: PROTOCOL, agent: AGENT.to_owned(), open, document: None };
    let mut host = world.command("a", &["host", "--stdio"]);
    let mut host = host.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let line = serde_json::to_string(&opening).unwrap();
    writeln!(host.stdin.as_ref().unwrap(), "{line}").unwrap();
    let mut said = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    let why = said["error"]["message"].as_str().unwrap();
    assert!(why.contains("no other site says what is run here"), "{why}");
    host.wait().unwrap();
    let kept = Store::open(&world.home("a")).unwrap().automatic(agent.uuid).unwrap();
    assert!(kept.profile().unwrap().sensors.is_empty());
}
