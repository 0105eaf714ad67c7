//! What a peer may do is on the far site's command line: one disk, one site, reading only; over a real sshd too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use framework::*;
use rustix::process::Signal;

/// `near` reaches `far` through a `serve` with these options.
fn knows_restricted(world: &World, near: &Site, far: &Site, options: &str) {
    let path = world.file(&format!("serve-{}", far.name()));
    let program = env!("CARGO_BIN_EXE_wandisk");
    let text = format!("#!/bin/sh\nexec {program} --home {} serve --stdio {options}\n", far.home().display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    near.ok(["site", "add", far.name(), &format!("cmd:{} serve --stdio", path.display())]);
}

/// `a` has a disk with some bytes, `b` a complete replica of it, and no keeper of either knows the other.
fn disk_and_replica(world: &World) -> (Site, Site, String) {
    let (a, b) = (world.site("a"), world.site("b"));
    a.knows(&b);
    a.ok(["create", "d", "--size", "4M"]);
    let export = a.attach("d");
    export.write(1, 0, MIB);
    a.detach("d");
    a.ok(["sync", "d", "--site", "b"]);
    let uuid = a.status("d")["uuid"].as_str().unwrap().to_owned();
    // From here on a does not reach b: what b asks comes through its own link.
    a.ok(["site", "rm", "b"]);
    forget_each_other(&a, &b);
    (a, b, uuid)
}

fn forget_each_other(a: &Site, b: &Site) {
    a.kill_keeper("d");
    b.kill_keeper("d");
}

fn write_at(site: &Site, value: u8) {
    let export = site.attach("d");
    export.write(value, 0, MIB);
    site.detach("d");
}

/// The log of a disk's keeper at a site has a line with all of these.
fn is_logged(file: &std::path::Path, words: &[&str]) {
    eventually(&format!("{words:?} in {}", file.display()), SOON, || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    });
}

#[test]
fn a_key_for_reading_reads_and_does_nothing_else() {
    let world = World::new();
    let (a, b, uuid) = disk_and_replica(&world);
    write_at(&a, 2);
    knows_restricted(&world, &b, &a, &format!("--disk {uuid} --mode ro"));
    b.ok(["sync", "d", "--site", "b"]);
    assert_eq!(b.chunks("d", "stale") + b.chunks("d", "absent"), 0);
    b.ok(["verify", "d", "--site", "a"]);
    b.fails(["move", "d", "--to", "b"]).says(&["may only read", "hand the disk over", "--mode rw"]);
    b.fails(["move", "d", "--to", "b", "--force"]).says(&["may only read"]);
    is_logged(&a.disk_file("d", "keeper.log"), &["a session began", "site=\"b\"", "mode=\"ro\""]);
    b.kill_keeper("d");
    is_logged(
        &a.disk_file("d", "keeper.log"),
        &["a session ended", "site=\"b\"", "mode=\"ro\"", "refused=3", &uuid],
    );
    assert!(a.is_resident("d"));
    write_at(&a, 3);
}

#[test]
fn a_key_that_may_only_read_holds_no_writes() {
    let world = World::new();
    let (a, b, _) = disk_and_replica(&world);
    knows_restricted(&world, &b, &a, "--mode ro");
    let export = a.attach("d");
    export.write(5, 0, MIB);
    // Attached and written to: the table never settles, so the last pass would hold writes.
    b.ok(["sync", "d", "--site", "b", "--no-freeze"]);
    b.fails(["move", "d", "--to", "b"]).says(&["may only read"]);
    export.write(6, 0, 4096);
    a.detach("d");
}

#[test]
fn a_key_is_for_one_disk_and_one_site() {
    let world = World::new();
    let (a, b, uuid) = disk_and_replica(&world);
    let other = "6f0c1a52-6d83-4a1e-9f0f-111111111111";
    knows_restricted(&world, &b, &a, &format!("--disk {other}"));
    b.fails(["sync", "d", "--site", "b"]).says(&["this key is for disk", other, &uuid]);
    b.ok(["site", "check", "a"]);
    b.ok(["site", "rm", "a"]);
    b.kill_keeper("d");
    knows_restricted(&world, &b, &a, &format!("--site {other}"));
    b.fails(["sync", "d", "--site", "b"]).says(&["this key is for site", other]);
    b.fails(["site", "check", "a"]).says(&["this key is for site"]);
    is_logged(&a.home().join("serve.log"), &["a peer was not served", "this key is for site", other]);
}

