//! `snowbird site`: the real programs brought to another site of this machine, and what is said of it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn snowbird() -> PathBuf {
    env!("CARGO_BIN_EXE_snowbird").into()
}

fn run(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(snowbird());
    command.env_remove("SNOWBIRD_HOME").env_remove("SNOWBIRD_WANDISK");
    command.arg("--home").arg(home).arg("--json").args(args).output().unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A site here, and one that it can reach but where nothing is yet.
fn two(dir: &Path) -> PathBuf {
    let home = dir.join("desk");
    let init = Command::new(snowbird().with_file_name("wandisk"))
        .arg("--home")
        .arg(&home)
        .args(["init", "--site", "desk"])
        .status();
    assert!(init.unwrap().success());
    let (far, program) = (dir.join("far home"), dir.join("bin/wandisk"));
    let (far, program) = (far.to_str().unwrap(), program.to_str().unwrap());
    let added =
        run(&home, &["site", "add", "big", "cmd:env", "--remote-home", far, "--remote-wandisk", program]);
    assert!(added.status.success(), "{added:?}");
    home
}

#[test]
fn a_site_with_nothing_gets_the_programs_and_a_folder_and_then_says_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let home = two(dir.path());
    let before = run(&home, &["site", "check", "big"]);
    assert_eq!(before.status.code(), Some(1));
    let lacks = json(&before);
    let what = |n: usize| lacks["lacks"][n]["what"].as_str().unwrap();
    assert!(what(0).contains("wandisk") && what(1).contains("snowbird"), "{lacks}");

    let setup = run(&home, &["site", "setup", "big"]);
    let said = json(&setup);
    assert!(setup.status.success(), "{said}");
    assert_eq!(said["installed"]["there_before"], false);
    let own = std::fs::metadata(snowbird()).unwrap().len();
    assert_eq!(std::fs::metadata(dir.path().join("bin/snowbird")).unwrap().len(), own);

    let check = run(&home, &["site", "check", "big"]);
    let said = json(&check);
    assert!(check.status.success(), "{said}");
    assert!(said["link"]["rtt_ms"].is_f64(), "{said}");
    let models = said["inventory"]["qemu"]["tcg"].as_array().unwrap();
    assert!(models.contains(&"Nehalem".into()), "{said}");
    // A second time nothing is copied.
    assert_eq!(json(&run(&home, &["site", "setup", "big"]))["installed"]["there_before"], true);
}

#[test]
fn an_agent_is_made_so_that_it_can_be_at_the_sites_that_were_checked() {
    let dir = tempfile::tempdir().unwrap();
    let home = two(dir.path());
    let own = json(&run(&home, &["site", "check"]));
    let machines: Vec<&str> = own["inventory"]["qemu"]["machines"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str().filter(|name| name.starts_with("pc-q35-")))
        .collect();
    // What an older site said when it was checked.
    let older = *machines.iter().find(|name| **name == "pc-q35-6.2").unwrap();
    let mut inventory = own["inventory"].clone();
    inventory["qemu"]["machines"] = serde_json::json!([older, "pc-i440fx-2.0"]);
    std::fs::create_dir_all(home.join("inventory")).unwrap();
    std::fs::write(home.join("inventory/big.json"), inventory.to_string()).unwrap();
    let machine = ["--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    let agent = json(&run(&home, &[&["create", "vm"], &machine[..]].concat()));
    assert_eq!((agent["machine"].as_str(), agent["cpu"].as_str()), (Some(older), Some("Nehalem")), "{agent}");
}
