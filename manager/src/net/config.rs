//! `net.json` in an agent's folder: its anchors, at home its forwards, and what its gateway there is. Only the switch writes it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::anchors::Anchors;
use super::{AGENT_IP, names};

/// No agent has more.
pub const FORWARDS_MAX: usize = 64;
/// No file is longer.
const CONFIG_MAX: u64 = 256 << 10;

/// What a site's gateway is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// libslirp, in a process that needs no right.
    #[default]
    Slirp,
    /// The kernel's TCP, in a network namespace; needs root.
    Tap,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Slirp => "slirp",
            Kind::Tap => "tap",
        })
    }
}

/// A TCP port of home's that leads into the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Where home listens.
    pub host: SocketAddrV4,
    /// The agent's port.
    pub guest_port: u16,
}

impl Forward {
    /// Reads `8022:22` or `192.168.1.5:8022:22`; home's loopback unless told otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Option<Forward> {
        let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
        let (host, guest) = text.rsplit_once(':')?;
        let (address, host) = host.rsplit_once(':').unwrap_or(("127.0.0.1", host));
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Forward { host: SocketAddrV4::new(address, port(host)?), guest_port: port(guest)? })
    }

    /// As libslirp names it.
    #[must_use]
    pub fn rule(&self) -> String {
        format!("{}-{AGENT_IP}:{}", self.listener(), self.guest_port)
    }

    /// Its listening half.
    #[must_use]
    pub fn listener(&self) -> String {
        format!("tcp:{}", self.host)
    }
}

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Of home's, as it was heard here last.
    pub anchors: Anchors,
    /// Of home.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Of this site.
    #[serde(default)]
    pub gateway_kind: Kind,
}

impl Config {
    /// Reads the file in the agent's folder; without one nothing is anchored or forwarded.
    ///
    /// # Errors
    /// If it is there and cannot be understood.
    pub fn read(folder: &Path) -> io::Result<Config> {
        let path = folder.join(names::CONFIG);
        let wrong =
            |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let len = match std::fs::metadata(&path) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(error) => return Err(error),
        };
        if len > CONFIG_MAX {
            return Err(wrong("it is too long"));
        }
        let config: Config =
            serde_json::from_slice(&std::fs::read(&path)?).map_err(|error| wrong(&error.to_string()))?;
        let sound = config.anchors.sound() && config.forwards.len() <= FORWARDS_MAX;
        if sound { Ok(config) } else { Err(wrong("there is too much in it")) }
    }

    /// Replaces the file; after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// The file system's.
    #[expect(clippy::disallowed_methods, reason = "the folder is synced below")]
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(names::CONFIG);
        let beside = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        std::fs::File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_read_as_people_write_it_and_said_as_libslirp_does() {
        let forward = Forward::parse("8022:22").unwrap();
        assert_eq!(forward.rule(), "tcp:127.0.0.1:8022-10.0.2.15:22");
        assert_eq!(Forward::parse("0.0.0.0:80:8080").unwrap().rule(), "tcp:0.0.0.0:80-10.0.2.15:8080");
        for bad in ["", "22", "0:22", "22:0", "70000:22", "x:1:2", "1.2.3.4:1:2:3", "1.2.3.4 -x:1:2"] {
            assert_eq!(Forward::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_a_damaged_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(folder.path()).unwrap(), Config::default());
        let mut config = Config::default();
        config.anchors.set("10.1.0.0/16".parse().unwrap(), Some("big")).unwrap();
        config.forwards.push(Forward::parse("8022:22").unwrap());
        config.gateway_kind = Kind::Tap;
        config.write(folder.path()).unwrap();
        assert_eq!(Config::read(folder.path()).unwrap(), config);
        // One of before there was a choice.
        let older = r#"{"anchors": {"version": 0, "anchors": []}, "forwards": []}"#;
        std::fs::write(folder.path().join(names::CONFIG), older).unwrap();
        assert_eq!(Config::read(folder.path()).unwrap(), Config::default());
        std::fs::write(folder.path().join(names::CONFIG), "{").unwrap();
        let error = Config::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("net.json"), "{error}");
    }
}
