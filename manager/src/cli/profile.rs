//! `snowbird profile …`.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use super::args::ProfileCommand;
use crate::profile::{Profile, check, read};
use crate::replay::{Options, replay, svg, table};

/// No profile is longer: beyond this it is not read.
const READ_MAX: u64 = 1 << 20;

pub(super) fn run(command: &ProfileCommand, json: bool) -> Result<ExitCode> {
    match command {
        ProfileCommand::Check { file, strict } => checked(file, *strict, json),
        ProfileCommand::Show { name, toml } => show(name.as_deref(), *toml, json).map(|()| ExitCode::SUCCESS),
        ProfileCommand::Replay { profile, trace, map, at, migration, speedup, svg } => {
            let mut options =
                Options { place: at.clone(), migration: *migration, speedup: *speedup, ..Options::default() };
            for (role, site) in map {
                options.roles.entry(role.clone()).or_default().push(site.clone());
            }
            replayed(&load(profile)?, trace, &options, svg.as_deref(), json).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// Standard output; a reader that goes away early is told apart from other failures.
fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

fn text_of(file: &Path) -> Result<String> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut text = String::new();
    opened
        .take(READ_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text)
}

/// A profile's text, by the name of an embedded one, else from a file.
fn find(profile: &str) -> Result<String> {
    let file = Path::new(profile);
    if file.exists() || profile.contains(['/', '.']) {
        return text_of(file);
    }
    Ok(Profile::embedded_text(profile)?.to_owned())
}

/// A profile that is right, and its text.
pub(super) fn load_text(profile: &str) -> Result<(Profile, String)> {
    let text = find(profile)?;
    let read = read(&text).with_context(|| profile.to_owned())?;
    Ok((read, text))
}

fn load(profile: &str) -> Result<Profile> {
    Ok(load_text(profile)?.0)
}

fn checked(file: &Path, strict: bool, json: bool) -> Result<ExitCode> {
    let profile = read(&text_of(file)?).with_context(|| file.display().to_string())?;
    let warnings = check(&profile);
    if json {
        let warnings: Vec<_> =
            warnings.iter().map(|w| json!({ "line": w.line, "warning": w.kind.to_string() })).collect();
        print(&format!("{}\n", json!({ "profile": profile.name, "warnings": warnings })))?;
    } else {
        for warning in &warnings {
            print(&format!("{}: {warning}\n", file.display()))?;
        }
        let (states, rules) = (profile.states.len(), profile.rules.len());
        let found =
            if warnings.is_empty() { "fine".to_owned() } else { format!("{} to look at", warnings.len()) };
        print(&format!("{}: {states} states, {rules} rules, {found}\n", profile.name))?;
    }
    Ok(if strict && !warnings.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(name: Option<&str>, toml: bool, json: bool) -> Result<()> {
    let text = Profile::embedded_text(name.unwrap_or("builtin"))?;
    let profile = Profile::embedded(name.unwrap_or("builtin"))?;
    let all: Vec<&str> = Profile::EMBEDDED.iter().map(|(name, _)| *name).collect();
    if json {
        return print(&format!("{}\n", json!({ "profile": profile.name, "toml": text, "known": all })));
    }
    if toml {
        return print(text);
    }
    print(&profile.to_string())?;
    if name.is_none() {
        print(&format!("\nprofiles: {}\n", all.join(", ")))?;
    }
    Ok(())
}

fn replayed(
    profile: &Profile,
    trace: &Path,
    options: &Options,
    picture: Option<&Path>,
    json: bool,
) -> Result<()> {
    let opened = File::open(trace).with_context(|| format!("cannot read {}", trace.display()))?;
    let result =
        replay(profile, BufReader::new(opened), options).with_context(|| trace.display().to_string())?;
    if let Some(file) = picture {
        std::fs::write(file, svg(&result)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if json { print(&format!("{}\n", serde_json::to_string(&result)?)) } else { print(&table(&result)) }
}
