//! Rules about files: headers, length, words that must not stay, traces of a developer's machine.

use anyhow::Result;

use super::text::{File, files};
use crate::workspace;

/// Code above this asks to be two files.
const LONGEST: usize = 600;

/// Words that mean unfinished work or a test that is not run. Written apart, so that this file holds
/// none of them.
const UNFINISHED: [&str; 6] = [
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
    concat!("dbg", "!("),
];

/// What breaks the rules.
pub(super) fn check() -> Result<Vec<String>> {
    let files = files()?;
    let root = workspace::root();
    let mut faults = Vec::new();
    for file in &files {
        if file.is_rust() {
            rust(file, &mut faults);
        }
        if file.path != "Cargo.lock" {
            machine(file, &root.to_string_lossy(), &mut faults);
        }
    }
    match files.iter().find(|file| file.path == "CHANGELOG.md") {
        None => faults.push("CHANGELOG.md is missing".to_owned()),
        Some(file) if !file.text.lines().any(|line| line.starts_with("## [Unreleased]")) => {
            faults.push("CHANGELOG.md has no heading \"## [Unreleased]\"".to_owned());
        }
        Some(_) => {}
    }
    Ok(faults)
}

fn rust(file: &File, faults: &mut Vec<String>) {
    let path = &file.path;
    if !file.text.trim_start().starts_with("//!") {
        faults.push(format!("{path}:1: does not begin with a //! header that says what it is"));
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        for word in UNFINISHED.iter().filter(|word| whole(line, word)) {
            faults.push(format!("{path}:{number}: {word}"));
        }
    }
    let code = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if code > LONGEST && !file.is_test() {
        faults.push(format!("{path}: {code} lines of code are more than {LONGEST}: make it two files"));
    }
}

/// A path below somebody's home, or below where this workspace happens to lie.
fn machine(file: &File, root: &str, faults: &mut Vec<String>) {
    // A workspace right below `/` has a name too short to tell anything.
    let here = (root.matches('/').count() > 1).then(|| format!("{root}/"));
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/")].map(str::to_owned);
    for (number, line) in (1..).zip(file.text.lines()) {
        if let Some(path) = homes.iter().chain(&here).find(|path| line.contains(path.as_str())) {
            faults.push(format!("{}:{number}: names a folder of one machine: {path}", file.path));
        }
    }
}

/// Whether the line has the word with no letter before it or, if it ends in a letter, after it.
fn whole(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let open = !word.ends_with(letter);
        !before.is_some_and(letter) && (open || !after.is_some_and(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let mut faults = Vec::new();
        rust(&file, &mut faults);
        machine(&file, "/somewhere/deep", &mut faults);
        faults
    }

    #[test]
    fn a_file_begins_with_its_purpose() {
        assert!(faults("a/src/b.rs", "//! What.\nfn f() {}\n").is_empty());
        assert_eq!(faults("a/src/b.rs", "fn f() {}\n").len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_but_not_in_longer_words() {
        for word in UNFINISHED {
            assert_eq!(faults("b.rs", &format!("//! What.\n {word}\n")).len(), 1, "{word}");
        }
        assert!(faults("b.rs", concat!("//! A", "XX", "X and mk", "XX", "X_ and XX", "XX\n")).is_empty());
    }

    #[test]
    fn code_has_a_length_tests_do_not() {
        let code = format!("//! What.\n{}", "fn f() {}\n".repeat(LONGEST));
        assert_eq!(faults("a/src/b.rs", &code).len(), 1);
        assert!(faults("a/tests/b.rs", &code).is_empty());
        let tests = format!("//! What.\n#[cfg(test)]\n{}", "fn f() {}\n".repeat(LONGEST));
        assert!(faults("a/src/b.rs", &tests).is_empty());
    }

    #[test]
    fn traces_of_a_machine_are_found() {
        assert_eq!(faults("b.rs", concat!("//! See /ho", "me/joe.\n")).len(), 1);
        assert_eq!(faults("b.rs", "//! See /somewhere/deep/down.\n").len(), 1);
        assert!(faults("b.rs", "//! See /somewhere/else.\n").is_empty());
    }
}
