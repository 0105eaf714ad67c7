//! What a replay was like to the user: frames per second and response of its inputs, as tables and pictures.
//!
//! A report is a folder: `inputs.csv` (every input), `buttons.csv` (every comparison), `summary.json`, and of
//! each [`Measure`] its distribution as `MEASURE.csv` and `MEASURE.svg`. [`draw`] puts several into one picture.
//! The figures are those of crate `sensors`; nothing here counts frames.

mod cdf;
mod draw;
mod files;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sensors::Answer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use cdf::Cdf;
pub use draw::draw;
pub use files::{read, write};

use super::replay::Replayed;

/// Below it an interaction is not crisp (Snowbird paper, section 2.2).
pub const CRISP_FPS: f64 = 20.0;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What reading or writing gave.
        source: io::Error,
    },
    /// A table that is none.
    #[error("{}, line {line}: {fault}", path.display())]
    Table {
        /// Which.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// The picture.
    #[error("the picture cannot be drawn: {0}")]
    Draw(String),
}

/// What is distributed over inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Frames per second.
    Fps,
    /// Frames per second, the paper's way.
    FpsPaper,
    /// From an input to its first update.
    Response,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fps, Self::FpsPaper, Self::Response];

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fps => "fps",
            Self::FpsPaper => "fps-paper",
            Self::Response => "response",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Fps => "frames per second of an input",
            Self::FpsPaper => "frames per second of an input, as in the paper",
            Self::Response => "response to an input, ms",
        }
    }

    /// Its value of an input, if it has one.
    #[must_use]
    pub fn of(self, answer: &Answer) -> Option<f64> {
        match self {
            Self::Fps => answer.fps,
            Self::FpsPaper => answer.fps_paper,
            Self::Response => answer.response.map(|response| response.as_secs_f64() * 1e3),
        }
    }
}

/// A replay in a few figures. `None`: no input had a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Inputs, motion between those that count included.
    pub inputs: usize,
    /// Those that count (motion once in 100 ms).
    pub counted: usize,
    /// Those with a response.
    pub answered: usize,
    /// Those with frames enough for a rate.
    pub with_fps: usize,
    /// Median of their frames per second.
    pub fps_median: Option<f64>,
    /// Share of them that is crisp: at least 20 FPS.
    pub fps_crisp_share: Option<f64>,
    /// Median of frames per second, the paper's way.
    pub fps_paper_median: Option<f64>,
    /// Median response, in milliseconds.
    pub response_median_ms: Option<f64>,
    /// What 95 % of responses are within, in milliseconds.
    pub response_p95_ms: Option<f64>,
    /// Updates that came, those that belong to no input left out.
    pub updates: u64,
    /// Attempts it took.
    pub attempts: u32,
    /// Presses and releases of buttons, which were compared.
    pub buttons: usize,
    /// How long they waited for their screen together, in milliseconds.
    pub waited_ms: f64,
    /// Most pixels that mismatched where the screen was taken for the same.
    pub mismatches_most: u32,
    /// How long the replay took, in seconds.
    pub seconds: f64,
}

impl Summary {
    /// The figures of a replay.
    #[must_use]
    pub fn of(replayed: &Replayed) -> Self {
        let Replayed { attempts, answers, checks, took } = replayed;
        let [fps, fps_paper, response] = Measure::ALL.map(|measure| Cdf::of(measure, answers));
        let waited: Duration = checks.iter().map(|check| check.waited).sum();
        Self {
            inputs: answers.len(),
            counted: answers.iter().filter(|answer| answer.counts).count(),
            answered: response.len(),
            with_fps: fps.len(),
            fps_median: fps.quantile(0.5),
            fps_crisp_share: fps.share_from(CRISP_FPS),
            fps_paper_median: fps_paper.quantile(0.5),
            response_median_ms: response.quantile(0.5),
            response_p95_ms: response.quantile(0.95),
            updates: answers.iter().map(|answer| u64::from(answer.updates)).sum(),
            attempts: *attempts,
            buttons: checks.len(),
            waited_ms: waited.as_secs_f64() * 1e3,
            mismatches_most: checks.iter().map(|check| check.last).max().unwrap_or_default(),
            seconds: took.as_secs_f64(),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "none".to_owned(), |value| format!("{value:.1}{unit}"))
        };
        writeln!(f, "inputs    {} ({} count, {} answered)", self.inputs, self.counted, self.answered)?;
        let (median, crisp) = (number(self.fps_median, ""), self.fps_crisp_share.map(|share| share * 100.0));
        let paper = number(self.fps_paper_median, "");
        let crisp = number(crisp, " %");
        writeln!(f, "fps       median {median} ({paper} the paper's way), at least {CRISP_FPS}: {crisp}")?;
        let (median, p95) = (number(self.response_median_ms, " ms"), number(self.response_p95_ms, " ms"));
        writeln!(f, "response  median {median}, 95 % within {p95}")?;
        writeln!(
            f,
            "buttons   {}, waited {:.0} ms, at most {} pixels differed",
            self.buttons, self.waited_ms, self.mismatches_most
        )?;
        write!(f, "took      {:.1} s, attempt {}", self.seconds, self.attempts)
    }
}
