//! Starts QEMU, passes on what the guest's command says, and finds out how it ended.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use guest_init::frame::{Frame, MAX_PAYLOAD};

/// The file of frames of an interactive run, in the run's folder.
pub(super) const FRAMES: &str = "frames";

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// The command ended with this code.
    Exit(i32),
    /// Init could not get as far as the command.
    Broken(String),
    /// The guest ended without saying how the command did.
    Died,
    /// The run was ended because it took too long.
    TimeLimit,
}

/// Runs QEMU with frames on its standard output, for at most `limit`.
pub(super) fn run(mut command: Command, limit: Duration, log: Option<&Path>) -> Result<End> {
    let log = log.map(create).transpose()?;
    let deadline = Instant::now() + limit;
    // An input that ends would read to QEMU as a port that was closed, and the guest's writes would wait
    // for ever: it gets one that stays open and says nothing.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut qemu = Qemu(command.spawn().context("cannot start QEMU")?);
    let frames = qemu.0.stdout.take().context("QEMU has no output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        // Nobody listens when the time limit has passed.
        drop(sender.send(pass_on(frames, log)));
    });
    let end = match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(end) => end?,
        Err(RecvTimeoutError::Timeout) => End::TimeLimit,
        Err(RecvTimeoutError::Disconnected) => End::Died,
    };
    drop(qemu);
    drop(reader.join());
    Ok(end)
}

/// Runs QEMU with this process's terminal; there is no time limit, the user is there.
pub(super) fn interactive(mut command: Command, frames: &Path) -> Result<End> {
    let mut qemu = Qemu(command.spawn().context("cannot start QEMU")?);
    qemu.0.wait()?;
    let bytes = std::fs::read(frames).with_context(|| format!("cannot read {}", frames.display()))?;
    Ok(match Frame::read(&mut bytes.as_slice())? {
        Some(Frame::Exit(code)) => End::Exit(code),
        Some(Frame::Broken(why)) => End::Broken(why),
        Some(Frame::Stdout(_) | Frame::Stderr(_)) | None => End::Died,
    })
}

fn pass_on(frames: ChildStdout, mut log: Option<File>) -> Result<End> {
    let mut frames = BufReader::with_capacity(2 * MAX_PAYLOAD, frames);
    loop {
        let frame = Frame::read(&mut frames);
        if let (Ok(Some(Frame::Stdout(bytes) | Frame::Stderr(bytes))), Some(log)) = (&frame, &mut log) {
            log.write_all(bytes).context("cannot write the log of the guest's command")?;
        }
        match frame {
            Ok(Some(Frame::Stdout(bytes))) => copy(&bytes, &mut std::io::stdout().lock()),
            Ok(Some(Frame::Stderr(bytes))) => copy(&bytes, &mut std::io::stderr().lock()),
            Ok(Some(Frame::Exit(code))) => return Ok(End::Exit(code)),
            Ok(Some(Frame::Broken(why))) => return Ok(End::Broken(why)),
            Ok(None) => return Ok(End::Died),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(End::Died),
            Err(error) => {
                // QEMU must not wait for a reader that has gone.
                drop(frames.read_to_end(&mut Vec::new()));
                return Err(error).context("what came from the guest cannot be read");
            }
        }
    }
}

fn create(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(log).with_context(|| format!("cannot create {}", log.display()))
}

/// A caller that does not listen (`| head`) does not end the run.
fn copy(bytes: &[u8], to: &mut impl Write) {
    drop(to.write_all(bytes).and_then(|()| to.flush()));
}

/// A QEMU that ends with its value.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
