//! What the agent's supervisor at the desk tells while a job is done there, as a trace ([docs/trace.md](../../../../docs/trace.md)): what
//! profiles are tried with. It ends where the agent moves.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::rig::{AGENT, DESK, SERVER, World};

/// Events with the time of each.
type Heard = Vec<(Duration, Value)>;

/// Hears a supervisor.
#[derive(Debug)]
pub(super) struct Listener {
    began: Instant,
    stream: UnixStream,
    heard: JoinHandle<Heard>,
}

impl Listener {
    /// Begins to hear the one at the desk.
    pub(super) fn begin(world: &World) -> Result<Listener> {
        let socket = world.folder.join(DESK).join("agents").join(AGENT).join("control.sock");
        let mut stream = UnixStream::connect(&socket)
            .with_context(|| format!("nobody listens at {}", socket.display()))?;
        stream.write_all(b"{\"do\":\"sense\",\"every_ms\":1000}\n")?;
        let (lines, began) = (BufReader::new(stream.try_clone()?).lines(), Instant::now());
        let heard = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for line in lines.map_while(Result::ok) {
                let at = began.elapsed();
                let told: Value = serde_json::from_str(&line).unwrap_or_default();
                let events = told["progress"]["events"].as_array().into_iter().flatten();
                heard.extend(events.map(|event| (at, event.clone())));
            }
            heard
        });
        Ok(Listener { began, stream, heard })
    }

    /// Ends, and writes all that was heard; the job began at that time, and is a crunch.
    pub(super) fn write(self, file: &Path, made: &str, job: Instant) -> Result<()> {
        self.stream.shutdown(Shutdown::Both).ok();
        let heard = self.heard.join().map_err(|_| anyhow!("what was heard is lost"))?;
        std::fs::write(file, text(heard, made, job.saturating_duration_since(self.began)))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("   recorded: {}", file.display());
        Ok(())
    }
}

/// Sites are named by their roles, as in a profile.
fn text(heard: Heard, made: &str, job: Duration) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let phases = json!([{ "t": 0, "state": "" }, { "t": micros(job), "state": "crunch" }]);
    let header =
        json!({ "trace": "snowbird", "version": 1, "made": made, "place": "desk", "phases": phases });
    let mut text = format!("{header}\n");
    for (at, mut event) in heard {
        event["t"] = micros(at).into();
        if event["e"] == "net" {
            let role = if event["anchor"] == SERVER { "compute" } else { "home" };
            event["anchor"] = role.into();
        }
        text.push_str(&format!("{event}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_says_when_the_job_began_and_names_sites_by_their_roles() {
        let net = json!({ "e": "net", "anchor": SERVER, "in": 5, "out": 6, "waited": 7 });
        let text = text(vec![(Duration::from_secs(1), net)], "by a test", Duration::from_millis(12));
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["phases"][1], json!({ "t": 12_000, "state": "crunch" }));
        let net = json!({ "t": 1_000_000, "e": "net", "anchor": "compute", "in": 5, "out": 6, "waited": 7 });
        assert_eq!(lines[1], net);
    }
}
