//! A replay as a table for people.

use std::fmt::Write;

use super::Replay;
use crate::policy::Action;
use crate::words::spoken;

/// One line a decision: when, what, states, sites; then the sentences.
#[must_use]
pub fn table(replay: &Replay) -> String {
    let mut text = String::new();
    writeln!(text, "{:>10}  {:<8}  {:<28}  where", "when", "what", "state").ok();
    for decision in &replay.decisions {
        let (what, where_to) = match &decision.action {
            Action::Move { to } => ("moved", format!("{} → {to}", decision.site)),
            Action::Advise { to } => ("advised", format!("{} → {to}", decision.site)),
            Action::Decline { .. } => ("stayed", decision.site.clone()),
        };
        let states = format!("{} → {}", decision.from_state, decision.to_state);
        writeln!(text, "{:>8.1} s  {what:<8}  {states:<28}  {where_to}", decision.at.as_secs_f64()).ok();
    }
    let moves = replay.moves().count();
    writeln!(text, "{} in {}", counted(moves, "move"), spoken(replay.length)).ok();
    for decision in &replay.decisions {
        writeln!(text, "\n{:.1} s: {}", decision.at.as_secs_f64(), decision.sentence()).ok();
    }
    text
}

fn counted(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    }
}
