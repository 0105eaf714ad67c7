//! What a private key file is, told from its outside without unlocking it.
//!
//! libssh2 can sign with open key files only. The others are not offered to it: each would cost one of the attempts
//! that a server counts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest key file that is read, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// What can be done with an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// libssh2 can sign with it.
    Sign,
    /// It wants a passphrase, a token, or has a certificate: the agent or the `ssh` program may know better.
    NotAlone,
    /// Only the public half is there: it names a key of the agent.
    Public,
    /// There is no such file, or it is no key.
    Nothing,
}

/// One `IdentityFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) path: PathBuf,
    pub(crate) can: Use,
    /// The public key as it goes over the wire, where it can be told.
    pub(crate) public: Option<Vec<u8>>,
}

impl Identity {
    pub(crate) fn read(path: &Path) -> Identity {
        let text = read(path).unwrap_or_default();
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (mut can, mut public) = judge(&text);
        if can == Use::Sign && beside("-cert.pub").exists() {
            can = Use::NotAlone;
        }
        if public.is_none() {
            public = read(&beside(".pub")).and_then(|text| public_half(&text));
            if can == Use::Nothing && public.is_some() {
                can = Use::Public;
            }
        }
        Identity { path: path.to_owned(), can, public }
    }
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    (meta.is_file() && meta.len() <= FILE_MAX).then(|| std::fs::read_to_string(path).ok())?
}

/// Judges a key file by its text.
fn judge(text: &str) -> (Use, Option<Vec<u8>>) {
    if let Some(public) = public_half(text) {
        return (Use::Public, Some(public));
    }
    if !text.contains("PRIVATE KEY-----") {
        return (Use::Nothing, None);
    }
    let body: String = text.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    let bytes = STANDARD.decode(body).unwrap_or_default();
    if let Some(mut rest) = bytes.strip_prefix(b"openssh-key-v1\0") {
        let public = outside(&mut rest);
        let Some((locked, public)) = public else { return (Use::Nothing, None) };
        let hardware = field(&mut &public[..]).is_none_or(|kind| kind.starts_with(b"sk-"));
        let can = if locked || hardware { Use::NotAlone } else { Use::Sign };
        return (can, Some(public));
    }
    // Old PEM keys say so in a header, PKCS#8 in the first line.
    (if text.contains("ENCRYPTED") { Use::NotAlone } else { Use::Sign }, None)
}

/// The part of an OpenSSH key before its secrets: is it locked, and the public half.
fn outside(rest: &mut &[u8]) -> Option<(bool, Vec<u8>)> {
    let locked = field(rest)? != b"none";
    let _kdf = field(rest)?;
    let _kdf_options = field(rest)?;
    let (_count, after) = rest.split_at_checked(4)?;
    *rest = after;
    Some((locked, field(rest)?.to_vec()))
}

/// A length-prefixed string.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (field, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    *rest = after;
    Some(field)
}

/// Of a `.pub` file: `KIND BASE64 COMMENT`.
fn public_half(text: &str) -> Option<Vec<u8>> {
    let mut words = text.lines().next()?.split_ascii_whitespace();
    let kind = words.next()?;
    let bytes = STANDARD.decode(words.next()?).ok()?;
    (field(&mut &bytes[..])? == kind.as_bytes()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn keygen(arguments: &[&str]) -> (tempfile::TempDir, Identity) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let done = Command::new("ssh-keygen").arg("-q").args(arguments).arg("-f").arg(&path).status();
        assert!(done.unwrap().success());
        let identity = Identity::read(&path);
        (dir, identity)
    }

    #[test]
    fn open_and_locked_keys_of_every_form_are_told_apart() {
        for form in [&["-t", "ed25519"][..], &["-t", "rsa", "-m", "PEM"], &["-t", "ecdsa", "-m", "PKCS8"]] {
            for (passphrase, can) in [("", Use::Sign), ("secret", Use::NotAlone)] {
                let (dir, identity) = keygen(&[form, &["-N", passphrase]].concat());
                assert_eq!(identity.can, can, "{form:?} {passphrase:?}");
                let public = std::fs::read_to_string(dir.path().join("key.pub")).unwrap();
                assert_eq!(identity.public, public_half(&public), "{form:?}");
                assert!(identity.public.is_some());
            }
        }
    }

    #[test]
    fn a_public_half_alone_names_a_key_of_the_agent() {
        let (dir, identity) = keygen(&["-t", "ed25519", "-N", ""]);
        std::fs::remove_file(&identity.path).unwrap();
        let alone = Identity::read(&identity.path);
        assert_eq!((alone.can, alone.public), (Use::Public, identity.public.clone()));
        let named = Identity::read(&dir.path().join("key.pub"));
        assert_eq!((named.can, named.public), (Use::Public, identity.public));
    }

    #[test]
    fn a_certificate_beside_a_key_is_left_to_the_program() {
        let (dir, identity) = keygen(&["-t", "ed25519", "-N", ""]);
        std::fs::write(dir.path().join("key-cert.pub"), "").unwrap();
        assert_eq!(Identity::read(&identity.path).can, Use::NotAlone);
    }

    proptest! {
        #[test]
        fn garbage_is_no_key(bytes: Vec<u8>) {
            let mut key = b"openssh-key-v1\0".to_vec();
            key.extend(bytes);
            let text = format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
                STANDARD.encode(key)
            );
            judge(&text);
        }
    }
}
