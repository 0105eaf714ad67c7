//! Replays a session against a server, as its only hands, and notes what each input got.
//!
//! An attempt fails when the screen does not come to look as it did, or the connection ends. Then everything
//! that is held is let go, the connection is closed, a command may set the program under test back, and the
//! session begins anew, so many times and no more (Snowbird paper, section 3.2).

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sensors::Answer;
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use vmgl_rfb::Framebuffer;

use super::matcher::Thresholds;
use super::schedule::{Check, Schedule, Step};
use super::session::Session;
use super::{attached, status};
use crate::address::Address;
use crate::display::{Debt, Display};
use crate::hub::{Hub, Ways};
use crate::link::Means;
use crate::rehome::Phase;
use crate::tap::Tap;
use crate::viewer::Said;

/// How long the server may take to show its picture, and a command to set the program back.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long what is held may take to be let go.
const LET_GO: Duration = Duration::from_secs(1);
/// The only viewer.
const HANDS: u64 = 1;

/// How to replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub to: Address,
    /// Its password, if it wants one.
    pub password: Option<Vec<u8>>,
    /// Ask as a plain viewer does, not ahead.
    pub pull: bool,
    /// When pictures differ.
    pub thresholds: Thresholds,
    /// How long a button waits for its screen.
    pub patience: Duration,
    /// How many attempts may follow the first.
    pub restarts: u32,
    /// A shell's command that sets the program under test back before another attempt.
    pub restart: Option<String>,
    /// Where a trace of the last attempt goes.
    pub trace: Option<PathBuf>,
}

/// Why a replay failed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The server is not there.
    #[error("the server shows nothing: {0}")]
    NoServer(String),
    /// Another screen.
    #[error("the screen has {is:?} pixels, the recorded one had {was:?}")]
    Size {
        /// The server's.
        is: (u16, u16),
        /// The session's.
        was: (u16, u16),
    },
    /// The screen did not come to look as it did.
    #[error(
        "attempt {attempt}: before input {} the screen still differed after {:.1} s: {} pixels, at first {}",
        check.input, check.waited.as_secs_f64(), check.last, check.first
    )]
    Differs {
        /// Which attempt, from 1.
        attempt: u32,
        /// What was compared last.
        check: Check,
    },
    /// The connection ended.
    #[error("attempt {attempt}: the connection ended: {why}")]
    Ended {
        /// Which attempt, from 1.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// The command that sets the program back.
    #[error("the command that sets the program back did not do it: {0}")]
    Command(ExitStatus),
    /// It cannot be run, or takes too long.
    #[error("the command that sets the program back cannot be run")]
    NoCommand(#[source] io::Error),
    /// The trace.
    #[error("the trace cannot be written")]
    Trace(#[source] io::Error),
}

/// What came of a replay.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Attempts it took.
    pub attempts: u32,
    /// What every input of the last attempt got.
    pub answers: Vec<Answer>,
    /// Its comparisons.
    pub checks: Vec<Check>,
    /// How long it took, from the first picture on.
    pub took: Duration,
}

/// Replays a session.
///
/// # Errors
/// When no attempt comes to the session's end.
pub async fn replay(session: &Session, options: &Options) -> Result<Replayed, ReplayError> {
    let mut attempt = 1;
    loop {
        let failed = match one(session, options, attempt).await {
            Err(failed @ (ReplayError::Differs { .. } | ReplayError::Ended { .. })) => failed,
            other => return other,
        };
        if attempt > options.restarts {
            return Err(failed);
        }
        tracing::warn!("{failed}; again");
        if let Some(command) = &options.restart {
            set_back(command).await?;
        }
        attempt += 1;
    }
}

async fn set_back(command: &str) -> Result<(), ReplayError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let ended = timeout(PATIENCE, shell.status()).await.map_err(late).flatten();
    let status = ended.map_err(ReplayError::NoCommand)?;
    if status.success() { Ok(()) } else { Err(ReplayError::Command(status)) }
}

/// One attempt.
async fn one(session: &Session, options: &Options, attempt: u32) -> Result<Replayed, ReplayError> {
    let made = "by vmgl-proxy replay";
    let tap = Tap::remembering(options.trace.as_deref(), made).map_err(ReplayError::Trace)?;
    let black = Framebuffer::new(session.width, session.height);
    let was = (session.width, session.height);
    let display = Display::new(black.map_err(|_| ReplayError::Size { is: (0, 0), was })?);
    let means = Means {
        display: display.clone(),
        tap: tap.clone(),
        password: options.password.clone(),
        pull: options.pull,
    };
    let ways = Hub::start(options.to.clone(), means);
    attached(&ways, PATIENCE).await.map_err(ReplayError::NoServer)?;
    let (id, wake) = display.lock().add("replay".to_owned());
    let is = {
        let shown = display.lock();
        (shown.picture.width(), shown.picture.height())
    };
    if is != was {
        return Err(ReplayError::Size { is, was });
    }
    let began = Instant::now();
    let mut schedule = Schedule::new(session, options.thresholds, options.patience);
    let ended = play(&mut schedule, began, &display, (id, &wake), &ways).await;
    let took = began.elapsed();
    let answers = tap.answers();
    let broke = status(&ways).await.filter(|status| status.rehomes > 0 || status.phase != Phase::Attached);
    let_go(&ways).await;
    // What a connection that broke does to the screen is no difference of the session's.
    match (broke, ended) {
        (Some(status), _) => {
            Err(ReplayError::Ended { attempt, why: status.last_end.unwrap_or_else(|| "unknown".to_owned()) })
        }
        (None, Err(check)) => Err(ReplayError::Differs { attempt, check }),
        (None, Ok(())) => {
            Ok(Replayed { attempts: attempt, answers, checks: schedule.checks().to_vec(), took })
        }
    }
}

/// Until the end, or a comparison that fails.
async fn play(
    schedule: &mut Schedule<'_>,
    began: Instant,
    display: &Display,
    (id, wake): (u64, &Arc<Notify>),
    ways: &Ways,
) -> Result<(), Check> {
    loop {
        let step = {
            let mut shown = display.lock();
            // It draws nothing, so it is owed nothing.
            if let Some(me) = shown.viewers.get_mut(&id) {
                me.debt = Debt::default();
            }
            schedule.step(began.elapsed(), &shown.picture)
        };
        match step {
            Step::Until(at) => sleep_until(began + at).await,
            Step::Screen(at) => tokio::select! {
                () = sleep_until(began + at) => {}
                () = wake.notified() => {}
            },
            Step::Say(input) => {
                let _hub_ends_with_us = ways.said.send(Said::Message(HANDS, input.act.message())).await;
            }
            Step::Ended => return Ok(()),
            Step::Differs(check) => return Err(check),
        }
    }
}

/// Lets go of what is held, and waits until the server was told.
async fn let_go(ways: &Ways) {
    let _hub_ends_with_us = ways.said.send(Said::Gone(HANDS)).await;
    let told = async {
        while status(ways).await.is_some_and(|status| status.waiting > 0) {
            tokio::time::sleep(super::LOOK).await;
        }
    };
    let _late = timeout(LET_GO, told).await;
}
