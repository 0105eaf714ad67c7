//! Compiles everything that the steps run, once: the tests of the host, the programs of guest tests, and the product.
//!
//! One cargo command for all, with the features of guest tests: another choice of packages or features gives dependencies
//! other features, and all would be compiled twice. From then on no step of tests needs cargo's lock, which clippy holds for
//! minutes beside them: nextest is told what was built.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::guest_tests::Program;
use crate::{process, workspace};

/// What was built.
#[derive(Debug)]
pub(super) struct Built {
    /// Integration tests, by the names of their targets.
    tests: BTreeMap<String, PathBuf>,
    /// The product's programs, so too.
    programs: BTreeMap<String, PathBuf>,
    /// For nextest, where it is installed.
    pub(super) listed: Option<Listed>,
}

/// What nextest runs without asking cargo.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) binaries: PathBuf,
    pub(super) packages: PathBuf,
}

impl Built {
    /// A program of tests.
    pub(super) fn test(&self, name: &str) -> Result<&PathBuf> {
        self.tests.get(name).with_context(|| format!("cargo built no test program {name}"))
    }

    /// A program of the product, if the choice had it built.
    pub(super) fn program(&self, name: &str) -> Option<&PathBuf> {
        self.programs.get(name)
    }

    /// Takes in a message of cargo's, if it is about something that can be run.
    fn read(&mut self, message: &str) {
        let Ok(message) = serde_json::from_str::<Value>(message) else { return };
        let (target, file) = (&message["target"], message["executable"].as_str());
        let (Some(name), Some(file)) = (target["name"].as_str(), file) else { return };
        // A program's own unit tests have its name, too.
        let programs = match (target["kind"][0].as_str(), message["profile"]["test"].as_bool()) {
            (Some("test"), _) => &mut self.tests,
            (Some("bin"), Some(false)) => &mut self.programs,
            _ => return,
        };
        programs.insert(name.to_owned(), PathBuf::from(file));
    }
}

/// Compiles all tests, those of guests too.
pub(super) fn all(programs: &[Program]) -> Result<Built> {
    let choose = |cargo: &mut Command| {
        with_features(cargo, programs);
        cargo.args(["--lib", "--bins", "--tests", "--examples"]);
    };
    let mut built = build(false, choose)?;
    if process::find("cargo-nextest").is_some() {
        built.listed = Some(list(choose)?);
    }
    Ok(built)
}

/// Compiles these programs of guest tests alone.
pub(super) fn chosen(programs: &[Program]) -> Result<Built> {
    build(true, |cargo| {
        with_features(cargo, programs);
        for program in programs {
            cargo.args(["--test", &program.name]);
        }
    })
}

/// Chooses the workspace, with the features that these programs of guest tests want.
pub(super) fn with_features(cargo: &mut Command, programs: &[Program]) {
    cargo.arg("--workspace");
    for program in programs {
        cargo.args(["--features", &format!("{}/guest", program.package)]);
    }
}

fn build(quiet: bool, choose: impl Fn(&mut Command)) -> Result<Built> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(quiet.then_some("--quiet"));
    choose(&mut cargo);
    let mut built = Built { tests: BTreeMap::new(), programs: BTreeMap::new(), listed: None };
    let success = process::lines(&mut cargo, |line| built.read(line))?;
    if !success {
        bail!("{} failed", process::line(&cargo));
    }
    Ok(built)
}

/// Lets nextest see what was built, and keeps what it saw.
fn list(choose: impl Fn(&mut Command)) -> Result<Listed> {
    let folder = workspace::guest().join("nextest");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let listed = Listed { binaries: folder.join("binaries.json"), packages: folder.join("packages.json") };

    let mut nextest = workspace::cargo();
    nextest.args(["nextest", "list", "--list-type=binaries-only", "--message-format=json"]);
    choose(&mut nextest);
    std::fs::write(&listed.binaries, process::output(&mut nextest)?)?;
    let mut metadata = workspace::cargo();
    metadata.args(["metadata", "--format-version=1", "--all-features"]);
    std::fs::write(&listed.packages, process::output(&mut metadata)?)?;
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_told_apart() {
        let mut built = Built { tests: BTreeMap::new(), programs: BTreeMap::new(), listed: None };
        let message = |name: &str, kind: &str, test: bool, file: &str| {
            let (target, profile) =
                (serde_json::json!({ "name": name, "kind": [kind] }), serde_json::json!({ "test": test }));
            serde_json::json!({ "target": target, "profile": profile, "executable": file }).to_string()
        };
        built.read(&message("wandisk", "bin", false, "/t/wandisk"));
        built.read(&message("wandisk", "bin", true, "/t/deps/wandisk-1"));
        built.read(&message("wandisk", "lib", true, "/t/deps/wandisk-2"));
        built.read(&message("guest_a", "test", true, "/t/deps/guest_a-3"));
        built
            .read(r#"{"target":{"name":"serde","kind":["lib"]},"profile":{"test":false},"executable":null}"#);
        built.read("   Compiling");
        assert_eq!(built.program("wandisk"), Some(&PathBuf::from("/t/wandisk")));
        assert_eq!(built.test("guest_a").unwrap(), &PathBuf::from("/t/deps/guest_a-3"));
        assert!(built.test("guest_b").is_err());
    }
}
