//! What the known_hosts files say of a host, read as `sshd(8)` describes them. Pure: text in, verdict out.
//!
//! Invariant: a key is known only by a line that names the host and has exactly that key; a `@revoked` line for the
//! host outweighs every other. A line that cannot be read hides no other line.
//!
//! libssh2 has a reader of its own, which knows neither `@revoked` nor patterns and stops at lines it cannot read.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// Under which names a host's keys are filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filed {
    /// The name new keys are filed under: `host`, or `[host]:port` for other ports than 22.
    pub(crate) name: String,
    /// A name under which a match counts too, but another key is no change: the bare host, where a port is given.
    also: Option<String>,
}

impl Filed {
    /// Of a host and port; an alias of the configuration stands for both.
    pub(crate) fn new(host: &str, port: u16, alias: Option<&str>) -> Filed {
        let host = host.to_ascii_lowercase();
        match alias {
            Some(alias) => Filed { name: alias.to_ascii_lowercase(), also: None },
            None if port == 22 => Filed { name: host, also: None },
            None => Filed { name: format!("[{host}]:{port}"), also: Some(host) },
        }
    }
}

/// One line that speaks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    mark: Mark,
    /// Named by [`Filed::name`], not only by the bare host.
    exact: bool,
    kind: String,
    key: Vec<u8>,
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    Revoked,
    Authority,
}

/// What a shown key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    /// Nothing is filed for this host.
    Unknown,
    /// Other keys are filed, this one is not; the file of one.
    Changed(PathBuf),
    Revoked,
}

/// All that is filed for one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    lines: Vec<Line>,
}

impl Known {
    /// Reads what the files say; a file that is missing says nothing.
    pub(crate) fn read(files: &[PathBuf], filed: &Filed) -> Known {
        let mut known = Known::default();
        for file in files {
            let short = std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= FILE_MAX);
            if let Some(text) = short.then(|| std::fs::read(file).ok()).flatten() {
                known.add(file, &String::from_utf8_lossy(&text), filed);
            }
        }
        known
    }

    /// Adds what a file's text says.
    pub(crate) fn add(&mut self, file: &Path, text: &str, filed: &Filed) {
        self.lines.extend(text.lines().filter_map(|line| read_line(file, line, filed)));
    }

    pub(crate) fn verdict(&self, key: &[u8]) -> Verdict {
        let same = |line: &&Line| line.key == key;
        if self.lines.iter().filter(same).any(|line| line.mark == Mark::Revoked) {
            return Verdict::Revoked;
        }
        if self.lines.iter().filter(same).any(|line| line.mark == Mark::None) {
            return Verdict::Known;
        }
        let other = self.lines.iter().find(|line| line.mark == Mark::None && line.exact);
        other.map_or(Verdict::Unknown, |line| Verdict::Changed(line.file.clone()))
    }

    /// The kinds of the filed keys: they are asked for first, for the server may have several keys.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.mark == Mark::None).map(|line| line.kind.as_str())
    }

    /// Is the host known by a certificate authority only? libssh2 knows no certificates.
    pub(crate) fn needs_authority(&self) -> bool {
        self.lines.iter().any(|line| line.mark == Mark::Authority)
            && !self.lines.iter().any(|line| line.mark == Mark::None)
    }
}

fn read_line(file: &Path, line: &str, filed: &Filed) -> Option<Line> {
    let mut words = line.split_ascii_whitespace();
    let mut first = words.next().filter(|word| !word.starts_with('#'))?;
    let mark = match first {
        "@revoked" => Mark::Revoked,
        "@cert-authority" => Mark::Authority,
        _ if first.starts_with('@') => return None,
        _ => Mark::None,
    };
    if mark != Mark::None {
        first = words.next()?;
    }
    let exact = names(first, &filed.name);
    if !exact && !filed.also.as_ref().is_some_and(|also| names(first, also)) {
        return None;
    }
    let kind = words.next()?.to_owned();
    let key = STANDARD.decode(words.next()?).ok()?;
    Some(Line { mark, exact, kind, key, file: file.to_owned() })
}

/// Does the first field of a line name this host?
fn names(field: &str, name: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return hashed_names(hashed, name).unwrap_or(false);
    }
    let mut named = false;
    for pattern in field.split(',') {
        let (wanted, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, pattern),
        };
        if matches(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
            if !wanted {
                return false;
            }
            named = true;
        }
    }
    named
}

/// `SALT|HASH`, both base64; the hash is HMAC-SHA1 of the name.
fn hashed_names(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// `*` and `?` as in a shell; linear in time but for the last star, to which it returns.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star.as_mut() {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
