//! Where a server listens, as the command line writes it, and the URI that clients understand.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the filesystem, for its owner alone.
    Unix(PathBuf),
    /// A TCP port, without encryption or authentication.
    Tcp {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
    },
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `unix:` nor `tcp:`.
    #[error("an NBD address is unix:PATH or tcp:HOST:PORT, not {0:?}")]
    Kind(String),
    /// Nothing after `unix:`.
    #[error("unix: needs the path of a socket")]
    NoPath,
    /// No host, no port, or a port that is no number below 65536.
    #[error("tcp: needs HOST:PORT, not {0:?}")]
    HostPort(String),
}

impl Address {
    /// Reads `unix:PATH` or `tcp:HOST:PORT` (`tcp:[::1]:10809` for IPv6).
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return Err(AddressError::NoPath);
            }
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let Some(rest) = text.strip_prefix("tcp:") else { return Err(AddressError::Kind(text.into())) };
        let bad = || AddressError::HostPort(rest.into());
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let colons = host.contains(':');
        if host.is_empty() || colons != bracketed.is_some() {
            return Err(bad());
        }
        Ok(Address::Tcp { host: host.into(), port: port.parse().map_err(|_| bad())? })
    }

    /// The URI of a server that listens here; a relative path must have been made absolute.
    #[must_use]
    pub fn uri(&self) -> String {
        match self {
            Address::Unix(path) => format!("nbd+unix:///?socket={}", percent_encoded(path)),
            Address::Tcp { host, port } if host.contains(':') => format!("nbd://[{host}]:{port}"),
            Address::Tcp { host, port } => format!("nbd://{host}:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Everything but what every URI reader takes as itself is written as `%XX`.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> String {
        Address::parse(text).unwrap().uri()
    }

    #[test]
    fn an_address_gives_the_uri_that_clients_take() {
        assert_eq!(uri("unix:/run/a b&c.sock"), "nbd+unix:///?socket=/run/a%20b%26c.sock");
        assert_eq!(uri("tcp:localhost:10809"), "nbd://localhost:10809");
        assert_eq!(uri("tcp:[::1]:0"), "nbd://[::1]:0");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(matches!(Address::parse("/run/x"), Err(AddressError::Kind(_))));
        assert_eq!(Address::parse("unix:"), Err(AddressError::NoPath));
        for bad in [
            "tcp:",
            "tcp:host",
            "tcp:host:",
            "tcp:host:65536",
            "tcp::1",
            "tcp:::1:80",
            "tcp:[::1]",
            "tcp:[h]:1",
        ] {
            assert!(matches!(Address::parse(bad), Err(AddressError::HostPort(_))), "{bad}");
        }
    }

    #[test]
    fn an_address_reads_back_as_it_is_written() {
        for text in ["unix:/run/x.sock", "tcp:127.0.0.1:1", "tcp:[::1]:10809"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }
}
