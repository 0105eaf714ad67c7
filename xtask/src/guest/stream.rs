//! Starts QEMU, passes on what the guest's command says, and finds out how it ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use guest_init::frame::{Frame, MAX_PAYLOAD};

/// The file of frames of an interactive run, in the run's folder.
pub(super) const FRAMES: &str = "frames";

/// With these words QEMU says that the processor could not go on and the guest stands for ever.
const STOPPED: &str = "KVM internal error";

/// The most that is kept of what QEMU says, in bytes: some lines, or all registers.
const SAID_MAX: usize = 16 << 10;

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// The command ended with this code.
    Exit(i32),
    /// Init could not get as far as the command.
    Broken(String),
    /// QEMU stopped it and said so.
    Stopped,
    /// The guest ended without saying how the command did.
    Died,
    /// The run was ended because it took too long.
    TimeLimit,
}

/// Runs QEMU with frames on its standard output, for at most `limit`; and what it said itself.
///
/// `shown`: the command's words, and QEMU's, go to this process's outputs as they come.
pub(super) fn run(
    mut command: Command,
    limit: Duration,
    log: Option<&Path>,
    shown: bool,
) -> Result<(End, String)> {
    let log = log.map(create).transpose()?;
    let deadline = Instant::now() + limit;
    // An input that ends would read to QEMU as a port that was closed, and the guest's writes would wait
    // for ever: it gets one that stays open and says nothing.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut qemu = Qemu(command.spawn().context("cannot start QEMU")?);
    let frames = qemu.0.stdout.take().context("QEMU has no output")?;
    let words = qemu.0.stderr.take().context("QEMU has no output for errors")?;
    let (sender, receiver) = mpsc::channel();
    let stopped = sender.clone();
    let reader = std::thread::spawn(move || {
        // Nobody listens when the time limit has passed.
        drop(sender.send(pass_on(frames, log, shown)));
    });
    let listener = std::thread::spawn(move || listen(words, shown, &stopped));
    let end = match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(end) => end?,
        Err(RecvTimeoutError::Timeout) => End::TimeLimit,
        Err(RecvTimeoutError::Disconnected) => End::Died,
    };
    drop(qemu);
    drop(reader.join());
    Ok((end, listener.join().unwrap_or_default()))
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

/// Reads what QEMU itself says, until it has ended.
fn listen(words: ChildStderr, shown: bool, stopped: &Sender<Result<End>>) -> String {
    let mut said = String::new();
    for line in BufReader::new(words).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if shown {
            eprintln!("{line}");
        }
        if said.len() + line.len() < SAID_MAX {
            said.extend([&*line, "\n"]);
        }
        if line.starts_with(STOPPED) {
            // As above.
            drop(stopped.send(Ok(End::Stopped)));
        }
    }
    said
}

fn pass_on(frames: ChildStdout, mut log: Option<File>, shown: bool) -> Result<End> {
    let mut frames = BufReader::with_capacity(2 * MAX_PAYLOAD, frames);
    loop {
        let frame = Frame::read(&mut frames);
        if let (Ok(Some(Frame::Stdout(bytes) | Frame::Stderr(bytes))), Some(log)) = (&frame, &mut log) {
            log.write_all(bytes).context("cannot write the log of the guest's command")?;
        }
        match frame {
            Ok(Some(Frame::Stdout(_) | Frame::Stderr(_))) if !shown => {}
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
#[derive(Debug)]
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_guest_that_qemu_has_stopped_is_not_waited_for() {
        let began = Instant::now();
        let script = "echo 'KVM internal error. Suberror: 1' >&2; echo registers >&2; exec sleep 100";
        let (end, _said) = run(shell(script), LONG, None, false).unwrap();
        assert!(matches!(end, End::Stopped), "{end:?}");
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn what_qemu_says_when_it_does_not_start_is_kept() {
        let (end, said) = run(shell("echo no such machine >&2; exit 1"), LONG, None, false).unwrap();
        assert!(matches!(end, End::Died), "{end:?}");
        assert_eq!(said, "no such machine\n");
    }

    #[test]
    fn a_guest_that_says_nothing_is_ended_in_time() {
        let (end, _said) = run(shell("exec sleep 100"), Duration::from_millis(100), None, false).unwrap();
        assert!(matches!(end, End::TimeLimit), "{end:?}");
    }
}
