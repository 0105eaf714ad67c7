//! `snowbird profile`, as people and programs use it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;
use std::process::{Command, Output};

fn snowbird(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_snowbird");
    Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

/// Exit code, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = snowbird(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn file(folder: &Path, text: &str) -> String {
    let file = folder.join("profile.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

const ODD: &str = r#"version = 1
[states.a]
place = "desk"
[states.b]
place = "compute"
[states.c]
place = "compute"
[[transitions]]
from = "a"
to = "b"
when = "cpu > 0.5 and cpu < 0.4"
"#;

#[test]
fn check_says_what_is_wrong_and_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = run(&["profile", "check", "profiles/builtin.toml", "--strict"]);
    assert_eq!((code, out.as_str()), (0, "builtin: 2 states, 4 rules, fine\n"));

    let odd = file(folder.path(), ODD);
    let (code, out, _) = run(&["profile", "check", &odd]);
    assert_eq!(code, 0);
    for part in [
        "profile.toml: line 4: unreachable: no rules lead from \"a\" to state \"b\"",
        "line 8: never true",
        "3 to look at",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(run(&["profile", "check", "--strict", &odd]).0, 1);
    let json: serde_json::Value =
        serde_json::from_str(&run(&["--json", "profile", "check", &odd]).1).unwrap();
    assert_eq!(json["warnings"][2]["line"], 8);

    let wrong = file(folder.path(), &ODD.replace("cpu > 0.5", "cpus > 0.5"));
    let (code, out, err) = run(&["profile", "check", &wrong]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.ends_with(
            "profile.toml: line 11, column 9: no sensor is called \"cpus\": did you mean \"cpu\"?\n"
        ),
        "{err}"
    );
    let (code, out, _) = run(&["--json", "profile", "check", "/nowhere.toml"]);
    assert!(code == 1 && out.contains("{\"error\":\"cannot read /nowhere.toml"), "{out}");
}

/// A name may come from anywhere.
#[test]
fn what_failed_is_told_in_one_line_that_steers_no_terminal() {
    let name = "/no\u{1b}[2Jwhere\n\u{9b}1m.toml";
    let (code, _, err) = run(&["profile", "check", name]);
    assert!(code == 1 && err.starts_with("snowbird: cannot read /no [2Jwhere  1m.toml"), "{err:?}");
    assert!(err.strip_suffix('\n').is_some_and(|line| !line.contains(char::is_control)), "{err:?}");
    let told: serde_json::Value =
        serde_json::from_str(&run(&["--json", "profile", "check", name]).1).unwrap();
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("where  1m.toml") && !error.contains(char::is_control), "{told}");
}

#[test]
fn show_gives_a_profile_to_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    let (_, words, _) = run(&["profile", "show"]);
    assert!(words.contains("when inputs >= 15 and (fps < 20 or response > 80ms)"), "{words}");
    assert!(words.ends_with("profiles: builtin, data, tuned\n"), "{words}");
    let (_, toml, _) = run(&["profile", "show", "tuned", "--toml"]);
    assert_eq!(run(&["profile", "check", "--strict", &file(folder.path(), &toml)]).0, 0);
    let (code, _, err) = run(&["profile", "show", "tunde"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "snowbird: no profile is called \"tunde\": did you mean \"tuned\"?\n")
    );
}

#[test]
fn replay_tells_people_programs_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.svg");
    let mut args = vec![
        "profile",
        "replay",
        "builtin",
        "traces/alternating.jsonl",
        "--map",
        "compute=cluster",
        "--map",
        "home=laptop",
    ];
    args.extend(["--svg", picture.to_str().unwrap()]);
    let (code, out, err) = run(&args);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("34.0 s: Moved from laptop to cluster for crunch: busiest >= 0.8 (busiest 85 %)."),
        "{out}"
    );
    assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg xmlns="));

    args.insert(0, "--json");
    args.extend(["--migration", "20s", "--speedup", "4"]);
    let (_, out, _) = run(&args);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let first = &json["decisions"][0];
    assert_eq!(
        (first["action"]["to"].as_str(), first["candidates"][0]["speedup"].as_f64()),
        (Some("cluster"), Some(4.0))
    );
    assert_eq!(json["reviews"][0]["review"], "moved");
}

#[test]
fn what_pays_less_than_it_takes_is_declined() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/builtin.toml")).unwrap();
    let short =
        file(folder.path(), &text.replace("place = \"compute\"", "place = \"compute\"\nexpected = \"70s\""));
    let (_, out, _) = run(&["profile", "replay", &short, "traces/quota.jsonl", "--speedup", "2"]);
    assert!(out.contains("would gain 35 s (by the length that the profile expects) and take 60 s."), "{out}");
    assert!(out.contains("no moves in 75 s"), "{out}");
}

#[test]
fn a_wrong_command_line_or_trace_is_refused() {
    for args in [
        &["profile", "replay", "builtin"][..],
        &["profile", "replay", "builtin", "t", "--map", "compute"],
        &["profile", "replay", "builtin", "t", "--speedup", "0"],
        &["profile", "replay", "builtin", "t", "--migration", "soon"],
        &["fly"],
    ] {
        assert_eq!(run(args).0, 2, "{args:?}");
    }
    let (code, _, err) = run(&["profile", "replay", "builtin", "Cargo.toml"]);
    assert!(code == 1 && err.starts_with("snowbird: Cargo.toml: line 1: is no trace"), "{err}");
    let help = run(&["profile", "replay", "--help"]).1;
    assert!(help.contains("Examples:\n  snowbird profile replay builtin session.jsonl"), "{help}");
}
