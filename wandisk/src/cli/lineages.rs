//! Commands for when a site is lost, or its bytes are given up: what they say to people.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::{Cli, Command};
use super::output::{self, Failure};
use super::run::ask;
use super::units::show_bytes;
use crate::handover::join::JoinOptions;
use crate::handover::takeover::{TakeoverOptions, TakeoverReport};
use crate::keeper::commands::Command as Ask;

/// How long a keeper may take to end what is under way, before the next one goes back to a kept moment.
const GOING_BACK: Duration = Duration::from_secs(60);

pub(super) async fn run(cli: &Cli, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Takeover { disk, force, dry_run, accept_old, accept_mixed } => {
            let options = TakeoverOptions {
                force: *force,
                dry_run: *dry_run,
                accept_old: *accept_old,
                accept_mixed: *accept_mixed,
            };
            let (value, report) = take_over(cli, disk, options).await?;
            output::result(cli, &value, || show_takeover(&report));
        }
        Command::Join { disk, site, force, dry_run } => {
            let options = JoinOptions { force: *force, dry_run: *dry_run };
            let value = ask(cli, disk, Ask::Join { site: site.clone(), options }).await?;
            output::result(cli, &value, || show_join(&value));
        }
        Command::Evict { disk, keep } => {
            let value = ask(cli, disk, Ask::Evict { keep_bytes: *keep }).await?;
            output::result(cli, &value, || {
                format!(
                    "{} of {} chunks given up; {} are held by no other site that answers, and stay",
                    show_bytes(value["bytes"].as_u64().unwrap_or(0)),
                    value["evicted"],
                    value["not_promised"]
                )
            });
            // What had to stay keeps the site above what was asked for.
            if value["not_promised"].as_u64().unwrap_or(0) > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// A replica that goes back to a kept moment first does so under its next keeper, which is asked again.
async fn take_over(
    cli: &Cli,
    disk: &str,
    options: TakeoverOptions,
) -> Result<(Value, TakeoverReport), Failure> {
    let mut went_back_to = None;
    let deadline = Instant::now() + GOING_BACK;
    loop {
        let mut value = ask(cli, disk, Ask::TakeOver { options }).await?;
        let report: TakeoverReport = serde_json::from_value(value.clone())?;
        if options.dry_run || report.goes_back_to.is_none() {
            value["went_back_to"] = serde_json::json!(went_back_to);
            return Ok((value, report));
        }
        if Instant::now() >= deadline {
            return Err(Failure::new("the disk's keeper does not end, so the replica cannot go back yet")
                .hint("wait for what is under way (see `wandisk status`), and run the same command again"));
        }
        went_back_to = report.goes_back_to;
        // The keeper that said so is about to end.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn show_runs(runs: &[(u64, u64)]) -> String {
    let run = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

fn show_takeover(report: &TakeoverReport) -> String {
    let would = if report.dry_run { "would be" } else { "is" };
    let mut lines = Vec::new();
    match &report.lineage {
        Some(lineage) => lines.push(format!("resident here, in the new lineage {lineage}")),
        None if report.dry_run => lines.push("nothing was changed".to_owned()),
        None => {}
    }
    lines.push(format!(
        "the old lineage was last known to be resident at {} (epoch {})",
        report.resident, report.epoch
    ));
    lines.push(match report.consistent_at {
        Some(at) => format!("the table here {would} of one moment: {at} ms since 1970"),
        None => "the table here mixes two moments, or was never complete".to_owned(),
    });
    if let Some(at) = report.goes_back_to {
        lines.push(format!(
            "first the replica would go back to its last consistent moment: {at} ms since 1970; chunks are told as of now, \
             as --accept-mixed would take them"
        ));
    }
    let sites = [
        ("lost", &report.unreachable),
        ("reachable", &report.reachable),
        ("with a newer table", &report.newer_at),
        ("in another lineage", &report.diverged),
    ];
    for (what, names) in sites.iter().filter(|(_, names)| !names.is_empty()) {
        lines.push(format!("sites {what}: {}", names.join(", ")));
    }
    lines.push(format!(
        "chunks: {} held here, {} at reachable sites, {} lost",
        report.held, report.elsewhere, report.lost
    ));
    if report.lost > 0 {
        let left = if report.accepted > 0 { "were lost" } else { "are an error to read" };
        lines.push(format!("chunks that {left}: {}", show_runs(&report.lost_chunks)));
    }
    if report.old > 0 {
        let what = if report.accepted > 0 {
            "have their older bytes now"
        } else {
            "have older bytes here (--accept-old)"
        };
        lines.push(format!("of those, {} {what}: {}", report.old, show_runs(&report.old_chunks)));
    }
    lines.join("\n")
}

fn show_join(value: &Value) -> String {
    let given_up = &value["given_up"];
    if value["dry_run"] == true {
        return format!("{given_up} chunks of this lineage would be given up; nothing was changed");
    }
    format!(
        "joined lineage {}; {given_up} chunks were given up",
        value["lineage"].as_str().unwrap_or_default()
    )
}
