//! Records a session: a viewer connects here and works with the server behind.
//!
//! The recording begins when the viewer comes and ends when it leaves. One viewer is served at a time: two
//! hands at once would be no session that one can repeat. What it does is written before it is passed on, with
//! what was on the screen before each button as the viewer was shown it.
//!
//! Fault model: what cannot be written ends the recording, which a reader then calls cut off.

use std::io::{self, Write};
use std::time::Instant;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;
use vmgl_rfb::Security;

use super::attached;
use super::matcher::Part;
use super::session::{Act, Snapshot, Writer};
use crate::address::{Address, Listener};
use crate::display::Display;
use crate::hub::{Hub, Ways};
use crate::link::Means;
use crate::seats::Seat;
use crate::viewer::{self, Said};

/// How long the server may take to show its picture at the beginning.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Side of a snapshot unless told otherwise.
pub const SIDE: u16 = 64;
/// Words of the viewer that wait.
const QUEUE: usize = 256;

/// Why there is no recording.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The server is not there.
    #[error("the server shows nothing: {0}")]
    NoServer(String),
    /// The viewers' door.
    #[error("viewers cannot connect")]
    Door(#[source] io::Error),
    /// The file.
    #[error("the session cannot be written")]
    Write(#[source] io::Error),
}

/// What was recorded.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Recording {
    /// Inputs.
    pub inputs: usize,
    /// Buttons among them, with a snapshot each.
    pub buttons: usize,
    /// How long it lasted, in seconds.
    pub seconds: f64,
}

/// A server that is there, ready to be worked with.
#[derive(Debug)]
pub struct Recorder {
    ways: Ways,
    display: Display,
    side: u16,
}

impl Recorder {
    /// Connects to the server and waits for its picture; snapshots will have this side.
    ///
    /// # Errors
    /// When it shows none in time.
    pub async fn connect(upstream: Address, means: Means, side: u16) -> Result<Self, RecordError> {
        let display = means.display.clone();
        let ways = Hub::start(upstream, means);
        attached(&ways, PATIENCE).await.map_err(RecordError::NoServer)?;
        Ok(Self { ways, display, side })
    }

    /// Records the session of the next viewer that gets in, until it leaves or `stop` is ready.
    ///
    /// # Errors
    /// When viewers cannot connect or the file cannot be written.
    pub async fn record(
        self,
        listener: &Listener,
        security: impl Fn() -> io::Result<Security>,
        output: impl Write,
        stop: impl Future<Output = ()>,
    ) -> Result<Recording, RecordError> {
        let (width, height) = {
            let shown = self.display.lock();
            (shown.picture.width(), shown.picture.height())
        };
        let mut writer = Writer::new(output, width, height).map_err(RecordError::Write)?;
        let (said, mut heard) = mpsc::channel(QUEUE);
        let (mut began, mut buttons) = (Instant::now(), 0);
        tokio::pin!(stop);
        let mut viewer = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                biased;
                said = heard.recv() => match said {
                    Some(Said::Message(id, message)) => {
                        if let Some(act) = Act::of(&message) {
                            buttons += usize::from(writer.is_button(act));
                            let snapshot = || self.snapshot(act);
                            writer.input(began.elapsed(), act, snapshot).map_err(RecordError::Write)?;
                        }
                        let _hub_ends_with_us = self.ways.said.send(Said::Message(id, message)).await;
                    }
                    Some(Said::Clipboard) => {
                        let _hub_ends_with_us = self.ways.said.send(Said::Clipboard).await;
                    }
                    Some(Said::Gone(id)) => {
                        let _hub_ends_with_us = self.ways.said.send(Said::Gone(id)).await;
                        break;
                    }
                    None => break,
                },
                came = listener.accept(), if viewer.is_empty() => {
                    let (stream, from) = came.map_err(RecordError::Door)?;
                    let security = security().map_err(RecordError::Door)?;
                    began = Instant::now();
                    let (seat, display) = (Seat::alone(), self.display.clone());
                    viewer.spawn(viewer::run(stream, from, seat, security, false, display, said.clone()));
                }
                // One that did not get in says nothing to the hub: the next may come.
                _refused = viewer.join_next(), if !viewer.is_empty() => {}
                () = &mut stop => break,
            }
        }
        let (inputs, length) = (writer.inputs(), began.elapsed());
        writer.finish(length).map_err(RecordError::Write)?;
        Ok(Recording { inputs, buttons, seconds: length.as_secs_f64() })
    }

    fn snapshot(&self, act: Act) -> Snapshot {
        let at = match act {
            Act::Pointer { x, y, .. } => (x, y),
            Act::Key { .. } => (0, 0),
        };
        let part = Part::around(&self.display.lock().picture, at, self.side);
        Snapshot::new(&part)
    }
}
