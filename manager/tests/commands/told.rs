//! What every command promises, whatever it was told.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

use manager::agent::store::Store;
use rusqlite::Connection;
use serde_json::Value;

use crate::world::{AGENT, World};

/// What no sentence for people has in it.
const NO_SENTENCE: [&str; 7] = ["Some(", "Err(", "Os {", "Custom {", "::", "\\n", "unwrap"];

/// It ended by itself, with 0, 1 or 2, did not panic, and said what it had to say.
#[track_caller]
pub fn well<S: AsRef<OsStr>>(args: &[S], output: &Output) {
    let words: Vec<_> = args.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let shown = format!("{words:?}: {}\n--- out\n{out}--- err\n{err}", output.status);
    assert!(!out.contains("panicked") && !err.contains("panicked"), "{shown}");
    let json = words.iter().any(|word| word == "--json");
    match output.status.code() {
        Some(0) => {}
        Some(1) => failed(json, &out, &err, &shown),
        // clap's words; `wandisk`'s where a command goes to it.
        Some(2) => assert!(
            err.contains("error: ") || err.contains("Usage: ") || err.contains("wandisk: ") || json,
            "{shown}"
        ),
        _ => panic!("{shown}"),
    }
}

/// What failed is said once, in one sentence; JSON for programs.
#[track_caller]
fn failed(json: bool, out: &str, err: &str, shown: &str) {
    if json {
        let last: Value =
            out.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        // (A check that found something has told it.)
        if last.get("lacks").is_some() || last.get("warnings").is_some() {
            return;
        }
        let error = &last["error"];
        let said = error.as_str().or_else(|| error["message"].as_str());
        return sentence(said.unwrap_or_else(|| panic!("no error: {shown}")), shown);
    }
    let said = |line: &str| {
        ["snowbird: ", "wandisk: "].iter().find_map(|who| line.strip_prefix(who)).map(str::to_owned)
    };
    let all: Vec<String> = err.lines().filter_map(said).collect();
    match all.as_slice() {
        [] => assert!(!out.trim().is_empty(), "nothing is said: {shown}"),
        [one] => sentence(one, shown),
        _ => panic!("more than one sentence: {shown}"),
    }
    let hints = err.lines().filter(|line| line.starts_with("Hint: "));
    for hint in hints {
        assert!(hint.ends_with('.') && hint.len() > 10, "{shown}");
    }
}

#[track_caller]
fn sentence(said: &str, shown: &str) {
    let words = said.split_whitespace().count();
    assert!(words >= 2, "no sentence: {said:?}: {shown}");
    assert!(!said.trim_end().ends_with(':') && !said.contains('\n'), "half a sentence: {said:?}: {shown}");
    for odd in NO_SENTENCE {
        // (A word of the user's is repeated as it is.)
        let own = shown.lines().next().is_some_and(|args| args.contains(odd));
        assert!(own || !said.contains(odd), "{odd:?} is for programmers: {shown}");
    }
}

/// A site's list of agents is sound, and no process of an agent there has died of a defect.
#[track_caller]
pub fn sound(world: &World, site: &str) {
    let file = world.home(site).join("snowbird.db");
    let db = Connection::open(&file).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "at {site}");
    let strays: i64 =
        db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(strays, 0, "at {site}: lines of agents that are gone");
    for kept in Store::open(&world.home(site)).unwrap().agents().unwrap() {
        serde_json::from_str::<manager::supervisor::phase::Machine>(&kept.phase).unwrap();
    }
    let last_words = std::fs::read_to_string(folder(world, site).join("daemons.log")).unwrap_or_default();
    assert!(!last_words.contains("panicked"), "at {site}: {last_words}");
}

/// Memory of the agent that nobody needs any more, and what was begun and not ended.
pub fn left_behind(world: &World, site: &str) -> Vec<String> {
    let all = std::fs::read_dir(folder(world, site)).into_iter().flatten().flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("suspended-")).collect()
}

fn folder(world: &World, site: &str) -> std::path::PathBuf {
    Path::new(&world.home(site)).join("agents").join(AGENT)
}
