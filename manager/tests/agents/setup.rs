//! A site behind a real sshd that has nothing of ours: it is told what it lacks, gets the programs, and an agent moves there. And
//! sites where that cannot be: each says why, and has what it had.

#[path = "../../../wandisk/link/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::world::{AGENT, World, beside, script, shown};
use support::Sshd;

/// Makes `b` a machine with a home of its own in which there is nothing, behind sshd; what is done there is done in a shell, after
/// this.
fn empty(world: &World, first: &str) -> Sshd {
    let (home, view) = (world.file("far"), world.file("view"));
    std::fs::create_dir_all(&home).unwrap();
    script(
        &view,
        &format!(
            "export HOME={} PATH=/usr/sbin:/usr/bin:/sbin:/bin\n{first}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"",
            home.display()
        ),
    );
    let sshd = Sshd::start_with("ed25519", &[&format!("ForceCommand={}", view.display())]);
    world.wandisk("a", &["site", "rm", "b"]);
    std::fs::remove_dir_all(world.home("b")).unwrap();
    let address = format!("cmd:ssh -F {} -p {} 127.0.0.1", sshd.path("config").display(), sshd.port);
    world.wandisk(
        "a",
        &["site", "add", "b", &address, "--remote-home", &world.home("b").display().to_string()],
    );
    sshd
}

fn programs(world: &World) -> PathBuf {
    world.file("far/.local/lib/snowbird")
}

/// What is in the folder of the programs over there.
fn there(world: &World) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(programs(world)).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// The real programs, without what debuggers want, and with something behind them.
fn real(world: &World, name: &str, more: &[u8]) -> String {
    let folder = world.file(name);
    std::fs::create_dir_all(&folder).unwrap();
    for program in ["wandisk", "snowbird"] {
        let stripped = folder.join(program);
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(beside(program)).status();
        assert!(strip.unwrap().success(), "strip (binutils) is needed");
        let bytes = [std::fs::read(&stripped).unwrap(), more.to_vec()].concat();
        std::fs::write(stripped, bytes).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn an_empty_site_behind_ssh_says_what_it_lacks_is_set_up_and_gets_the_agent() {
    let world = World::with_agent();
    let _sshd = empty(&world, "");
    let check = world.run("a", &["site", "check", "b"]);
    assert_eq!(check.status.code(), Some(1), "{}", shown(&check));
    let said: Value = serde_json::from_slice(&check.stdout).unwrap();
    for (n, program) in ["wandisk", "snowbird"].iter().enumerate() {
        assert!(said["lacks"][n]["what"].as_str().unwrap().contains(program), "{said}");
        assert!(said["lacks"][n]["hint"].as_str().unwrap().contains("site setup"), "{said}");
    }
    assert_eq!(there(&world), []);

    let said = world.ok("a", &["site", "setup", "b", "--from", &real(&world, "first", b"")]);
    assert_eq!(said["installed"]["folder"], programs(&world).display().to_string(), "{said}");
    let names = |world: &World| there(world).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&world), ["snowbird", "wandisk"]);
    let check = world.ok("a", &["site", "check", "b"]);
    assert!(check["link"]["rtt_ms"].is_f64() && check["inventory"]["qemu"].is_object(), "{check}");

    // So that it can ask home for chunks by itself.
    let at = world.file("").display().to_string();
    let (home, far) = (world.home("a").display().to_string(), beside("wandisk").display().to_string());
    let address = format!("cmd:env SNOWBIRD_WANDISK={at}/wandisk-a {at}/link");
    world.wandisk("b", &["site", "add", "a", &address, "--remote-home", &home, "--remote-wandisk", &far]);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");

    // Other programs come while those are in use.
    let said = world.ok("a", &["site", "setup", "b", "--from", &real(&world, "second", b"newer")]);
    assert_eq!(said["installed"]["there_before"], false);
    assert!(said["installed"]["running_older"].as_u64().unwrap() >= 1, "{said}");
    assert!(there(&world).iter().all(|(_, bytes)| bytes.ends_with(b"newer")));
    assert_eq!(names(&world), ["snowbird", "wandisk"]);
    world.judge.goes_on_at("b");
    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}

/// Programs that only say who they are, of some megabytes.
fn small(world: &World, name: &str) -> PathBuf {
    let folder = world.file(name);
    std::fs::create_dir_all(&folder).unwrap();
    for program in ["wandisk", "snowbird"] {
        let mut text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo {program} {name} && exit\necho no folder can be made >&2\nexit 1\n"
        )
        .into_bytes();
        text.resize(3 << 20, b'#');
        std::fs::write(folder.join(program), text).unwrap();
    }
    folder
}

/// Setup from this folder fails; gives the sentence and what to do.
#[track_caller]
fn refused(world: &World, from: &Path) -> (String, String) {
    let output = world.run("a", &["site", "setup", "b", "--from", from.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    (text("error"), text("hint"))
}

#[test]
fn a_site_that_cannot_take_the_programs_says_why_and_has_what_it_had() {
    let world = World::new();
    // A file system in the place of its home, which only what is done there sees.
    let mounted = |options: &str| {
        format!(
            "exec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs {options} far \"$HOME\" && exec sh -c \
             \"$SSH_ORIGINAL_COMMAND\"'"
        )
    };
    let _sshd = empty(&world, ". $HOME/../first");
    let first = |shell: &str| std::fs::write(world.file("first"), format!("{shell}\n")).unwrap();
    std::fs::create_dir_all(programs(&world)).unwrap();
    let (old, new) = (small(&world, "1"), small(&world, "2"));
    for program in ["wandisk", "snowbird"] {
        std::fs::copy(old.join(program), programs(&world).join(program)).unwrap();
    }
    let before = there(&world);
    let foreign = small(&world, "3");
    let mut elf = std::fs::read(beside("wandisk")).unwrap()[..4096].to_vec();
    elf[18] = if elf[18] == 183 { 62 } else { 183 };
    std::fs::write(foreign.join("wandisk"), elf).unwrap();
    let broken = small(&world, "4");
    std::fs::write(broken.join("snowbird"), "#!/no/such/loader\n").unwrap();
    let elsewhere = "--remote-wandisk";
    for (shell, from, sentence, hint) in [
        (mounted("-o size=1m"), &new, "MiB free in", elsewhere),
        (mounted("-o ro"), &new, "Read-only file system", elsewhere),
        ("trap '' XFSZ; ulimit -f 2048".to_owned(), &new, "could not take a program: ", elsewhere),
        // The line breaks off.
        (
            "head -c 2000000 | sh -c \"$SSH_ORIGINAL_COMMAND\"; exit".to_owned(),
            &new,
            "it came in part only",
            elsewhere,
        ),
        (":".to_owned(), &foreign, "and the programs are for Linux", "cargo xtask dist"),
        (":".to_owned(), &broken, "got snowbird but cannot run it", "cargo xtask dist"),
    ] {
        first(&shell);
        let (said, next) = refused(&world, from);
        assert!(said.contains(sentence), "{shell}: {said}");
        assert!(next.contains(hint), "{shell}: {next}");
        assert!(there(&world) == before, "{shell}: something was changed over there");
    }
    // The home of the site cannot be made: the programs are there, and that is said.
    first(":");
    std::fs::write(world.home("b"), "no folder").unwrap();
    let (said, next) = refused(&world, &new);
    assert!(said.contains("make the folder of a site") && next.contains("--remote-home"), "{said} {next}");
    std::fs::remove_file(world.home("b")).unwrap();
}
