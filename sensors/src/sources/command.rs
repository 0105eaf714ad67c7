//! An external sensor: a command that prints lines of a trace, each `{"e":"external","name":…,"value":…}`.
//!
//! It may speak of its own readings only, never of inputs or of time: the time of a line is when it was read. Lines are
//! bounded, and no more than 1024 wait; what comes faster is dropped and counted. The command and what it started
//! are killed when this is dropped.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;

use crate::Event;
use crate::trace::{Fault, LINE_MAX, parse_line};

/// Most lines that wait to be taken.
const LINES_MAX: usize = 1024;

/// Why an external sensor cannot be had, or says no more.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The words of the command cannot be told apart.
    #[error("{command:?} is no command: {reason}")]
    Words {
        /// What was given.
        command: String,
        /// Why.
        reason: String,
    },
    /// It does not start.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It printed what it may not.
    #[error("line {line} of {program:?}: {fault}")]
    Line {
        /// The program.
        program: String,
        /// Line of its output, from 1.
        line: usize,
        /// What is wrong.
        fault: Fault,
    },
    /// It ended.
    #[error("{program:?} has ended")]
    Ended {
        /// The program.
        program: String,
    },
}

/// A running external sensor.
#[derive(Debug)]
pub struct Command {
    program: String,
    child: Child,
    lines: Receiver<Result<Event, CommandError>>,
    reader: Option<JoinHandle<()>>,
    dropped: Arc<AtomicU64>,
}

impl Command {
    /// Starts `command` (words as a shell would cut them, but no shell) whose lines may speak of `names`.
    ///
    /// # Errors
    /// When it is no command or does not start.
    pub fn start(command: &str, names: impl IntoIterator<Item = String>) -> Result<Command, CommandError> {
        let words = |reason: String| CommandError::Words { command: command.to_owned(), reason };
        let parts = shell_words::split(command).map_err(|e| words(e.to_string()))?;
        let (program, arguments) = parts.split_first().ok_or_else(|| words("it is empty".to_owned()))?;
        let start = |source| CommandError::Start { program: program.clone(), source };
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(start)?;
        let output = child.stdout.take().ok_or_else(|| start(std::io::Error::other("it has no output")))?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let names = names.into_iter().collect();
        let listener = Listener { program: program.clone(), names, sender, dropped: Arc::clone(&dropped) };
        let reader = std::thread::spawn(move || listener.listen(BufReader::new(output)));
        Ok(Command { program: program.clone(), child, lines, reader: Some(reader), dropped })
    }

    /// The next reading that has come; `None` when none has.
    ///
    /// # Errors
    /// When a line is wrong (those after it are still read), or the command has ended.
    pub fn take(&mut self) -> Result<Option<Event>, CommandError> {
        match self.lines.try_recv() {
            Ok(line) => line.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(CommandError::Ended { program: self.program.clone() }),
        }
    }

    /// Readings that were dropped because nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        // The group first: what the command started holds its output open.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
        // Not joined: a grandchild that left the group may hold the output open for as long as it likes.
        drop(self.reader.take());
    }
}

/// The thread that reads a command's lines.
struct Listener {
    program: String,
    names: BTreeSet<String>,
    sender: SyncSender<Result<Event, CommandError>>,
    dropped: Arc<AtomicU64>,
}

impl Listener {
    fn listen(&self, mut output: impl BufRead) {
        for line in 1.. {
            let mut bytes = Vec::new();
            let read = output.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut bytes);
            if !matches!(read, Ok(n) if n > 0) {
                return;
            }
            // The rest of a line that is too long would be taken for lines of its own: it ends here.
            let over = bytes.len() > LINE_MAX && !bytes.ends_with(b"\n");
            let event = if over { Err(Fault::Long) } else { self.judge(bytes.trim_ascii_end()) };
            let told =
                event.map_err(|fault| CommandError::Line { program: self.program.clone(), line, fault });
            match self.sender.try_send(told) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
            if over {
                return;
            }
        }
    }

    fn judge(&self, line: &[u8]) -> Result<Event, Fault> {
        match parse_line(line)?.1 {
            Event::External { name, value } if self.names.contains(&name) => {
                Ok(Event::External { name, value })
            }
            Event::External { name, .. } => {
                Err(Fault::Event(format!("{name:?} is none of its sensors ({})", self.known())))
            }
            _ => Err(Fault::Event("an external sensor may only say \"external\"".to_owned())),
        }
    }

    fn known(&self) -> String {
        self.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
