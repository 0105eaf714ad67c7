//! `ssh://` links against a real OpenSSH server on loopback.

#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wandisk_link::{Address, DialOptions, dial};

/// A server with a host key and an accepted user key of its own, and an ssh configuration that knows both.
struct Sshd {
    server: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn keygen(path: &Path, kind: &str) {
    let done =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(done.success());
}

impl Sshd {
    fn start(host_key_kind: &str) -> Sshd {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        keygen(&at("host"), host_key_kind);
        keygen(&at("user"), "ed25519");
        fs::copy(at("user.pub"), at("authorized")).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("/usr/sbin/sshd")
            .args([
                "-D",
                "-e",
                "-f",
                "/dev/null",
                "-o",
                "StrictModes=no",
                "-o",
                "UsePAM=no",
                "-p",
                &port.to_string(),
            ])
            .args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"])
            .arg("-h")
            .arg(at("host"))
            .arg("-o")
            .arg(format!("AuthorizedKeysFile={}", at("authorized").display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Sshd { server, dir, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        sshd.know(&fs::read_to_string(sshd.path("host.pub")).unwrap());
        sshd.configure("");
        sshd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Files a host key as known.
    fn know(&self, public_key: &str) {
        fs::write(self.path("known"), format!("[127.0.0.1]:{} {public_key}", self.port)).unwrap();
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "Host *\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n{more}",
            self.path("user").display(),
            self.path("known").display()
        );
        fs::write(self.path("config"), text).unwrap();
    }

    fn address(&self) -> Address {
        Address::parse(&format!("ssh://127.0.0.1:{}", self.port)).unwrap()
    }

    /// The far program is a script of the test; `serve --stdio` are its arguments.
    fn options(&self, script: &str) -> DialOptions {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("far");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        DialOptions {
            remote_home: Some("/a home".to_owned()),
            remote_wandisk: Some(path.display().to_string()),
            ssh_config: Some(self.path("config")),
        }
    }

    async fn refusal(&self) -> String {
        dial(&self.address(), &self.options("cat")).await.map(drop).unwrap_err().to_string()
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_at_once_and_arrive_whole() {
    let sshd = Sshd::start("ed25519");
    let stream = dial(&sshd.address(), &sshd.options("exec cat")).await.unwrap();
    let sent = noise(64 << 20);
    let expected = sent.clone();
    let (mut read, mut write) = tokio::io::split(stream);
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write
    });
    let mut back = vec![0; expected.len()];
    read.read_exact(&mut back).await.unwrap();
    assert!(back == expected, "64 MiB came back changed");
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_command_keeps_its_words_and_its_errors_come_here() {
    let sshd = Sshd::start("ecdsa");
    let mut stream =
        dial(&sshd.address(), &sshd.options("echo \"$2|$3|$4\"; echo why >&2; sleep 1")).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "/a home|serve|--stdio\n");
    assert_eq!(stream.stderr().text(), "why\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start("ed25519");
    fs::write(sshd.path("known"), "").unwrap();
    let said = sshd.refusal().await;
    assert!(said.contains("is not known (SHA256:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_loudly() {
    let sshd = Sshd::start("ed25519");
    keygen(&sshd.path("other"), "ed25519");
    sshd.know(&fs::read_to_string(sshd.path("other.pub")).unwrap());
    let said = sshd.refusal().await;
    assert!(said.contains("HAS CHANGED"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_noted_where_the_users_settings_say_so() {
    let sshd = Sshd::start("ed25519");
    fs::write(sshd.path("known"), "").unwrap();
    sshd.configure(" StrictHostKeyChecking accept-new\n");
    dial(&sshd.address(), &sshd.options("cat")).await.unwrap();
    sshd.configure("");
    dial(&sshd.address(), &sshd.options("cat")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_accepted_is_named() {
    let sshd = Sshd::start("ed25519");
    fs::write(sshd.path("authorized"), "").unwrap();
    let said = sshd.refusal().await;
    assert!(said.contains("accepts none of the keys") && said.contains("/user"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_over_there_says_so() {
    let sshd = Sshd::start("ed25519");
    let options = DialOptions { remote_wandisk: Some("/no/such/wandisk".to_owned()), ..sshd.options("") };
    let mut stream = dial(&sshd.address(), &options).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(stream.stderr().text().contains("/no/such/wandisk"), "{:?}", stream.stderr().text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_is_left_to_the_ssh_program() {
    let sshd = Sshd::start("ed25519");
    sshd.configure(" ProxyCommand nc 127.0.0.1 %p\n");
    // Whatever the proxy does, it was the ssh program that was asked to do it.
    let mut stream = dial(&sshd.address(), &sshd.options("exec cat")).await.unwrap();
    stream.write_all(b"x").await.ok();
    let mut byte = [0];
    let n = stream.read(&mut byte).await.unwrap();
    assert!(n == 1 || !stream.stderr().text().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_ends_the_stream() {
    let sshd = Sshd::start("ed25519");
    let mut stream = dial(&sshd.address(), &sshd.options("kill -9 $PPID; sleep 5")).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    assert!(all.is_empty());
}

#[tokio::test]
async fn nobody_there_is_said_with_host_and_port() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = Address::parse(&format!("ssh://127.0.0.1:{port}")).unwrap();
    let said = dial(&address, &DialOptions::default()).await.map(drop).unwrap_err().to_string();
    assert!(said.contains(&format!("127.0.0.1 port {port} could not be reached")), "{said}");
}
