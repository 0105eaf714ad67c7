//! Random words: some of them make sense, few in this order; and commands in order that make no sense together ([`grammar`]).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Output;

use manager::agent::store::Store;

use crate::world::{AGENT, World, script};
use crate::{from_environment, grammar, known, seed, told};

/// Some seconds.
const RUNS: u64 = 120;

/// Those that stay until they are ended (`dashboard`, a watcher, a switch) are left out.
const VERBS: [&str; 30] = [
    "create",
    "launch",
    "kill",
    "purge",
    "sync",
    "stay",
    "home",
    "ls",
    "status",
    "view",
    "migrate",
    "suspend",
    "resume",
    "cancel",
    "cd",
    "auto",
    "log",
    "net",
    "site",
    "profile",
    "host",
    "attend",
    "help",
    "fly",
    "",
    "-",
    "check",
    "show",
    "replay",
    "supervise",
];
const FLAGS: [&str; 36] = [
    "--json",
    "--json",
    "--home",
    "--wandisk",
    "--yes",
    "--here",
    "--site",
    "--for",
    "--to",
    "--at",
    "--print",
    "--force",
    "--role",
    "--profile",
    "--lines",
    "--stdio",
    "--image",
    "--disk",
    "--size",
    "--memory",
    "--vcpus",
    "--kernel",
    "--cdrom",
    "--uefi",
    "--initrd",
    "--append",
    "--cpu",
    "--accelerator",
    "--map",
    "--svg",
    "--strict",
    "--toml",
    "--migration",
    "--speedup",
    "--help",
    "--",
];
const VALUES: [&str; 44] = [
    AGENT,
    AGENT,
    AGENT,
    "a",
    "b",
    "nobody",
    "work",
    "../x",
    "-1",
    "0",
    "1",
    "18446744073709551616",
    "512M",
    "1T",
    "1.5G",
    "10s",
    "1000000h",
    "-5min",
    "off",
    "advise",
    "auto",
    "tcg",
    "kvm",
    "compute=b",
    "desk=a",
    "=b",
    "x=y=z",
    "builtin",
    "tuned",
    "junk",
    "/dev/null",
    "/nowhere",
    ".",
    "é☃",
    " ",
    "ls",
    "forward",
    "tcp",
    "8022:22",
    "anchor",
    "10.1.0.0/16=b",
    "unforward",
    "'\"$(x)\\",
    "a\nb",
];
/// How a command begins that might have been meant.
const BEGUN: [&[&str]; 16] = [
    &["status", AGENT],
    &["log", AGENT, "--lines"],
    &["migrate", AGENT, "--to"],
    &["resume", AGENT, "--at"],
    &["sync", AGENT, "--site"],
    &["stay", AGENT, "--for"],
    &["home", AGENT, "--to"],
    &["auto", AGENT],
    &["net", AGENT],
    &["create", "x", "--size", "1M", "--vcpus", "1", "--memory"],
    &["create", "x", "--memory", "64M", "--vcpus", "1"],
    &["profile", "check"],
    &["profile", "replay", "builtin"],
    &["site", "check"],
    &["site"],
    &["purge", "nobody", "--yes"],
];

struct Nonsense(fastrand::Rng);

impl Nonsense {
    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.0.usize(..all.len())]
    }

    fn word(&mut self) -> OsString {
        match self.0.u8(..20) {
            0..8 => self.of(&VALUES).into(),
            8..15 => self.of(&FLAGS).into(),
            15..18 => self.of(&VERBS).into(),
            // Longer than any name, and what is no text.
            18 => "long".repeat(self.0.usize(20..2000)).into(),
            _ => OsString::from_vec((0..self.0.usize(1..12)).map(|_| self.0.u8(1..)).collect()),
        }
    }

    fn line(&mut self) -> Vec<OsString> {
        if self.0.u8(..4) > 0 {
            let mut words = grammar::line(&mut self.0);
            if self.0.bool() {
                words.insert(0, "--json".into());
            }
            return words;
        }
        let mut words: Vec<OsString> = if self.0.bool() {
            self.of_begun().iter().map(Into::into).collect()
        } else {
            vec![self.of(&VERBS).into()]
        };
        for _ in 0..self.0.usize(..5) {
            words.push(self.word());
        }
        if self.0.u8(..4) == 0 && !words.is_empty() {
            let at = self.0.usize(..words.len());
            match self.0.u8(..3) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, words[at].clone()),
                _ => words.rotate_left(at),
            }
        }
        if self.0.bool() {
            words.insert(0, "--json".into());
        }
        words
    }

    fn of_begun(&mut self) -> &'static [&'static str] {
        BEGUN[self.0.usize(..BEGUN.len())]
    }
}

/// A command at site `a`, with these words.
fn run(world: &World, words: &[OsString]) -> Output {
    let mut command = std::process::Command::new("timeout");
    command.args(["--signal=KILL", "100"]).arg(env!("CARGO_BIN_EXE_snowbird")).args(words);
    command.env("SNOWBIRD_HOME", world.home("a")).env("SNOWBIRD_WANDISK", world.file("wandisk-a"));
    let path = format!("{}:{}", world.file("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("SNOWBIRD_VIEWER", "true");
    command.current_dir(world.file("bin")).stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn whatever_words_it_is_given_it_says_a_sentence_and_ends() {
    let world = World::new();
    // No machine runs here: there is no QEMU, and what is asked of one fails.
    std::fs::create_dir(world.file("bin")).unwrap();
    // (Which machines it knows it says.)
    script(
        &world.file("bin").join("qemu-system-x86_64"),
        "[ \"$*\" = \"-machine help\" ] || exit 1
         echo Supported machines are:; echo 'q35 (alias of pc-q35-7.2)'; echo pc-q35-7.2",
    );
    std::fs::write(world.file("bin").join("junk"), b"version = 1\n\xff\x00[[".repeat(40)).unwrap();
    std::fs::write(world.file("bin").join("empty"), "").unwrap();
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/alternating.jsonl");
    std::fs::copy(trace, world.file("bin").join("trace.jsonl")).unwrap();
    known(&world);
    let mut nonsense = Nonsense(fastrand::Rng::with_seed(seed()));
    let mut codes = [0; 3];
    for _ in 0..from_environment("SNOWBIRD_COMMANDS_RUNS").unwrap_or(RUNS) {
        let words = nonsense.line();
        let output = run(&world, &words);
        told::well(&words, &output);
        codes[usize::try_from(output.status.code().unwrap()).unwrap()] += 1;
        // (Purged, it is made anew.)
        if Store::open(&world.home("a")).unwrap().agent(AGENT).is_err() {
            known(&world);
        }
    }
    eprintln!("ended with 0, 1, 2: {codes:?}");
    told::sound(&world, "a");
    // (A few that are run again prove nothing.)
    let all: u64 = codes.iter().sum();
    assert!(all < RUNS || codes[2] * 2 < all, "most does not get past the parser: {codes:?}");
    // And the agent can be asked for.
    let output = run(&world, &["--json", "ls"].map(OsString::from));
    assert!(output.status.success(), "{output:?}");
}
