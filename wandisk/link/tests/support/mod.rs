//! A real OpenSSH server on loopback for one test, with keys and a configuration of its own.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod gate;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wandisk_link::{Address, DialOptions, Stream, dial};

/// A server with a host key and an accepted user key of its own, and an ssh configuration that knows both.
pub(crate) struct Sshd {
    server: Child,
    agent: Option<Child>,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

pub(crate) fn keygen(path: &Path, kind: &str) {
    keygen_locked(path, kind, "");
}

pub(crate) fn keygen_locked(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path);
    if !passphrase.is_empty() {
        // The old form, which says that it is locked in another way.
        command.args(["-m", "PEM"]);
    }
    assert!(command.status().unwrap().success());
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Sshd {
    pub(crate) fn start(host_key_kind: &str) -> Sshd {
        Sshd::start_with(host_key_kind, &[])
    }

    /// Starts a server with more `-o` options.
    pub(crate) fn start_with(host_key_kind: &str, options: &[&str]) -> Sshd {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        keygen(&at("host"), host_key_kind);
        keygen(&at("user"), "ed25519");
        fs::copy(at("user.pub"), at("authorized")).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authorized = format!("AuthorizedKeysFile={}", at("authorized").display());
        let fixed = ["StrictModes=no", "UsePAM=no", "ListenAddress=127.0.0.1", "PidFile=none"];
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
            .arg(at("host"))
            .args(fixed.iter().chain(options).flat_map(|option| ["-o", option]))
            .args(["-o", &authorized])
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Sshd { server, agent: None, dir, port };
        until("sshd does not listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sshd.know(&sshd.text("host.pub"));
        sshd.configure("");
        sshd
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Files a host key as known, instead of what was.
    pub(crate) fn know(&self, public_key: &str) {
        self.know_at(self.port, public_key);
    }

    fn know_at(&self, port: u16, public_key: &str) {
        self.write("known", &format!("[127.0.0.1]:{port} {public_key}"));
    }

    pub(crate) fn configure(&self, more: &str) {
        self.configure_identity("user", &format!("IdentitiesOnly yes\n{more}"));
    }

    pub(crate) fn configure_identity(&self, identity: &str, more: &str) {
        let text = format!(
            "Host *\nIdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n{more}",
            self.path(identity).display(),
            self.path("known").display()
        );
        self.write("config", &text);
    }

    /// Starts an agent with these keys, in this order; gives the line of the configuration that names it.
    pub(crate) fn agent(&mut self, keys: &[&str]) -> String {
        let socket = self.path("agent");
        self.agent = Some(
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap(),
        );
        until("the agent does not listen", || socket.exists());
        for key in keys {
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg(self.path(key))
                .env("SSH_AUTH_SOCK", &socket)
                .stderr(Stdio::null())
                .status();
            assert!(added.unwrap().success(), "{key}");
        }
        format!("IdentityAgent {}\n", socket.display())
    }

    pub(crate) fn address(&self) -> Address {
        address(self.port)
    }

    /// The far program is a script of the test; `serve --stdio` are its arguments.
    pub(crate) fn options(&self, script: &str) -> DialOptions {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("far");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        DialOptions {
            remote_home: Some("/a home".to_owned()),
            remote_wandisk: Some(path.display().to_string()),
            ssh_config: Some(self.path("config")),
            ..DialOptions::default()
        }
    }

    /// A stream to a script.
    pub(crate) async fn dial(&self, script: &str) -> Stream {
        dial(&self.address(), &self.options(script)).await.unwrap()
    }

    /// A stream to a script through a gate.
    pub(crate) async fn dial_through(&self, gate: &gate::Gate, script: &str) -> Stream {
        self.know_at(gate.port, &self.text("host.pub"));
        dial(&address(gate.port), &self.options(script)).await.unwrap()
    }

    /// What a dial that must fail says.
    pub(crate) async fn refusal(&self) -> String {
        dial(&self.address(), &self.options("cat")).await.map(drop).unwrap_err().to_string()
    }
}

pub(crate) fn address(port: u16) -> Address {
    Address::parse(&format!("ssh://127.0.0.1:{port}")).unwrap()
}

/// Bytes that no compression and no mix-up leaves as they are.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .collect()
}
