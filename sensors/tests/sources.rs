//! Sources against real threads and real programs.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sensors::Event;
use sensors::sources::{Command, CommandError, Host, Vcpus};

/// Killed whatever happens.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn run(program: &str) -> Process {
    let child = std::process::Command::new("sh").args(["-c", program]).stdin(Stdio::piped()).spawn().unwrap();
    Process(child)
}

/// Asks until there is an answer or 20 s have passed.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Demand, not what it gets: other tests may have the CPUs.
#[test]
fn a_thread_that_counts_wants_a_whole_cpu_and_one_that_waits_wants_none() {
    let (busy, waiting) = (run("while :; do :; done"), run("read x"));
    let mut shares = [&busy, &waiting].map(|process| {
        let pid = process.0.id();
        Vcpus::new(pid, &[pid]).unwrap()
    });
    let share = |vcpus: &mut Vcpus| match vcpus.sample().unwrap() {
        Event::Cpu { wall, busy } => busy[0].as_secs_f64() / wall.as_secs_f64(),
        other => panic!("{other:?}"),
    };
    eventually("demand of 0.9", || {
        std::thread::sleep(Duration::from_millis(300));
        (share(&mut shares[0]) > 0.9).then_some(())
    });
    assert!(share(&mut shares[1]) < 0.5);
    drop(busy);
    let gone = shares[0].sample().unwrap_err().to_string();
    assert!(gone.starts_with("cannot read /proc/"), "{gone}");
}

#[test]
fn the_hosts_share_is_a_share() {
    let mut host = Host::new().unwrap();
    let share = eventually("a tick of the host", || host.sample().unwrap());
    assert!(matches!(share, Event::Host(share) if (0.0..=1.0).contains(&share)));
}

fn line(value: u32) -> String {
    format!("{{\"e\":\"external\",\"name\":\"gpu\",\"value\":{value}}}")
}

fn start(script: &str) -> Command {
    let quoted = script.replace('\'', "'\\''");
    Command::start(&format!("sh -c '{quoted}'"), ["gpu".to_owned()]).unwrap()
}

#[test]
fn a_command_says_its_readings_and_what_else_it_says_is_refused_with_its_line() {
    let script = format!(
        "echo '{}'; echo '{{\"t\":5,\"e\":\"wheel\"}}'; echo '{}'; echo '{}'; echo nonsense",
        line(1),
        line(2).replace("gpu", "cpu"),
        line(3)
    );
    let mut command = start(&script);
    let mut said = Vec::new();
    eventually("the command's end", || match command.take() {
        Ok(None) => None,
        Err(CommandError::Ended { .. }) => Some(()),
        Ok(Some(Event::External { value, .. })) => {
            said.push(value.to_string());
            None
        }
        Ok(Some(other)) => panic!("{other:?}"),
        Err(error) => {
            said.push(error.to_string());
            None
        }
    });
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!((said[0].as_str(), said[3].as_str()), ("1", "3"));
    assert!(
        said[1].contains("line 2 of \"sh\": is no event: an external sensor may only say \"external\""),
        "{said:?}"
    );
    assert!(said[2].contains("\"cpu\" is none of its sensors (gpu)"), "{said:?}");
    assert!(said[4].contains("line 5"), "{said:?}");
}

#[test]
fn a_flood_is_bounded_and_counted_and_a_line_without_end_ends_it() {
    let flood = start(&format!("while :; do echo '{}'; done", line(1)));
    eventually("dropped readings", || (flood.dropped() > 0).then_some(()));
    let mut endless = start("while :; do printf 1234567890; done");
    let error = eventually("a refusal", || endless.take().err());
    assert!(error.to_string().contains("longer than 16384 bytes"), "{error}");
    eventually("the end", || matches!(endless.take(), Err(CommandError::Ended { .. })).then_some(()));
}

#[test]
fn a_dropped_command_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let command =
        start(&format!("sleep 1000 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", file.display()));
    let pid: u32 = eventually("the sleeper", || std::fs::read_to_string(&file).ok()?.trim().parse().ok());
    drop(command);
    eventually("its death", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Gone, or waiting for init to notice.
        (status.is_empty() || status.contains(") Z ")).then_some(())
    });
}

#[test]
fn what_is_no_command_is_refused() {
    for (command, part) in [("", "empty"), ("'", "no command"), ("/nowhere/at/all", "cannot start")] {
        let error = Command::start(command, []).unwrap_err();
        assert!(error.to_string().contains(part), "{command}: {error}");
    }
}