/// The keeper has the dialler's pipes itself, which a `serve` that is gone leaves open.
#[test]
fn a_serve_that_is_killed_ends_its_session() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    a.knows(&b);
    a.ok(["create", "d", "--size", "4M"]);
    let export = a.attach("d");
    export.write(1, 0, MIB);
    a.ok(["sync", "d", "--site", "b"]);
    // So that its keeper stays.
    let _standby = b.attach_with("d", &["--standby"]);
    let serves = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"serve")
    };
    let serving: Vec<u32> = processes_in(b.home()).into_iter().filter(serves).collect();
    assert!(!serving.is_empty());
    serving.into_iter().for_each(|pid| kill(pid, Signal::KILL));
    is_logged(&b.disk_file("d", "keeper.log"), &["a session ended", "the far side ended it"]);
    export.write(2, 0, MIB);
    a.ok(["sync", "d", "--site", "b"]);
    a.detach("d");
    b.detach("d");
}

#[test]
fn a_key_for_reading_has_no_replica_made() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    a.ok(["create", "d", "--size", "1M"]);
    knows_restricted(&world, &a, &b, "--mode ro");
    a.fails(["move", "d", "--to", "b"]).says(&["may not have a replica", "made here"]);
    assert!(!b.has_folder("d"));
    is_logged(&b.home().join("serve.log"), &["was refused", "site=\"a\"", "may not have a replica"]);
}

/// What a site may do comes from this side, whichever side dials.
#[test]
fn a_site_that_is_dialled_may_be_kept_to_reading_too() {
    let world = World::new();
    let (a, b, _) = disk_and_replica(&world);
    let serve = format!("cmd:{} --home {} serve --stdio", program().display(), b.home().display());
    a.ok(["site", "add", "b", "--mode", "ro", &serve]);
    let listed = a.json(["site", "ls"]);
    assert_eq!((&listed["sites"][0]["mode"], &listed["sites"][0]["name"]), (&json!("ro"), &json!("b")));
    let export = a.attach("d");
    export.write(2, 0, MIB);
    // It reads what it needs over the link that a dialled.
    a.ok(["sync", "d", "--site", "b", "--no-freeze"]);
    assert_eq!(b.chunks("d", "stale") + b.chunks("d", "absent"), 0);
    // And asks for no more over it.
    b.fails(["move", "d", "--to", "b", "--force"]).says(&["may only read", "hand the disk over", "site add"]);
    assert!(a.is_resident("d"));
    is_logged(&a.disk_file("d", "keeper.log"), &["a request was refused", "site=\"b\"", "may only read"]);
    a.detach("d");
    // What a asks of it is a's to ask; to bring the disk back, b would have to hand it over.
    a.ok(["move", "d", "--to", "b"]);
    a.fails(["move", "d", "--to", "a"]).says(&["may only read", "push rows"]);
    assert!(b.is_resident("d"));
    a.ok(["site", "rm", "b"]);
    a.ok(["site", "add", "b", &serve]);
    assert_eq!(a.json(["site", "ls"])["sites"][0]["mode"], "rw");
    forget_each_other(&a, &b);
    a.ok(["move", "d", "--to", "a"]);
    write_at(&a, 3);
}

/// A real OpenSSH server on loopback, with one key that it accepts by the line that `authorize` printed.
struct Sshd {
    server: Child,
    world: PathBuf,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn keygen(path: &std::path::Path) -> String {
    tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "a peer", "-f", path.to_str().unwrap()]);
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

