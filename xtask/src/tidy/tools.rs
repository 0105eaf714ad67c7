//! Checks that other tools do.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// rustfmt's opinion.
pub(super) fn format() -> Result<Vec<String>> {
    report(workspace::cargo().args(["fmt", "--all", "--", "--check", "-l"]))
}

/// clippy's, with the workspace's lints, on every target and feature.
pub(super) fn clippy() -> Result<Vec<String>> {
    let mut cargo = workspace::cargo();
    cargo.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]);
    report(&mut cargo)
}

/// Whether the product compiles without what needs libclang and OpenSSL.
pub(super) fn light() -> Result<Vec<String>> {
    report(workspace::cargo().args(["check", "--quiet", "--package", "wandisk", "--no-default-features"]))
}

/// cargo-deny's on licences, advisories and sources.
pub(super) fn deny() -> Result<Vec<String>> {
    if process::find("cargo-deny").is_none() {
        println!("cargo-deny is not installed: licences and advisories are not checked");
        return Ok(Vec::new());
    }
    report(workspace::cargo().args(["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))
}

fn report(command: &mut Command) -> Result<Vec<String>> {
    let (success, said) = process::kept(command)?;
    Ok(if success { Vec::new() } else { vec![said.trim_end().to_owned()] })
}
