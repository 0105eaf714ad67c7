//! Public keys: what is read is written back, what smuggles something in is refused.

use super::*;

fn blob(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|p| [&u32::try_from(p.len()).unwrap().to_be_bytes()[..], p].concat()).collect()
}

fn line(kind: &str, blob: &[u8], comment: &str) -> String {
    format!("{kind} {}{comment}", STANDARD.encode(blob))
}

fn ed25519() -> Vec<u8> {
    blob(&[b"ssh-ed25519", &[7; 32]])
}

fn rsa(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits / 8];
    modulus.insert(0, 0);
    blob(&[b"ssh-rsa", &[1, 0, 1], &modulus])
}

fn permit() -> Line<'static> {
    Line { program: "/usr/bin/wandisk", home: "/srv/w", disk: None, mode: Mode::Ro, site: None, from: None }
}

#[test]
fn keys_are_read_and_written_back() {
    let point = [&[4u8][..], &[1; 64]].concat();
    for text in [
        line("ssh-ed25519", &ed25519(), ""),
        line("ssh-ed25519", &ed25519(), " me@laptop, the old one"),
        line("ssh-rsa", &rsa(3072), " me"),
        line("ecdsa-sha2-nistp256", &blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]), ""),
        line("sk-ssh-ed25519@openssh.com", &blob(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"ssh:"]), ""),
    ] {
        assert_eq!(PublicKey::parse(&text).map(|k| k.words()), Ok(text));
    }
}

#[test]
fn what_smuggles_something_in_is_refused() {
    let good = line("ssh-ed25519", &ed25519(), "");
    for (text, why) in [
        (format!("command=\"sh\" {good}"), KeyError::Kind),
        (format!("{good}\nssh-ed25519 AAAA"), KeyError::Character),
        (format!("{good}\r"), KeyError::Character),
        (format!("{good} a\0b"), KeyError::Character),
        (format!("{good}\tx"), KeyError::Character),
        (format!("{good} é"), KeyError::Character),
        (format!("{good} {}", "x".repeat(201)), KeyError::TooLong),
        (format!("{good} {}", "x".repeat(9000)), KeyError::TooLong),
        (String::new(), KeyError::Kind),
        ("ssh-dss AAAA".to_owned(), KeyError::Kind),
        ("ssh-ed25519".to_owned(), KeyError::Base64),
        ("ssh-ed25519 AAA".to_owned(), KeyError::Base64),
        ("ssh-ed25519 AAAA,AAAA".to_owned(), KeyError::Base64),
        (line("ssh-rsa", &ed25519(), ""), KeyError::Blob),
        (line("ssh-ed25519", &rsa(3072), ""), KeyError::Blob),
        (line("ssh-ed25519", &[&ed25519()[..], b"more"].concat(), ""), KeyError::Blob),
        (line("ssh-ed25519", &ed25519()[..40], ""), KeyError::Blob),
        (line("ssh-ed25519", &blob(&[b"ssh-ed25519", &[7; 31]]), ""), KeyError::Blob),
        (line("ssh-rsa", &rsa(1024), ""), KeyError::Weak),
        ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), KeyError::Kind),
    ] {
        assert_eq!(PublicKey::parse(&text), Err(why), "{text:?}");
    }
}

#[test]
fn a_line_restricts_and_names_the_command() {
    let key = PublicKey::parse(&line("ssh-ed25519", &ed25519(), " me")).unwrap();
    let disk = DiskId::random();
    let line =
        Line { disk: Some(disk), from: Some("10.0.0.0/24,!10.0.0.7"), ..permit() }.for_key(&key).unwrap();
    let expected = format!(
        "restrict,command=\"/usr/bin/wandisk --home /srv/w serve --stdio --mode ro --disk {disk}\",\
         from=\"10.0.0.0/24,!10.0.0.7\" {}",
        key.words()
    );
    assert_eq!(line, expected);
}

#[test]
fn paths_survive_the_file_and_the_shell() {
    let key = PublicKey::parse(&line("ssh-ed25519", &ed25519(), "")).unwrap();
    let quoted = Line { home: "/srv/a \"b\" $(c)", ..permit() }.for_key(&key).unwrap();
    let command = quoted.split("command=\"").nth(1).unwrap().rsplit_once("\" ssh-").unwrap().0;
    let words = shell_words::split(&command.replace("\\\"", "\"")).unwrap();
    assert_eq!(words[2], "/srv/a \"b\" $(c)");
    for home in ["/a\nb", "/a\\\"b", "/a\\"] {
        assert_eq!(Line { home, ..permit() }.for_key(&key), None, "{home:?}");
    }
}

#[test]
fn addresses_hold_nothing_but_addresses() {
    assert!(is_from("10.0.0.0/24,*.example.org,!fe80::1%eth0"));
    for text in ["", "a\",command=\"sh", "a b", "a\n", &"1".repeat(1001)] {
        assert!(!is_from(text), "{text:?}");
    }
}

wandisk_fuzz::target!(
    authorized_keys,
    60_000,
    vec![
        line("ssh-ed25519", &ed25519(), " me@laptop").into_bytes(),
        line("ssh-rsa", &rsa(2048), "").into_bytes(),
        format!("command=\"sh\",restrict {}", line("ssh-ed25519", &ed25519(), "")).into_bytes(),
    ],
    |bytes: &[u8]| {
        let Ok(key) = PublicKey::parse(&String::from_utf8_lossy(bytes)) else { return };
        let line = permit().for_key(&key).unwrap();
        assert!(!line.contains(|c: char| c.is_control()), "one line");
        let rest =
            line.strip_prefix("restrict,command=\"/usr/bin/wandisk --home /srv/w serve --stdio --mode ro\" ");
        assert_eq!(rest.map(PublicKey::parse), Some(Ok(key)), "the options are ours alone");
    }
);
