//! What is printed, for people and for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::Cli;
use super::units::show_bytes;
use crate::peer::error::{Refusal, chain};
use crate::peer::message::Progress;

/// A line of progress at most this often where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// A command that failed: a sentence, a hint, an exit code.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    hint: Option<String>,
    code: Option<crate::peer::error::Code>,
    usage: bool,
}

impl Failure {
    /// A failure of the command.
    pub(super) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: None, usage: false }
    }

    /// The command line itself is wrong (exit code 2).
    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure { usage: true, ..Failure::new(message) }
    }

    /// What went wrong, for a log.
    pub(super) fn text(&self) -> &str {
        &self.message
    }

    /// With what to do.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let any: &(dyn std::error::Error + 'static) = &error;
        match any.downcast_ref::<Refusal>() {
            Some(refusal) => Failure {
                message: refusal.message.clone(),
                hint: refusal.hint.clone(),
                code: Some(refusal.code),
                usage: false,
            },
            None => {
                let bad_name = matches!(any.downcast_ref(), Some(wandisk_store::HomeError::BadName { .. }));
                Failure { usage: bad_name, ..Failure::new(chain(any)) }
            }
        }
    }
}

/// Prints a failure and gives the exit code.
pub(super) fn failed(cli: &Cli, failure: &Failure) -> ExitCode {
    if cli.json {
        let error = json!({"message": failure.message, "hint": failure.hint, "code": failure.code});
        print_line(&json!({ "error": error }).to_string());
    } else {
        let mut err = std::io::stderr().lock();
        writeln!(err, "wandisk: {}.", failure.message.trim_end_matches('.')).ok();
        if let Some(hint) = &failure.hint {
            writeln!(err, "Hint: {hint}.").ok();
        }
    }
    ExitCode::from(if failure.usage { 2 } else { 1 })
}

/// Prints a line to standard output; a reader that went away is not our business.
pub(super) fn print_line(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// Prints a result: JSON for programs, `text` for people.
pub(super) fn result(cli: &Cli, value: &Value, text: impl FnOnce() -> String) {
    if cli.json {
        print_line(&value.to_string());
    } else {
        let text = text();
        if !text.is_empty() {
            print_line(&text);
        }
    }
}

/// Shows progress of long work: a bar on a terminal, lines elsewhere, JSON lines on standard error for programs.
#[derive(Debug)]
pub(super) struct Meter {
    json: bool,
    bar: Option<ProgressBar>,
    last: Option<Instant>,
    phase: String,
}

impl Meter {
    /// A meter for one command.
    #[must_use]
    pub(super) fn new(cli: &Cli) -> Meter {
        let terminal = !cli.json && std::io::stderr().is_terminal();
        Meter { json: cli.json, bar: terminal.then(bar), last: None, phase: String::new() }
    }

    /// Takes news.
    pub(super) fn show(&mut self, news: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}, {}", news.phase, show_bytes(news.bytes)));
            if news.total > 0 {
                bar.set_length(news.total);
            }
            bar.set_position(news.done);
            if bar.is_hidden() {
                // Not before: each of these may draw.
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.tick();
            }
            return;
        }
        let new_phase = self.phase != news.phase;
        if !new_phase && self.last.is_some_and(|last| last.elapsed() < LINE_EVERY) {
            return;
        }
        self.phase.clone_from(&news.phase);
        self.last = Some(Instant::now());
        let line = if self.json {
            json!({ "progress": news }).to_string()
        } else {
            format!("{}: {} of {}, {}", news.phase, news.done, news.total, show_bytes(news.bytes))
        };
        writeln!(std::io::stderr().lock(), "{line}").ok();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {per_sec}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
