//! How a site is reached, as people write it.

use std::fmt;

/// Longest address in bytes.
const LEN_MAX: usize = 4096;

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A program and its arguments, whose standard input and output are the stream.
    Command(Vec<String>),
    /// An SSH host.
    Ssh(SshHost),
}

/// The host of an `ssh://` address; what is not said comes from the user's ssh configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    /// User to log in as.
    pub user: Option<String>,
    /// Name or address, or an alias of the ssh configuration.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address ({why}): write ssh://[user@]host[:port] or cmd:PROGRAM ARGS…")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let wrong = |why| AddressError { text: text.chars().take(80).collect(), why };
        if text.len() > LEN_MAX || text.contains(['\0', '\n']) {
            return Err(wrong("it is too long or has a line break"));
        }
        if let Some(rest) = text.strip_prefix("cmd:") {
            let words = shell_words::split(rest).map_err(|_| wrong("a quote is not closed"))?;
            return if words.is_empty() {
                Err(wrong("no program is named"))
            } else {
                Ok(Address::Command(words))
            };
        }
        let rest =
            text.strip_prefix("ssh://").ok_or_else(|| wrong("it begins with neither ssh:// nor cmd:"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host_port) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(wrong("a password in it would not be used; log in with keys"));
        }
        if !host_port.starts_with('[') && host_port.matches(':').count() > 1 {
            return Err(wrong("an IPv6 address is written in brackets"));
        }
        let (host, port) =
            split_port(host_port).ok_or_else(|| wrong("its port is not a number from 1 to 65535"))?;
        // The ssh program puts host and user into the ProxyCommand of the configuration, which a shell runs: nothing
        // that means anything to a shell, and nothing that looks like an option.
        let plain = |text: &str, also: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        if !plain(host, "._-:%") {
            return Err(wrong("its host cannot be one"));
        }
        if !user.is_none_or(|user| plain(user, "._-@+")) {
            return Err(wrong("its user cannot be one"));
        }
        Ok(Address::Ssh(SshHost { user: user.map(str::to_owned), host: host.to_owned(), port }))
    }
}

/// `host`, `host:22`, `[::1]`, `[::1]:22`.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(parse_port(port)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(parse_port(port)?))),
        None => Some((text, None)),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // Digits only: `parse` takes a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|p| digits && *p != 0)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Command(words) => write!(f, "cmd:{}", shell_words::join(words)),
            Address::Ssh(SshHost { user, host, port }) => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in [
            "ssh://big",
            "ssh://me@big:2222",
            "ssh://[::1]:22",
            "ssh://me@[fe80::1]",
            "cmd:ssh -J bastion far",
            "cmd:'a b' c",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "big",
            "http://x",
            "ssh://",
            "ssh://a:0",
            "ssh://a:x",
            "ssh://-oProxyCommand=x",
            "ssh://a b",
            "ssh://a;b",
            "ssh://$(a)@b",
            "ssh://me:secret@b",
            "ssh://::1",
            "ssh://[::1]x",
            "ssh://a:+22",
            "ssh://a/path",
            "cmd:",
            "cmd:'x",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_when_written(text in "(cmd:|ssh://)[ -~é\\[\\]:@'\"#]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
            }
        }
    }
}
