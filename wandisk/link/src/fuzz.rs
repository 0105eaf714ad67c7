//! Foreign and half-foreign text: addresses that peers tell, files of known hosts that other programs write.

#[cfg(feature = "ssh")]
use std::path::Path;

use crate::Address;

wandisk_fuzz::target!(
    addresses,
    60_000,
    [
        "ssh://me@big.example.org:2222",
        "ssh://[fe80::1%eth0]:22",
        "cmd:ssh -J 'a b' far",
        "ssh://-oProxyCommand=x",
        "cmd:\"\\\"x\""
    ]
    .map(|s| s.as_bytes().to_vec())
    .to_vec(),
    |bytes: &[u8]| {
        let Ok(address) = Address::parse(&String::from_utf8_lossy(bytes)) else { return };
        assert_eq!(
            Address::parse(&address.to_string()).as_ref(),
            Ok(&address),
            "what is read is written the same"
        );
        if let Address::Ssh(host) = address {
            // It becomes words of a command line, and a shell sees them in a ProxyCommand.
            let words = [Some(host.host), host.user];
            for word in words.into_iter().flatten() {
                assert!(
                    !word.starts_with('-')
                        && !word.contains(|c: char| " \t\r\n;&|<>()$`\\\"'*?#~=!{}".contains(c)),
                    "{word:?}"
                );
            }
        }
    }
);

#[cfg(feature = "ssh")]
wandisk_fuzz::target!(
    known_hosts,
    20_000,
    [
        "[10.0.0.7]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVsbG8=\n# a comment\nbig,!small ssh-rsa AAAA comment\n",
        "@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVsbG8=\n@cert-authority *.org ssh-rsa AAAA\n",
        "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA\n",
        "a*b*c*d*e*f*g*h*i*big ssh-ed25519 AAAA\n@\n@revoked\n|1|\n",
    ]
    .map(|s| s.as_bytes().to_vec())
    .to_vec(),
    |bytes: &[u8]| {
        use crate::known_hosts::{Filed, Known, Verdict};
        let text = String::from_utf8_lossy(bytes);
        let filed = Filed::new("big", 2222, None);
        let mut known = Known::default();
        known.add(Path::new("k"), &text, &filed);
        let key = b"\0\0\0\x0bssh-ed25519\0\0\0 ello";
        let verdict = known.verdict(key);
        if verdict == Verdict::Known {
            let mut revoked = Known::default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("@revoked"));
            revoked.add(Path::new("k"), &lines.collect::<Vec<_>>().join("\n"), &filed);
            assert_eq!(revoked.verdict(key), Verdict::Known, "no key is known by being revoked");
        }
        // Adding lines never makes a revoked key good.
        known.add(Path::new("l"), "[big]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVsbG8=", &filed);
        assert!(verdict != Verdict::Revoked || known.verdict(key) == Verdict::Revoked);
    }
);
