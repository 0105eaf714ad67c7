//! `vmgl-proxy replay`: a recorded session is done again, and how it was is told.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use vmgl_proxy::Address;
use vmgl_proxy::redux::matcher::{FARTHEST, Thresholds};
use vmgl_proxy::redux::replay::{Options, replay};
use vmgl_proxy::redux::report::{self, Summary};
use vmgl_proxy::redux::session;

use super::secret::password;

#[derive(Debug, Args)]
#[command(after_help = "A pixel mismatches when |dR| + |dG| + |dB| is more than --distance. The screen
differs when more than --pixels of the snapshot's pixels mismatch. How the
defaults were found: docs/session.md.

Examples:
  vmgl-proxy replay --to unix:/run/agent.vnc work.session --report near
  vmgl-proxy replay --to tcp:127.0.0.1:5942 work.session --pull --report far
  vmgl-proxy replay --to unix:/run/agent.vnc work.session --restart ./set-back")]
pub(super) struct Arguments {
    /// The VNC server
    #[arg(long, value_name = "ADDR")]
    to: Address,
    /// The session
    file: PathBuf,
    /// Write a report into this folder, which is made: tables, distributions, pictures, a trace
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// The replay's name in pictures; else the folder's
    #[arg(long)]
    name: Option<String>,
    /// Ask as a plain viewer does, one request at a time; else ahead, as the proxy does
    #[arg(long)]
    pull: bool,
    /// Two pixels match up to this distance
    #[arg(long, value_name = "0..765", default_value_t = Thresholds::default().distance, value_parser = clap::value_parser!(u16).range(0..=i64::from(FARTHEST)))]
    distance: u16,
    /// Pictures match up to so many pixels that do not
    #[arg(long, value_name = "N", default_value_t = Thresholds::default().pixels)]
    pixels: u32,
    /// How long a button waits for its screen, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    patience: f64,
    /// How many attempts may follow the first when the screen differs or the connection ends
    #[arg(long, value_name = "N", default_value_t = 3)]
    restarts: u32,
    /// Run this by the shell before another attempt: it sets the program under test back
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,
    /// The VNC server's password: the file's first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Tell the summary as JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| "is no number")?;
    if (0.0..=3600.0).contains(&value) { Ok(value) } else { Err("from 0 to 3600".to_owned()) }
}

#[allow(clippy::print_stdout, reason = "a program's answer goes to its standard output")]
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let path = &arguments.file;
    let named = || path.display().to_string();
    let file = File::open(path).with_context(named)?;
    let session = session::read(BufReader::new(file)).with_context(named)?;
    if let Some(folder) = &arguments.report {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let options = Options {
        to: arguments.to,
        password: arguments.password_file.as_deref().map(password).transpose()?,
        pull: arguments.pull,
        thresholds: Thresholds { distance: arguments.distance, pixels: arguments.pixels },
        patience: Duration::from_secs_f64(arguments.patience),
        restarts: arguments.restarts,
        restart: arguments.restart,
        trace: arguments.report.as_ref().map(|folder| folder.join("trace.jsonl")),
    };
    let replayed = replay(&session, &options).await?;
    let summary = match &arguments.report {
        Some(folder) => {
            let plain = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
            report::write(folder, &arguments.name.unwrap_or(plain), &replayed)?
        }
        None => Summary::of(&replayed),
    };
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(())
}
