//! What an agent's processors want, and what passed its network, told to whoever asks: lines of sensor events for as long as the asker stays.
//!
//! Each asker has counters of its own, so that two never take each other's time. Nothing is kept here: windows and averages
//! are the asker's. The threads are QEMU's vCPU threads by its own word (`query-cpus-fast`), read where the kernel counts them
//! ([`sensors::sources`]); they are gone with that QEMU, and so is the telling. Bytes are the switch's, which is asked from the agent's
//! folder, where a supervisor is.
//!
//! Bounds: a line an interval of at least 100 ms, of at most 1024 processors; who does not read is hung up on by the server.

use std::path::Path;
use std::time::Duration;

use sensors::Event;
use sensors::sources::{Host, Vcpus};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::qemu::SOON;
use crate::control::{done, failed};
use crate::net::meter::Meter;
use crate::qmp::{Client, QmpError};

/// Shortest and longest time from one line to the next.
const EVERY: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Until QEMU is asked again for its threads.
const AGAIN: Duration = Duration::from_secs(1);

/// The vCPU threads of a QEMU at this site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Threads {
    pid: u32,
    tids: Vec<u32>,
}

impl Threads {
    /// Asks QEMU until it answers; `None` if it ends.
    pub(super) async fn ask(client: &Client, pid: u32) -> Option<Threads> {
        loop {
            match client.call("query-cpus-fast", Value::Null, SOON).await {
                Ok(answer) => return Threads::of(pid, &answer),
                Err(QmpError::Late { .. } | QmpError::Busy) => tokio::time::sleep(AGAIN).await,
                Err(_) => return None,
            }
        }
    }

    /// By QEMU's answer, in the order of processors.
    fn of(pid: u32, answer: &Value) -> Option<Threads> {
        let mut all: Vec<(u64, u32)> = Vec::new();
        for cpu in answer.as_array()? {
            let tid = u32::try_from(cpu["thread-id"].as_u64()?).ok()?;
            all.push((cpu["cpu-index"].as_u64()?, tid));
        }
        all.sort_unstable();
        let tids = all.into_iter().map(|(_, tid)| tid).collect();
        Some(Threads { pid, tids })
    }
}

/// Tells what the threads want, until they are gone or nobody hears. With each line, whether the agent is being moved.
pub(super) async fn tell(
    threads: Threads,
    every_ms: u64,
    moving: watch::Receiver<Option<String>>,
    reply: UnboundedSender<String>,
) {
    let every = Duration::from_millis(every_ms.clamp(*EVERY.start(), *EVERY.end()));
    let (Ok(mut vcpus), mut host) = (Vcpus::new(threads.pid, &threads.tids), Host::new().ok()) else {
        reply.send(failed("the agent's processors cannot be watched", Some("see `snowbird status`"))).ok();
        return;
    };
    // The first line says that somebody watches.
    let mut events: Vec<Event> = Vec::new();
    let mut meter = Meter::default();
    loop {
        let to = moving.borrow().clone();
        let line = json!({ "progress": { "moving": to, "events": events } });
        if reply.send(format!("{line}\n")).is_err() {
            return;
        }
        tokio::time::sleep(every).await;
        match vcpus.sample() {
            Ok(event) => events = vec![event],
            // That QEMU has ended here.
            Err(_) => break,
        }
        events.extend(meter.read(Path::new(".")).await);
        events.extend(host.as_mut().and_then(|host| host.sample().ok().flatten()));
    }
    reply.send(done(&Value::Null)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_threads() -> Threads {
        let pid = std::process::id();
        Threads { pid, tids: vec![pid] }
    }

    #[test]
    fn threads_are_in_the_order_of_processors() {
        let answer = json!([
            { "cpu-index": 1, "thread-id": 70, "target": "x86_64" },
            { "cpu-index": 0, "thread-id": 71, "qom-path": "/machine" },
        ]);
        assert_eq!(Threads::of(5, &answer), Some(Threads { pid: 5, tids: vec![71, 70] }));
        for odd in [json!({}), json!([{ "cpu-index": 0 }]), json!([{ "cpu-index": 0, "thread-id": -1 }])] {
            assert_eq!(Threads::of(5, &odd), None, "{odd}");
        }
    }

    #[tokio::test]
    async fn lines_come_until_nobody_hears_and_say_whether_it_moves() {
        let (moves, moving) = watch::channel(None);
        let (reply, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let telling = tokio::spawn(tell(own_threads(), 1, moving, reply));
        let first: Value = serde_json::from_str(&lines.recv().await.unwrap()).unwrap();
        assert_eq!(first["progress"], json!({ "moving": null, "events": [] }));
        moves.send_replace(Some("b".to_owned()));
        let second: Value = serde_json::from_str(&lines.recv().await.unwrap()).unwrap();
        assert_eq!(second["progress"]["moving"], "b");
        let event: Event = serde_json::from_value(second["progress"]["events"][0].clone()).unwrap();
        assert!(matches!(event, Event::Cpu { ref busy, .. } if busy.len() == 1), "{event:?}");
        drop(lines);
        telling.await.unwrap();
    }

    #[tokio::test]
    async fn threads_that_are_gone_are_told_as_that() {
        let (_moves, moving) = watch::channel(None);
        let (reply, mut lines) = tokio::sync::mpsc::unbounded_channel();
        tell(Threads { pid: std::process::id(), tids: vec![u32::MAX] }, 1, moving, reply).await;
        assert!(lines.recv().await.unwrap().contains("cannot be watched"));
    }
}
