//! The lines themselves, both ways, as pure functions.

use serde::Deserialize;
use serde_json::{Value, json};

/// No line of QEMU's is longer; the longest known is its schema with some 250 KB.
pub const LINE_MAX: usize = 4 << 20;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The first one: which QEMU this is.
    Greeting {
        /// Its version.
        version: Version,
    },
    /// A command worked.
    Return {
        /// Of the command; QEMU leaves it out where it could not read one.
        id: Option<u64>,
        /// What it gave.
        value: Value,
    },
    /// A command failed.
    Error {
        /// Of the command.
        id: Option<u64>,
        /// A word for programs.
        class: String,
        /// A sentence for people.
        description: String,
    },
    /// Something happened.
    Event(Event),
}

/// QEMU's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
pub struct Version {
    /// 7 of 7.2.22.
    pub major: u32,
    /// 2 of 7.2.22.
    pub minor: u32,
    /// 22 of 7.2.22.
    pub micro: u32,
}

/// Something that happened in QEMU.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name: `STOP`, `MIGRATION` and so on.
    pub name: String,
    /// What belongs to it; `Null` for most.
    pub data: Value,
}

impl Event {
    /// The status that an event `MIGRATION` tells.
    #[must_use]
    pub fn migration(&self) -> Option<MigrationStatus> {
        if self.name != "MIGRATION" {
            return None;
        }
        self.data["status"].as_str().map(MigrationStatus::of)
    }
}

/// How a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationStatus {
    /// Memory is copied.
    Active,
    /// All but the last is there, the processors stand still, QEMU waits for `migrate-continue`.
    PreSwitchover,
    /// The rest goes over.
    Device,
    /// All is there.
    Completed,
    /// It failed.
    Failed,
    /// It was given up; or will be (`cancelling`).
    Cancelled,
    /// Another one, in QEMU's word; `none` where nothing was said of one.
    Other(String),
}

impl MigrationStatus {
    /// From QEMU's word.
    #[must_use]
    pub fn of(word: &str) -> MigrationStatus {
        match word {
            "active" => MigrationStatus::Active,
            "pre-switchover" => MigrationStatus::PreSwitchover,
            "device" => MigrationStatus::Device,
            "completed" => MigrationStatus::Completed,
            "failed" => MigrationStatus::Failed,
            "cancelled" | "cancelling" => MigrationStatus::Cancelled,
            other => MigrationStatus::Other(other.to_owned()),
        }
    }
}

/// What the machine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It runs.
    Running,
    /// It stands after a request failed and was kept.
    IoError,
    /// It waits for a migration's stream.
    InMigrate,
    /// It has gone over to another QEMU.
    PostMigrate,
    /// Another one, in QEMU's word.
    Other(String),
}

impl RunState {
    /// From QEMU's word.
    #[must_use]
    pub fn of(word: &str) -> RunState {
        match word {
            "running" => RunState::Running,
            "io-error" => RunState::IoError,
            "inmigrate" => RunState::InMigrate,
            "postmigrate" => RunState::PostMigrate,
            other => RunState::Other(other.to_owned()),
        }
    }
}

/// A line that is none of QEMU's.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or a field of another kind.
    #[error("a line of QEMU's cannot be read")]
    Json(#[from] serde_json::Error),
    /// Neither greeting, answer nor event.
    #[error("a line of QEMU's is neither greeting, answer nor event")]
    Unknown,
}

/// Every field that makes a line what it is.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    /// `{"return": null}` is an answer too.
    #[serde(rename = "return", default, deserialize_with = "present")]
    value: Option<Value>,
    error: Option<Failure>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    id: Value,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct Greeting {
    version: GreetingVersion,
}

#[derive(Deserialize)]
struct GreetingVersion {
    qemu: Version,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    class: String,
    #[serde(default)]
    desc: String,
}

/// Reads a line.
///
/// # Errors
/// [`MessageError`].
pub fn parse(line: &[u8]) -> Result<Message, MessageError> {
    let line: Line = serde_json::from_slice(line)?;
    let id = line.id.as_u64();
    if let Some(greeting) = line.greeting {
        return Ok(Message::Greeting { version: greeting.version.qemu });
    }
    if let Some(name) = line.event {
        return Ok(Message::Event(Event { name, data: line.data }));
    }
    if let Some(error) = line.error {
        return Ok(Message::Error { id, class: error.class, description: error.desc });
    }
    line.value.map(|value| Message::Return { id, value }).ok_or(MessageError::Unknown)
}

/// A command as a line, its end included. `arguments` is an object, or `Null` for none.
#[must_use]
pub fn command(id: u64, name: &str, arguments: &Value) -> String {
    let mut command = json!({ "execute": name, "id": id });
    if !arguments.is_null() {
        command["arguments"] = arguments.clone();
    }
    format!("{command}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_qemu_are_read() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}"#;
        let version = Version { major: 7, minor: 2, micro: 22 };
        assert_eq!(parse(greeting).unwrap(), Message::Greeting { version });
        let null = parse(br#"{"return": null, "id": 4}"#).unwrap();
        assert_eq!(null, Message::Return { id: Some(4), value: Value::Null });
        let error = parse(br#"{"id": 5, "error": {"class": "GenericError", "desc": "no"}}"#).unwrap();
        assert_eq!(
            error,
            Message::Error { id: Some(5), class: "GenericError".to_owned(), description: "no".to_owned() }
        );
    }

    #[test]
    fn words_that_no_version_had_yet_are_taken_as_they_are() {
        let line = br#"{"timestamp": {"seconds": 1}, "event": "MIGRATION", "data": {"status": "postcopy-soon", "new": 1}}"#;
        let Message::Event(event) = parse(line).unwrap() else { panic!("no event") };
        assert_eq!(event.migration(), Some(MigrationStatus::Other("postcopy-soon".to_owned())));
        assert_eq!(RunState::of("dreaming"), RunState::Other("dreaming".to_owned()));
    }

    #[test]
    fn what_is_no_line_of_qemu_is_refused() {
        for bad in ["", "7", "{}", "{\"event\": 5}", "{\"return\":", "[1]", "{\"QMP\": {}}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_is_one_line() {
        assert_eq!(command(1, "quit", &Value::Null), "{\"execute\":\"quit\",\"id\":1}\n");
        let line = command(2, "x", &json!({"text": "a\nb"}));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
