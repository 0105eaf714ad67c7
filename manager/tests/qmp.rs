//! QMP: whatever a line holds, and the real QEMU.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use manager::qmp::message::{Message, command, parse};
use manager::qmp::{Client, RunState};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

fn lines() -> Vec<Vec<u8>> {
    [
        r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}"#,
        r#"{"return": {"status": "running", "singlestep": false, "running": true}, "id": 3}"#,
        r#"{"id": 4, "error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "pre-switchover"}}"#,
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#,
    ]
    .iter()
    .map(|line| line.as_bytes().to_vec())
    .collect()
}

wandisk_fuzz::target!(a_line_of_qemus_is_read_or_refused, 20_000, lines(), |bytes: &[u8]| {
    if let Ok(Message::Event(event)) = parse(bytes) {
        assert_eq!(
            event.migration().is_some(),
            event.name == "MIGRATION" && event.data["status"].is_string()
        );
        assert!(bytes.len() >= event.name.len());
    }
});

#[test]
fn a_command_that_was_written_is_json_with_its_id() {
    let line = command(7, "migrate", &json!({ "uri": "unix:x\n" }));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((value["id"].as_u64(), value["arguments"]["uri"].as_str()), (Some(7), Some("unix:x\n")));
}

#[tokio::test]
async fn the_real_qemu_answers_tells_events_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("q");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35", "-accel", "tcg", "-nodefaults", "-display", "none", "-S"]);
    qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display())).stdin(Stdio::null());
    let mut qemu = qemu.spawn().unwrap();
    let end = Instant::now() + SOON;
    let (client, mut events) = loop {
        match Client::connect(&socket, SOON).await {
            Ok(connected) => break connected,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(client.version().major >= 7, "{:?}", client.version());
    // Long answers with words of this version.
    assert!(
        client.call("query-qmp-schema", Value::Null, SOON).await.unwrap().as_array().unwrap().len() > 100
    );
    assert!(client.call("query-migrate-capabilities", Value::Null, SOON).await.unwrap().is_array());
    let refused = client.call("no-such-command", Value::Null, SOON).await.unwrap_err();
    assert!(refused.to_string().contains("no-such-command"), "{refused}");
    client.call("cont", Value::Null, SOON).await.unwrap();
    assert_eq!(events.recv().await.unwrap().name, "RESUME");
    let status = client.call("query-status", Value::Null, SOON).await.unwrap();
    assert_eq!(RunState::of(status["status"].as_str().unwrap()), RunState::Running);
    client.call("quit", Value::Null, SOON).await.unwrap();
    while events.recv().await.is_some() {}
    assert!(qemu.wait().unwrap().success());
}
