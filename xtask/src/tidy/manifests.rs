//! Rules about `Cargo.toml` files: versions stand in the workspace's table, lints come from it.

use anyhow::Result;

use super::text::{File, files};

/// What breaks the rules.
pub(super) fn check() -> Result<Vec<String>> {
    let files = files()?;
    let manifests = files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let mut faults: Vec<_> = manifests.flat_map(member).collect();
    if let Some(top) = files.iter().find(|file| file.path == "Cargo.toml") {
        faults.extend(sorted(top));
    }
    if !files.iter().any(|file| file.path == ".ci/run") {
        faults.push(".ci/run is missing".to_owned());
    }
    Ok(faults)
}

fn member(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut section, mut inherits_lints) = (String::new(), false);
    for (number, line) in (1..).zip(file.text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            // [dependencies.name] would hide a version from the rule below.
            if section.contains("dependencies.") {
                faults.push(format!("{}:{number}: write this dependency on one line", file.path));
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line: String = line.split_whitespace().collect();
        inherits_lints |= section == "lints" && line == "workspace=true";
        if section.ends_with("dependencies") && !line.contains("workspace=true") {
            faults.push(format!("{}:{number}: versions stand in the workspace's table only", file.path));
        }
    }
    if !inherits_lints {
        faults.push(format!("{}: must have [lints] workspace = true", file.path));
    }
    faults
}

/// The workspace's dependencies are in order, so that nobody adds one twice.
fn sorted(top: &File) -> Vec<String> {
    let section = top.text.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let mut faults = Vec::new();
    for block in section.split("\n\n") {
        let names: Vec<_> =
            block.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
        for pair in names.windows(2) {
            if let [before, after] = pair
                && before > after
            {
                faults.push(format!("Cargo.toml: {after} must stand before {before}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { path: "a/Cargo.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_members_versions_and_lints_are_the_workspaces() {
        let good = "[lints]\nworkspace = true\n[dependencies]\n# why\na.workspace = true\nb = { workspace = true }\n";
        assert!(member(&file(good)).is_empty());
        assert_eq!(member(&file("[dev-dependencies]\na = \"1\"\n")).len(), 2);
        assert_eq!(member(&file("[lints]\nworkspace = true\n[dependencies.a]\nversion = \"1\"\n")).len(), 1);
    }

    #[test]
    fn the_workspaces_table_is_sorted() {
        assert!(
            sorted(&file("[workspace.dependencies]\nz = { path = \"z\" }\n\na = \"1\"\nb = \"1\"\n[x]\n"))
                .is_empty()
        );
        assert_eq!(sorted(&file("[workspace.dependencies]\nb = \"1\"\na = \"1\"\n")).len(), 1);
    }
}