impl Sshd {
    fn start(world: &World, authorize: impl FnOnce(&str) -> String) -> Sshd {
        let host = keygen(&world.file("host"));
        let line = authorize(&keygen(&world.file("peer")));
        std::fs::write(world.file("authorized"), format!("{line}\n")).unwrap();
        std::fs::create_dir_all("/run/sshd").ok();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(world.file("known"), format!("[127.0.0.1]:{port} {host}")).unwrap();
        let authorized = format!("AuthorizedKeysFile={}", world.file("authorized").display());
        let options = [
            "StrictModes=no",
            "UsePAM=no",
            "ListenAddress=127.0.0.1",
            "PidFile=none",
            "AcceptEnv=*",
            &authorized,
        ];
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
            .arg(world.file("host"))
            .args(options.iter().flat_map(|option| ["-o", option]))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Sshd { server, world: world.path().to_owned(), port };
        eventually("sshd listens", SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sshd
    }

    /// The words of an ssh client that logs in.
    fn client(&self) -> String {
        let at = |name: &str| self.world.join(name).display().to_string();
        format!(
            "ssh -F none -p {} -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o SetEnv=WANDISK_SSH_CONFIG=/theirs -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none 127.0.0.1",
            self.port,
            at("peer"),
            at("known")
        )
    }

    /// Runs a command at the far end, as somebody who has the key may try.
    fn run(&self, command: &str) -> std::process::Output {
        let words = format!("{} {command}", self.client());
        Command::new("sh").args(["-c", &words]).stdin(Stdio::null()).output().unwrap()
    }
}

#[test]
fn an_authorized_key_reads_over_ssh_and_gets_no_shell() {
    let world = World::new();
    let (a, b, uuid) = disk_and_replica(&world);
    write_at(&a, 2);
    let sshd = Sshd::start(&world, |key| a.ok(["authorize", "--disk", "d", "--site", &site_uuid(&b), key]));
    b.ok(["site", "add", "a", &format!("cmd:{}", sshd.client())]);
    b.ok(["site", "check", "a"]);
    b.ok(["sync", "d", "--site", "b"]);
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", a.keeper("d"))).unwrap();
    assert!(environment.contains("HOME=") && !environment.contains("/theirs"), "{environment:?}");
    b.fails(["move", "d", "--to", "b"]).says(&["may only read"]);
    for command in ["ls /", "cat /etc/passwd", "'sh -c id'", "wandisk --home /tmp ls"] {
        let output = sshd.run(command);
        assert!(!output.status.success() && output.stdout.is_empty(), "{command}: {}", shown(&output));
        assert!(shown(&output).contains("`wandisk serve --stdio` only"), "{command}: {}", shown(&output));
    }
    // Asking for more than the line gives changes nothing.
    b.ok(["site", "rm", "a"]);
    b.kill_keeper("d");
    b.ok(["site", "add", "a", "--remote-home", "/elsewhere", &format!("cmd:{}", sshd.client())]);
    b.ok(["sync", "d", "--site", "b"]);
    b.kill_keeper("d");
    is_logged(
        &a.disk_file("d", "keeper.log"),
        &["a session ended", "mode=\"ro\"", "ssh=\"127.0.0.1 ", &uuid],
    );
}

#[test]
fn a_key_for_all_moves_the_disk_over_ssh() {
    let world = World::new();
    let (a, b, _) = disk_and_replica(&world);
    let sshd = Sshd::start(&world, |key| a.ok(["authorize", "--disk", "d", "--mode", "rw", key.trim()]));
    b.ok(["site", "add", "a", &format!("cmd:{}", sshd.client())]);
    b.ok(["move", "d", "--to", "b"]);
    assert!(b.is_resident("d"));
    write_at(&b, 9);
}

fn site_uuid(site: &Site) -> String {
    let text = std::fs::read_to_string(site.home().join("site.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_text_that_is_no_key_is_refused() {
    let world = World::new();
    let a = world.site("a");
    let key = keygen(&world.file("k"));
    for (text, says) in [
        (format!("{key}{key}"), "line break"),
        (format!("command=\"sh\" {key}"), "begins with none of the kinds"),
        ("ssh-ed25519 AAAA".to_owned(), "bytes are not those"),
    ] {
        let failed = a.fails(["authorize", &text]);
        failed.says(&[says, "not a public key"]);
        assert_eq!(failed.code, 2);
    }
    let from = a.fails(["authorize", "--from", "10.0.0.1\",command=\"sh", &key]);
    assert_eq!(from.says(&["--from"]).code, 2);
    a.fails(["authorize", "--disk", "none", &key]).says(&["\"none\"", "no disk"]);
    // In its words, as a shell takes it apart.
    let words: Vec<&str> = key.split_whitespace().collect();
    let line = a.ok([["authorize"].as_slice(), &words].concat());
    assert!(line.starts_with("restrict,command=\"") && line.contains("--mode ro\" ssh-ed25519 "), "{line}");
}

/// One that found a keeper which ends was once hung up on without a word, and its command failed.
#[test]
fn a_peer_that_meets_a_keeper_that_is_ending_gets_the_next_one() {
    let world = World::new();
    let [a, b] = ["a", "b"].map(|name| world.site(name));
    // b dials nobody: what a asks of it comes to its door.
    a.knows(&b);
    a.ok(["create", "d", "--size", "4M"]);
    a.ok(["sync", "d", "--site", "b"]);
    for round in 0..20 {
        b.kill_keeper("d");
        a.kill_keeper("d");
        b.status("d");
        let keeper = b.keeper("d");
        // Its peers wait at its door while it is stopped; what it does first when it goes on is chance.
        kill(keeper, Signal::STOP);
        let sync = a.start(["sync", "d", "--site", "b"]);
        eventually("a peer waits at the door", SOON, || waits_at_the_door(keeper));
        kill(keeper, Signal::TERM);
        kill(keeper, Signal::CONT);
        let output = sync.wait_with_output().unwrap();
        assert!(output.status.success(), "round {round}: {}", shown(&output));
    }
}

/// Is somebody connected to the socket at which a keeper listens, and not let in?
fn waits_at_the_door(keeper: u32) -> bool {
    let open = std::fs::read_dir(format!("/proc/{keeper}/fd")).unwrap();
    let sockets: Vec<String> = open
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    // Of a listening socket: state, connections that wait, most of them, path, inode.
    tool("ss", &["-xlH"]).lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(5).is_some_and(|inode| sockets.iter().any(|s| s == inode)) && fields[2] != "0"
    })
}
