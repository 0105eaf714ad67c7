//! The command line: words to actions, results to people and programs.
//!
//! Exit codes: 0 done, 1 failed (also: a profile with warnings under `--strict`), 2 the command line itself is wrong. With
//! `--json` results and errors are JSON on standard output.

mod agents;
mod args;
mod args_agents;
mod args_net;
mod args_sites;
mod auto;
mod care;
mod cd;
mod create;
mod dashboard;
mod heir;
mod led;
mod machinery;
mod net;
mod news;
mod profile;
mod sites;
mod told;
mod unfinished;
mod view;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            e.print().ok();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let result = match &cli.command {
        Command::Profile { command } => profile::run(command, cli.json),
        Command::Site { command } => sites::run(command, cli.home.as_deref(), cli.wandisk.clone(), cli.json),
        Command::Agent(command) => agents::run(command, cli.home.as_deref(), cli.wandisk.clone(), cli.json)
            .map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(e) => failed(&e, cli.json),
    }
}

/// Tells it in a sentence. That nobody reads it any more is nothing to tell.
fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
    // A reader that has seen enough is no failure.
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let (said, hint) = (line(&format!("{error:#}")), told::hint_of(error).map(|hint| line(&hint)));
    if json {
        let mut value = serde_json::json!({ "error": said });
        if let Some(hint) = hint {
            value["hint"] = hint.into();
        }
        writeln!(std::io::stdout().lock(), "{value}").ok();
    } else {
        let hint = hint.map_or(String::new(), |hint| format!("Hint: {}.\n", hint.trim_end_matches('.')));
        write!(std::io::stderr().lock(), "snowbird: {said}\n{hint}").ok();
    }
    ExitCode::FAILURE
}

/// What others have named, or said, makes no second line and steers no terminal.
fn line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
