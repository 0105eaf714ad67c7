//! Runs the job's command as PID 1 must: orphans are reaped while it runs, and killed when it has ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use guest_init::frame::{Frame, MAX_PAYLOAD};
use guest_init::job::Job;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use crate::about;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the command to its end; its exit code, or 128 + the signal that ended it.
pub(crate) fn run(job: &Job, port: &Arc<Mutex<File>>) -> io::Result<i32> {
    if let Err(error) = loopback() {
        eprintln!("init: cannot bring lo up: {error}");
    }
    let mut command = command(job)?;
    let mut child = command
        .spawn()
        .map_err(|error| about("start", Path::new(job.argv.first().map_or("", String::as_str)), error))?;
    let mut pumps = Vec::new();
    if let Some(out) = child.stdout.take() {
        pumps.push(pump(out, Frame::Stdout, Arc::clone(port))?);
    }
    if let Some(err) = child.stderr.take() {
        pumps.push(pump(err, Frame::Stderr, Arc::clone(port))?);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the command has no process id"))?;
    let status = reap_until(pid)?;
    end_all();
    drain(&pumps);
    Ok(status)
}

fn command(job: &Job) -> io::Result<Command> {
    let (program, arguments) =
        job.argv.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = if job.interactive {
        // A session of its own with the console as its terminal: job control and Ctrl-C work.
        let console = File::options().read(true).write(true).open("/dev/hvc0")?;
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--wait").arg("--").arg(program);
        command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(console);
        command
    } else {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    command.args(arguments).current_dir(&job.cwd).env_clear();
    for (name, value) in [("PATH", PATH), ("HOME", "/root"), ("USER", "root"), ("LANG", "C.UTF-8")] {
        command.env(name, value);
    }
    command.envs(job.env.iter().filter_map(|entry| entry.split_once('=')));
    Ok(command)
}

/// Sends what comes from the command as frames, as it comes.
fn pump(
    mut from: impl Read + Send + 'static,
    frame: fn(Vec<u8>) -> Frame,
    port: Arc<Mutex<File>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().spawn(move || {
        let mut buffer = vec![0u8; MAX_PAYLOAD];
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            let Ok(mut port) = port.lock() else { return };
            if frame(bytes).write(&mut *port).is_err() {
                return;
            }
        }
    })
}

/// Reaps every child and every orphan until the command itself has ended.
fn reap_until(command: Pid) -> io::Result<i32> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => return Ok(code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255)
}

/// Kills what the command left behind, so that its pipes end and `/scratch` can be unmounted. What
/// cannot be killed (waits for a dead device) is left to the power switch.
fn end_all() {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let number = entry.file_name().to_string_lossy().parse::<i32>().ok();
        let Some(pid) = number.filter(|number| *number > 1).and_then(Pid::from_raw) else { continue };
        let _ = kill_process(pid, Signal::KILL);
    }
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Waits until everything written has been sent. A process that cannot be killed may hold a pipe open:
/// nothing more can come from it, so the wait has an end.
fn drain(pumps: &[JoinHandle<()>]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while pumps.iter().any(|pump| !pump.is_finished()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Brings the loopback interface up.
fn loopback() -> io::Result<()> {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).env("PATH", PATH).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip: {status}"))) }
}
