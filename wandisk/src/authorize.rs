//! Public keys of peers, and the `authorized_keys` line that ties one to `serve`. Pure.
//!
//! A line of `authorized_keys` is a program: what stands before the key are options, and a line break starts another
//! line. So a key is taken apart and put together again from its parts; nothing is passed on as it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wandisk_store::{DiskId, SiteId};

use crate::peer::permit::Mode;

/// Longest key line in bytes: RSA of 16384 bits and a comment.
const LINE_MAX: usize = 8 << 10;
const COMMENT_MAX: usize = 200;
/// Smallest RSA modulus in bits.
const RSA_MIN_BITS: usize = 2048;

/// A public key in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: &'static str,
    blob: Vec<u8>,
    comment: String,
}

/// Why a text is no key that can be authorized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Options, a private key, a file name, something else.
    #[error("it begins with none of the kinds of public keys ({})", KINDS.map(|k| k.name).join(", "))]
    Kind,
    /// Line breaks, control or foreign characters.
    #[error("it has a line break or a character that a key does not have")]
    Character,
    /// Longer than any key.
    #[error("it is too long to be a key")]
    TooLong,
    /// The second word.
    #[error("its second word is not base64, or cut")]
    Base64,
    /// The bytes say another kind than the words.
    #[error("its bytes are not those of a key of the kind it claims")]
    Blob,
    /// Too short to be safe.
    #[error("it is an RSA key of less than {RSA_MIN_BITS} bits")]
    Weak,
}

/// What a key's bytes hold after the name of their kind.
#[derive(Clone, Copy)]
enum Field {
    Exactly(usize),
    Text(&'static str),
    Number,
    Modulus,
    Application,
}

struct Kind {
    name: &'static str,
    fields: &'static [Field],
}

const KINDS: [Kind; 7] = {
    use Field::{Application, Exactly, Modulus, Number, Text};
    [
        Kind { name: "ssh-ed25519", fields: &[Exactly(32)] },
        Kind { name: "ssh-rsa", fields: &[Number, Modulus] },
        Kind { name: "ecdsa-sha2-nistp256", fields: &[Text("nistp256"), Exactly(65)] },
        Kind { name: "ecdsa-sha2-nistp384", fields: &[Text("nistp384"), Exactly(97)] },
        Kind { name: "ecdsa-sha2-nistp521", fields: &[Text("nistp521"), Exactly(133)] },
        Kind { name: "sk-ssh-ed25519@openssh.com", fields: &[Exactly(32), Application] },
        Kind {
            name: "sk-ecdsa-sha2-nistp256@openssh.com",
            fields: &[Text("nistp256"), Exactly(65), Application],
        },
    ]
};

impl PublicKey {
    /// Reads one line of a `.pub` file.
    ///
    /// # Errors
    /// [`KeyError`]: what is wrong with it.
    pub fn parse(text: &str) -> Result<PublicKey, KeyError> {
        if text.len() > LINE_MAX {
            return Err(KeyError::TooLong);
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(KeyError::Character);
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let first = words.next().ok_or(KeyError::Kind)?;
        let kind = KINDS.iter().find(|kind| kind.name == first).ok_or(KeyError::Kind)?;
        let blob = STANDARD.decode(words.next().ok_or(KeyError::Base64)?).map_err(|_| KeyError::Base64)?;
        kind.check(&blob)?;
        let comment = words.collect::<Vec<_>>().join(" ");
        if comment.len() > COMMENT_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(PublicKey { kind: kind.name, blob, comment })
    }

    /// The words of the key.
    #[must_use]
    pub fn words(&self) -> String {
        let key = format!("{} {}", self.kind, STANDARD.encode(&self.blob));
        if self.comment.is_empty() { key } else { format!("{key} {}", self.comment) }
    }
}

/// The next string of an SSH blob.
fn string<'a>(blob: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = blob.split_first_chunk::<4>()?;
    let (string, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    *blob = rest;
    Some(string)
}

impl Kind {
    fn check(&self, mut blob: &[u8]) -> Result<(), KeyError> {
        if string(&mut blob) != Some(self.name.as_bytes()) {
            return Err(KeyError::Blob);
        }
        for field in self.fields {
            let bytes = string(&mut blob).ok_or(KeyError::Blob)?;
            let fits = match field {
                Field::Exactly(len) => bytes.len() == *len,
                Field::Text(text) => bytes == text.as_bytes(),
                Field::Number | Field::Modulus => bytes.first().is_some_and(|b| *b < 0x80),
                Field::Application => !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic),
            };
            if !fits {
                return Err(KeyError::Blob);
            }
            if matches!(field, Field::Modulus) && bits(bytes) < RSA_MIN_BITS {
                return Err(KeyError::Weak);
            }
        }
        if blob.is_empty() { Ok(()) } else { Err(KeyError::Blob) }
    }
}

/// Bits of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    let Some(first) = number.get(zeros) else { return 0 };
    (number.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
}

/// What a line permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// This program, an absolute path.
    pub program: &'a str,
    /// The site's home, an absolute path.
    pub home: &'a str,
    /// The one disk.
    pub disk: Option<DiskId>,
    /// Reading only, or all.
    pub mode: Mode,
    /// The one site that may log in with the key.
    pub site: Option<SiteId>,
    /// Addresses it may come from, as `authorized_keys` writes them.
    pub from: Option<&'a str>,
}

impl Line<'_> {
    /// The line for a key. `None` if a path has a character that cannot stand in one.
    #[must_use]
    pub fn for_key(&self, key: &PublicKey) -> Option<String> {
        let mut words = vec![self.program.to_owned(), "--home".to_owned(), self.home.to_owned()];
        words.extend(["serve", "--stdio", "--mode", self.mode.word()].map(str::to_owned));
        words.extend(self.disk.iter().flat_map(|disk| ["--disk".to_owned(), disk.to_string()]));
        words.extend(self.site.iter().flat_map(|site| ["--site".to_owned(), site.to_string()]));
        let command = shell_words::join(words);
        // sshd undoes `\"` and nothing else.
        if command.contains(['\n', '\r', '\0', '\\']) {
            return None;
        }
        let command = command.replace('"', "\\\"");
        let from = self.from.map(|from| format!(",from=\"{from}\"")).unwrap_or_default();
        Some(format!("restrict,command=\"{command}\"{from} {}", key.words()))
    }
}

/// Is this a list of addresses for `from=`?
#[must_use]
pub fn is_from(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:*?!,/%".contains(&b);
    (1..=1000).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
