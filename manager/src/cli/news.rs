//! News of long work for whoever waits for it: a line that is renewed on a terminal, lines elsewhere, JSON lines for programs; and how far a
//! move is, in words, for `status`, too.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::words::{heard, spoken, spoken_bytes};

/// Where lines stay, how far it is is said so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Takes news, on standard error.
pub(super) struct News {
    json: bool,
    /// The line that is renewed, once there is one.
    line: Option<ProgressBar>,
    renews: bool,
    last: Option<(String, Instant)>,
}

impl News {
    pub(super) fn new(json: bool) -> News {
        News { json, line: None, renews: !json && std::io::stderr().is_terminal(), last: None }
    }

    pub(super) fn show(&mut self, news: &Value) {
        if self.json {
            return say(&json!({ "progress": news }).to_string());
        }
        let (phase, far) = (phase_of(news), how_far(news));
        let Some(far) = far else {
            let warning = if news["warning"] == true { "warning: " } else { "" };
            let line = format!("{warning}{phase}");
            return self.line.as_ref().map_or_else(|| say(&line), |renewed| renewed.suspend(|| say(&line)));
        };
        let line = format!("{phase}: {far}");
        if self.renews {
            return self.line.get_or_insert_with(renewed).set_message(line);
        }
        let again = |(before, at): &(String, Instant)| *before == phase && at.elapsed() < LINE_EVERY;
        if !self.last.as_ref().is_some_and(again) {
            say(&line);
            self.last = Some((phase, Instant::now()));
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

fn renewed() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}

fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// What is done, in words; QEMU has its own for it.
fn phase_of(news: &Value) -> String {
    match news["phase"].as_str().unwrap_or_default() {
        "setup" | "active" => "memory is copied".to_owned(),
        "pre-switchover" | "device" => "the last of its memory goes".to_owned(),
        "completed" => "its memory has gone".to_owned(),
        // (It may be another site's.)
        other => heard(other),
    }
}

/// How far it is, in words, if that is known.
pub(super) fn how_far(news: &Value) -> Option<String> {
    let mut words = vec![format!("{} %", news["percent"].as_u64()?)];
    match (news["remaining_bytes"].as_u64(), news["bytes"].as_u64()) {
        (Some(left), _) => words.push(format!("{} left", spoken_bytes(left))),
        (None, Some(done)) => words.push(spoken_bytes(done)),
        (None, None) => {}
    }
    if let Some(rate) = news["rate"].as_u64() {
        words.push(format!("{}/s", spoken_bytes(rate)));
    }
    if let Some(dirty) = news["dirty_bytes_per_s"].as_u64().filter(|dirty| *dirty > 0) {
        words.push(format!("{}/s written meanwhile", spoken_bytes(dirty)));
    }
    if let Some(eta) = news["eta"].as_u64().filter(|eta| *eta > 0) {
        words.push(format!("about {} to go", spoken(Duration::from_secs(eta))));
    }
    Some(words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_move_is_is_said_with_its_rate_what_is_left_and_when_it_ends() {
        let mut news = json!({ "phase": "active", "percent": 43, "bytes": 120 << 20, "remaining_bytes": 1 << 30,
            "rate": 20 << 20, "dirty_bytes_per_s": 3 << 20, "eta": 75 });
        assert_eq!(phase_of(&news), "memory is copied");
        assert_eq!(
            how_far(&news).unwrap(),
            "43 %, 1.0 GiB left, 20.0 MiB/s, 3.0 MiB/s written meanwhile, about 75 s to go"
        );
        for name in ["rate", "eta", "dirty_bytes_per_s"] {
            news[name] = Value::Null;
        }
        assert_eq!(how_far(&news).unwrap(), "43 %, 1.0 GiB left");
        let suspension = json!({ "phase": "its memory is written", "percent": 75, "bytes": 3 << 20 });
        assert_eq!(how_far(&suspension).unwrap(), "75 %, 3.0 MiB");
        assert_eq!(how_far(&json!({ "phase": "moving to b: the other site gets ready" })), None);
    }
}
