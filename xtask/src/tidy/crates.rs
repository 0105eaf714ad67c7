//! Rules about crates: who may know whom, and who may use `unsafe`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// Crates that speak to the kernel by memory it shares or maps, or to OpenGL, which is C: their `unsafe` is argued block
/// by block. Every other crate forbids it.
const MAY_BE_UNSAFE: [&str; 3] = ["vmgl-gl", "vmgl-gl-renderer", "wandisk-ublk"];

/// Which part of the product may know which other, by top-level folders. `xtask` and `tests` may know
/// all.
const MAY_KNOW: [(&str, &[&str]); 4] = [
    ("manager", &["wandisk", "sensors", "vmgl-proxy"]),
    ("vmgl-proxy", &["sensors"]),
    ("wandisk", &[]),
    ("sensors", &[]),
];

/// Tests of every part may use them: one runs fuzz targets, one ends what a test has started, one waits and drives a browser;
/// they know of no part.
const FOR_TESTS: [&str; 3] = ["wandisk-fuzz", "test-guard", "test-kit"];

/// Inside `wandisk`: front-ends see disks through the seam and nothing else, and what lies below the
/// engine does not see it.
const INSIDE: [(&str, &[&str]); 7] = [
    ("wandisk-io", &[]),
    ("wandisk-fuzz", &[]),
    ("wandisk-conformance", &["wandisk-io"]),
    ("wandisk-nbd", &["wandisk-io", "wandisk-conformance", "wandisk-fuzz"]),
    ("wandisk-ublk", &["wandisk-io", "wandisk-conformance"]),
    ("wandisk-store", &[]),
    ("wandisk-link", &["wandisk-fuzz"]),
];

/// What breaks the rules.
pub(super) fn check() -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut faults = Vec::new();
    for package in packages {
        knows(package, packages, &mut faults);
        forbids_unsafe(package, &mut faults)?;
    }
    Ok(faults)
}

/// Whether any package has an integration test whose name starts so.
///
/// # Errors
/// When cargo cannot read the workspace.
pub(crate) fn has_test_program(prefix: &str) -> Result<bool> {
    let metadata = workspace::metadata()?;
    let mut targets = metadata["packages"].as_array().into_iter().flatten().flat_map(targets);
    Ok(targets.any(|target| target["kind"][0] == "test" && text(&target["name"]).starts_with(prefix)))
}

fn knows(package: &Value, all: &[Value], faults: &mut Vec<String>) {
    let (name, from) = (text(&package["name"]), part(package));
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let known = text(&dependency["name"]);
        let Some(to) = all.iter().find(|other| text(&other["name"]) == known).map(part) else { continue };
        let tests_only = FOR_TESTS.contains(&known) && dependency["kind"] == "dev";
        if !tests_only && !may_know(&from, &to) {
            faults.push(format!("{name}: a crate of {from}/ must not depend on {known} of {to}/"));
        }
        let inside = INSIDE.iter().find(|(inside, _)| *inside == name);
        if inside.is_some_and(|(_, allowed)| !allowed.contains(&known)) {
            faults.push(format!("{name}: must not depend on {known}"));
        }
    }
}

fn may_know(from: &str, to: &str) -> bool {
    from == to
        || matches!(from, "xtask" | "tests")
        || MAY_KNOW.iter().any(|(part, known)| *part == from && known.contains(&to))
}

/// The top-level folder a package lies in.
fn part(package: &Value) -> String {
    let manifest = Path::new(text(&package["manifest_path"]));
    let below = manifest.strip_prefix(workspace::root()).unwrap_or(manifest);
    below.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default()
}

fn forbids_unsafe(package: &Value, faults: &mut Vec<String>) -> Result<()> {
    let name = text(&package["name"]);
    if MAY_BE_UNSAFE.contains(&name) {
        return Ok(());
    }
    for target in targets(package) {
        let kind = text(&target["kind"][0]);
        if !matches!(kind, "lib" | "bin") {
            continue;
        }
        let root = text(&target["src_path"]);
        let source = std::fs::read_to_string(root).with_context(|| format!("cannot read {root}"))?;
        if !source.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            faults.push(format!("{name}: the {kind} must have #![forbid(unsafe_code)]"));
        }
    }
    Ok(())
}

fn targets(package: &Value) -> impl Iterator<Item = &Value> {
    package["targets"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowledge_flows_one_way() {
        assert!(
            may_know("manager", "wandisk") && may_know("wandisk", "wandisk") && may_know("tests", "manager")
        );
        assert!(!may_know("wandisk", "manager") && !may_know("sensors", "vmgl-proxy"));
        assert!(!may_know("wandisk", "xtask") && !may_know("manager", "tests"));
    }
}
