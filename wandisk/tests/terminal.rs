//! What a person at a terminal sees, and what stays when the terminal goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

/// Runs a shell command in a terminal of its own until it has said a word, hangs the terminal up, and prints how the
/// shell ended and what was on the screen.
const IN_A_TERMINAL: &str = "
import os, pty, sys
command, word = sys.argv[1], sys.argv[2].encode()
pid, screen = pty.fork()
if pid == 0:
    os.execvp('sh', ['sh', '-c', command])
seen = b''
while word not in seen:
    try:
        part = os.read(screen, 4096)
    except OSError:
        break
    seen += part
os.close(screen)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(seen.decode(errors='replace'))
";

/// The shell's end (negative: a signal), and the screen.
fn in_a_terminal(command: &str, word: &str) -> (i32, String) {
    let said = tool("python3", &["-c", IN_A_TERMINAL, command, word]);
    let (code, screen) = said.split_once('\n').unwrap();
    (code.parse().unwrap(), screen.to_owned())
}

fn wandisk(site: &Site, args: &str) -> String {
    format!("{} --home {} {args}", program().display(), site.home().display())
}

#[test]
fn an_attached_disk_outlives_the_terminal_it_was_attached_in() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "4M"]);
    let attach = format!("{}; exec sleep 100", wandisk(&a, "attach d --nbd"));
    let (code, screen) = in_a_terminal(&attach, "nbd.sock");
    assert_eq!(code, -1, "the hang-up reached the shell: {screen}");
    let uri = screen.lines().find(|line| line.starts_with("nbd+unix")).unwrap();
    let export = Export::new(uri.trim());
    export.write(3, 0, MIB);
    export.reads(3, 0, MIB);
    a.detach("d");
}

#[test]
fn a_sync_shows_how_far_it_is() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 2, 80);
    a.ok(["create", "d", "--from", image.name()]);
    // Slow enough for a rate and a time that is left.
    let (_, screen) = in_a_terminal(&wandisk(&a, "sync d --site b --rate 1M"), " left");
    assert!(screen.contains("chunks") && screen.contains("/16") && screen.contains("/s"), "{screen}");

    a.ok(["sync", "d", "--site", "b"]);
    assert_eq!(b.chunks("d", "held"), 16);
    a.attach("d").write(1, 0, 2 * MIB);
    a.detach("d");
    let output = a.run(["sync", "d", "--site", "b"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("chunks: 1 of 16"), "{}", shown(&output));

    a.attach("d").write(2, 0, 2 * MIB);
    a.detach("d");
    let output = a.run(["--json", "sync", "d", "--site", "b"]);
    let first: Value = serde_json::from_slice(output.stderr.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert!(first["progress"]["total"].is_u64(), "{first}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&report["chunks"]), 16);
}
