//! `ssh://` links against a real OpenSSH server: who the host is, and who we are.

#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::{Sshd, address, keygen, keygen_locked};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wandisk_link::{Address, DialOptions, Stream, dial};

async fn echoes(mut stream: Stream) {
    stream.write_all(b"x").await.unwrap();
    let read = stream.read_u8().await;
    assert_eq!(read.ok(), Some(b'x'), "{}", stream.stderr().text());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_every_kind_of_key_are_known() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let sshd = Sshd::start(kind);
        echoes(sshd.dial("exec cat").await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_host_keys_the_filed_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let second = dir.path().join("second");
    keygen(&second, "rsa");
    let sshd = Sshd::start_with("ed25519", &[&format!("HostKey={}", second.display())]);
    sshd.know(&std::fs::read_to_string(second.with_extension("pub")).unwrap());
    echoes(sshd.dial("exec cat").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hashed_known_hosts_file_is_understood() {
    let sshd = Sshd::start("ed25519");
    let hashed =
        std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(sshd.path("known")).output();
    assert!(hashed.unwrap().status.success());
    assert!(sshd.text("known").starts_with("|1|"));
    echoes(sshd.dial("exec cat").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start("ed25519");
    sshd.write("known", "");
    let said = sshd.refusal().await;
    let shown = std::process::Command::new("ssh-keygen").arg("-lf").arg(sshd.path("host.pub")).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    let fingerprint = shown.split(' ').nth(1).unwrap();
    assert!(said.contains(&format!("is not known ({fingerprint})")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_loudly_whatever_the_settings() {
    let sshd = Sshd::start("ed25519");
    for kind in ["ed25519", "ecdsa"] {
        keygen(&sshd.path(kind), kind);
        sshd.know(&sshd.text(&format!("{kind}.pub")));
        for settings in ["", "StrictHostKeyChecking accept-new\n", "StrictHostKeyChecking no\n"] {
            sshd.configure(settings);
            let said = sshd.refusal().await;
            assert!(said.contains("HAS CHANGED") && said.contains("/known"), "{kind} {settings}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_key_is_refused() {
    let sshd = Sshd::start("ed25519");
    sshd.write("known", &format!("{}@revoked * {}", sshd.text("known"), sshd.text("host.pub")));
    let said = sshd.refusal().await;
    assert!(said.contains("IS REVOKED"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_noted_where_the_users_settings_say_so() {
    let sshd = Sshd::start("ed25519");
    // No end of line: the note must not run into it.
    sshd.write("known", "other ssh-ed25519 AAAA");
    sshd.configure("StrictHostKeyChecking accept-new\n");
    echoes(sshd.dial("exec cat").await).await;
    sshd.configure("");
    echoes(sshd.dial("exec cat").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_accepted_is_named() {
    let sshd = Sshd::start("ed25519");
    sshd.write("authorized", "");
    let said = sshd.refusal().await;
    assert!(said.contains("accepts none of the keys") && said.contains("/user"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_keys_says_what_it_takes() {
    let sshd = Sshd::start_with("ed25519", &["PubkeyAuthentication=no", "PasswordAuthentication=yes"]);
    let said = sshd.refusal().await;
    assert!(said.contains("it takes only password"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_costs_one_of_the_attempts_that_a_server_counts() {
    let mut sshd = Sshd::start_with("ed25519", &["MaxAuthTries=2"]);
    keygen(&sshd.path("wrong"), "ed25519");
    let agent = sshd.agent(&["wrong", "user"]);
    sshd.configure_identity("none", &agent);
    echoes(sshd.dial("exec cat").await).await;
}

/// A round trip less, at each login.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_the_first_key_is_not_asked_what_it_takes() {
    let sshd = Sshd::start_with("ed25519", &["LogLevel=DEBUG1"]);
    echoes(sshd.dial("exec cat").await).await;
    let log = sshd.text("log");
    assert!(log.contains("method publickey") && !log.contains("method none"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_key_of_the_agent_opens_not_only_the_first() {
    let mut sshd = Sshd::start("ed25519");
    keygen(&sshd.path("first"), "ed25519");
    let agent = sshd.agent(&["first", "user"]);
    sshd.configure_identity("none", &agent);
    echoes(sshd.dial("exec cat").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_named_key_of_a_full_agent_comes_first() {
    let mut sshd = Sshd::start_with("ed25519", &["MaxAuthTries=2"]);
    let others: Vec<String> = (0..6).map(|i| format!("other{i}")).collect();
    others.iter().for_each(|name| keygen(&sshd.path(name), "ed25519"));
    let mut keys: Vec<&str> = others.iter().map(String::as_str).collect();
    keys.push("user");
    let agent = sshd.agent(&keys);
    std::fs::remove_file(sshd.path("user")).unwrap();
    // The named key is only in the agent, and last there; the server hangs up after two attempts.
    for more in ["", "IdentitiesOnly yes\n"] {
        sshd.configure_identity("user", &format!("{agent}{more}"));
        echoes(sshd.dial("exec cat").await).await;
    }
    sshd.configure_identity("missing", &agent);
    let said = sshd.refusal().await;
    assert!(said.contains("agent key") && said.contains("then it hung up"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_is_left_to_the_ssh_program() {
    let sshd = Sshd::start("ed25519");
    keygen_locked(&sshd.path("locked"), "rsa", "secret");
    sshd.configure_identity("locked", "IdentitiesOnly yes\nIdentityAgent none\n");
    let mut stream = sshd.dial("exec cat").await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    // The ssh program, which asks nobody, was refused in its own words.
    let said = stream.stderr().verdict().unwrap().to_string();
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_left_to_the_ssh_program_and_works() {
    let sshd = Sshd::start("ed25519");
    let proxy = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & cat >&3'";
    sshd.configure(&format!("ProxyCommand {proxy}\nRemoteCommand false\nRequestTTY force\n"));
    echoes(sshd.dial("exec cat").await).await;
}

#[tokio::test]
async fn nobody_there_is_said_with_host_and_port() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = dial(&address(port), &DialOptions::default()).await.map(drop).unwrap_err().to_string();
    assert!(said.contains(&format!("127.0.0.1 port {port} refuses connections")), "{said}");
    let nowhere = Address::parse("ssh://no-such-host.invalid").unwrap();
    let said = dial(&nowhere, &DialOptions::default()).await.map(drop).unwrap_err().to_string();
    assert!(said.contains("is not known by that name"), "{said}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = DialOptions { timeout: Some(Duration::from_secs(1)), ..DialOptions::default() };
    let began = Instant::now();
    let dialled = dial(&address(silent.local_addr().unwrap().port()), &options).await;
    let said = dialled.map(drop).unwrap_err().to_string();
    assert!(said.contains("did not let us in within 1 s"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn something_else_that_listens_is_no_ssh_server() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut client, _) = other.accept().unwrap();
        client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
    });
    let said = dial(&address(port), &DialOptions::default()).await.map(drop).unwrap_err().to_string();
    assert!(said.contains("no SSH connection to 127.0.0.1"), "{said}");
}
