//! `cargo xtask mutants`: for each law, the line whose break loses data is broken, and a test must notice.
//!
//! The breaks are listed in docs/testing.md. They are applied one at a time to a copy of the sources, which keeps its
//! own build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, setup, workspace};

/// What cargo-nextest ends with when tests ran and some failed.
const TESTS_FAILED: i32 = 100;
/// Where the list begins in docs/testing.md.
const FENCE: &str = "```toml mutants";

/// Break the code on purpose, one law at a time; each break must be caught.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask mutants\n  cargo xtask mutants --law L3")]
pub(crate) struct Arguments {
    /// Only the breaks of this law.
    #[arg(long)]
    law: Option<String>,
}

/// A deliberate break.
#[derive(Debug)]
struct Break {
    law: String,
    file: String,
    line: String,
    becomes: String,
    /// Arguments of cargo-nextest: which tests must notice.
    caught_by: Vec<String>,
}

/// Runs all breaks.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure_all()?;
    let text = fs::read_to_string(workspace::root().join("docs/testing.md"))?;
    let mut breaks = parse(&text)?;
    breaks.retain(|b| arguments.law.as_ref().is_none_or(|law| *law == b.law));
    if breaks.is_empty() {
        bail!("docs/testing.md lists no such break");
    }
    let copy = copy_of_sources()?;
    let filters: BTreeSet<&Vec<String>> = breaks.iter().map(|b| &b.caught_by).collect();
    for caught_by in filters {
        if tests(&copy, caught_by, "whole")? != Some(0) {
            bail!("the tests that are to catch a break fail without it: {}", caught_by.join(" "));
        }
    }
    let mut survivors = 0;
    for one in &breaks {
        let began = Instant::now();
        let verdict = judge(&copy, one)?;
        survivors += u32::from(verdict != "caught");
        println!(
            "{:<4}{verdict:<10}{:>6}  {}: {}",
            one.law,
            process::span(began.elapsed()),
            one.file,
            one.line
        );
    }
    println!("{} breaks, {survivors} not caught", breaks.len());
    Ok(if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(text: &str) -> Result<Vec<Break>> {
    let list = text.split_once(FENCE).and_then(|(_, rest)| rest.split_once("\n```"));
    let (list, _) = list.with_context(|| format!("docs/testing.md has no block that begins with {FENCE}"))?;
    let table: toml::Table = list.parse().context("the list of breaks is no TOML")?;
    let breaks = table.get("break").and_then(toml::Value::as_array).context("the list has no [[break]]")?;
    breaks.iter().map(one).collect()
}

fn one(value: &toml::Value) -> Result<Break> {
    let text = |key: &str| -> Result<String> {
        let text = value.get(key).and_then(toml::Value::as_str);
        Ok(text.with_context(|| format!("a break has no {key}: {value:?}"))?.to_owned())
    };
    let caught_by = text("caught_by")?.split_whitespace().map(str::to_owned).collect();
    Ok(Break {
        law: text("law")?,
        file: text("file")?,
        line: text("line")?,
        becomes: text("becomes")?,
        caught_by,
    })
}

/// The files that are under version control, as they are now.
fn copy_of_sources() -> Result<PathBuf> {
    let copy = workspace::target().join("mutants/tree");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let listed = process::output(Command::new("git").arg("-C").arg(workspace::root()).args(["ls-files"]))?;
    for file in listed.lines() {
        let (from, to) = (workspace::root().join(file), copy.join(file));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
    }
    Ok(copy)
}

fn judge(copy: &Path, one: &Break) -> Result<&'static str> {
    let file = copy.join(&one.file);
    let whole = fs::read_to_string(&file).with_context(|| format!("cannot read {}", one.file))?;
    if whole.matches(&one.line).count() != 1 {
        bail!("{} has this not exactly once: {}", one.file, one.line);
    }
    fs::write(&file, whole.replacen(&one.line, &one.becomes, 1))?;
    let code = tests(copy, &one.caught_by, "broken");
    fs::write(&file, whole)?;
    Ok(match code? {
        Some(TESTS_FAILED) => "caught",
        Some(0) => "SURVIVED",
        _ => bail!("the broken program could not be built or tested: {} becomes {}", one.line, one.becomes),
    })
}

/// The exit code of the tests; their output is kept beside the copy.
fn tests(copy: &Path, caught_by: &[String], name: &str) -> Result<Option<i32>> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(copy).args(["nextest", "run", "--fail-fast"]).args(caught_by);
    cargo.env("CARGO_TARGET_DIR", workspace::target().join("mutants/target"));
    let log = fs::File::create(workspace::target().join(format!("mutants/{name}.log")))?;
    cargo.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(cargo.status().context("cargo-nextest could not be run")?.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_lines_that_are_there_once() {
        let text = fs::read_to_string(workspace::root().join("docs/testing.md")).unwrap();
        for one in parse(&text).unwrap() {
            let file = fs::read_to_string(workspace::root().join(&one.file)).unwrap();
            assert_eq!(file.matches(&one.line).count(), 1, "{}: {}", one.file, one.line);
            assert!(one.line != one.becomes && !one.caught_by.is_empty(), "{one:?}");
        }
    }

    #[test]
    fn every_law_is_broken_at_least_once() {
        let text = fs::read_to_string(workspace::root().join("docs/testing.md")).unwrap();
        let laws: Vec<String> = parse(&text).unwrap().into_iter().map(|b| b.law).collect();
        for law in 1..=15 {
            assert!(laws.contains(&format!("L{law}")), "no break of L{law}");
        }
    }
}
