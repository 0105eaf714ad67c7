//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::args_agents::AgentCommand;
use super::args_sites::SiteCommand;

/// Snowbird moves agents to where they run best.
#[derive(Debug, Parser)]
#[command(
    name = "snowbird",
    version,
    after_help = "Examples:\n  snowbird create work --image debian.qcow2 --memory 2G --vcpus 4\n  \
                  snowbird launch work\n  snowbird migrate work --to big\n  snowbird status work\n\n\
                  Sites are those of wandisk: `wandisk init` makes this one; `snowbird site add|setup|check`.\n\
                  Exit codes: 0 done, 1 failed, 2 the command line is wrong."
)]
pub(super) struct Cli {
    /// The site's folder [default: $SNOWBIRD_HOME, else that of wandisk].
    #[arg(long, global = true, env = "SNOWBIRD_HOME", value_name = "DIR", hide_env = true)]
    pub(super) home: Option<PathBuf>,
    /// The program wandisk [default: $SNOWBIRD_WANDISK, else beside snowbird, else in the PATH].
    #[arg(long, global = true, env = "SNOWBIRD_WANDISK", value_name = "FILE", hide_env = true)]
    pub(super) wandisk: Option<PathBuf>,
    /// Results and errors as JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Agent(AgentCommand),
    /// Other sites: the same that wandisk knows.
    #[command(after_help = super::args_sites::SITE)]
    Site {
        #[command(subcommand)]
        command: SiteCommand,
    },
    /// Profiles: the rules by which an agent is moved.
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
}

const CHECK: &str = "Examples:
  snowbird profile check render.toml
  snowbird profile check --strict render.toml && echo fine";

const SHOW: &str = "Examples:
  snowbird profile show                        which there are, and the built-in one in words
  snowbird profile show tuned --toml > my.toml   a profile of your own to begin with";

const REPLAY: &str = "Examples:
  snowbird profile replay builtin session.jsonl
  snowbird profile replay my.toml session.jsonl --map compute=cluster --map desk=laptop --svg session.svg
  snowbird --json profile replay my.toml session.jsonl --migration 20s --speedup 4";

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// Says what is wrong or odd about a profile.
    #[command(after_help = CHECK)]
    Check {
        /// The profile.
        file: PathBuf,
        /// Warnings are failures.
        #[arg(long)]
        strict: bool,
    },
    /// Shows a profile that is part of the program.
    #[command(after_help = SHOW)]
    Show {
        /// Its name; without one the built-in profile, and which there are.
        name: Option<String>,
        /// As a file, to make one's own from.
        #[arg(long)]
        toml: bool,
    },
    /// Says what a profile would have done with a recorded trace.
    #[command(after_help = REPLAY)]
    Replay {
        /// The profile: a file, or the name of one that is part of the program.
        profile: String,
        /// The trace.
        trace: PathBuf,
        /// The site of a role; several are candidates, in this order.
        #[arg(long = "map", value_name = "ROLE=SITE", value_parser = mapping)]
        map: Vec<(String, String)>,
        /// The role of the place at which the agent is at first.
        #[arg(long, value_name = "ROLE")]
        at: Option<String>,
        /// How long a migration takes.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::duration)]
        migration: Duration,
        /// How much faster sites for computing are; not given: unknown.
        #[arg(long, value_name = "TIMES", value_parser = speedup)]
        speedup: Option<f64>,
        /// Draws readings, states and moves to this file.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

pub(super) fn mapping(text: &str) -> Result<(String, String), String> {
    let (role, site) = text.split_once('=').ok_or("write it as ROLE=SITE")?;
    for name in [role, site] {
        if !sensors::valid_name(name) {
            return Err(format!("{name:?} is no name"));
        }
    }
    Ok((role.to_owned(), site.to_owned()))
}

fn speedup(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speedup) if (0.01..=1000.0).contains(&speedup) => Ok(speedup),
        _ => Err("a number from 0.01 to 1000".to_owned()),
    }
}
