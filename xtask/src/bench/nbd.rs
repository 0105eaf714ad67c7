//! The NBD export of WANDisk beside `nbdkit file` and `qemu-nbd`, with fio's nbd engine.
//!
//! With one request at a time a run mostly says where the scheduler happened to put the two ends: on one processor they take turns, on
//! two each has to wake the other's, which costs several times the request. So these rows are measured again in either place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Runs;
use super::fio::{self, Peer, Until};
use crate::{process, setup, workspace};

const SIZE: u64 = 1 << 30;

/// A server that is ended when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn serve(program: &str, words: &[&str], socket: &Path) -> Result<Server> {
    let child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let server = Server(child);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        if Instant::now() > deadline {
            bail!("{program} does not listen");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// The processor that fio runs on where that is fixed.
const FIOS: usize = 0;

/// Puts all threads of a server on one processor; those that it starts stay there.
fn place(server: u32, processor: usize) -> Result<()> {
    let words = ["--all-tasks", "--cpu-list", "--pid", &processor.to_string(), &server.to_string()];
    process::output(Command::new("taskset").args(words)).map(drop)
}

/// Writes files back, has the page cache forget them, and reads each in from its beginning to its end.
fn read_anew(files: &[PathBuf]) -> Result<()> {
    process::output(&mut Command::new("sync"))?;
    let read = |file: &PathBuf| {
        let from = format!("if={}", file.display());
        process::output(Command::new("dd").args([&from, "iflag=nocache", "count=0"]))?;
        process::output(Command::new("dd").args([&from, "of=/dev/null", "bs=1M"])).map(drop)
    };
    files.iter().try_for_each(read)
}

/// Measures the rows of one request at a time with the two ends in either place.
fn by_place(ours: &Peer, others: &[Peer], servers: &[u32], runs: &Runs) -> Result<()> {
    let rows = fio::one_at_a_time(&runs.rows);
    let processors = std::thread::available_parallelism()?.get();
    let places = [("one processor", FIOS), ("two processors", FIOS + 1)];
    for (name, processor) in
        places.into_iter().filter(|(_, processor)| *processor < processors && !rows.is_empty())
    {
        servers.iter().try_for_each(|server| place(*server, processor))?;
        let placed = |peer: &Peer| {
            let words = peer.words.iter().cloned().chain([format!("--cpus_allowed={FIOS}")]);
            Peer { words: words.collect(), ..peer.clone() }
        };
        println!("\nfio and the server on {name}:");
        let others: Vec<Peer> = others.iter().map(placed).collect();
        fio::compare_rows(rows.clone(), &placed(ours), &others, runs)?;
    }
    Ok(())
}

fn peer(name: &str, socket: &Path, server: u32) -> Peer {
    let uri = format!("--uri=nbd+unix:///?socket={}", socket.display());
    let words = vec!["--ioengine=nbd".to_owned(), uri, format!("--size={SIZE}")];
    Peer { name: name.to_owned(), words, server: Some(server) }
}

/// Measures.
pub(super) fn measure(runs: &Runs) -> Result<()> {
    setup::ensure_all()?;
    process::run(workspace::cargo().args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    let dir = workspace::target().join("bench-nbd");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let at = |name: &str| -> PathBuf { dir.join(name) };
    let text = |path: &Path| path.display().to_string();
    // The same bytes behind all three.
    let file = at("file.img");
    process::output(
        Command::new("dd")
            .args(["if=/dev/urandom", "bs=1M", "count=1024", "conv=fsync"])
            .arg(format!("of={}", text(&file))),
    )?;
    let second = at("second.img");
    process::output(Command::new("cp").arg(&file).arg(&second))?;
    let program = workspace::target().join("release/wandisk");
    let wandisk =
        |args: &[&str]| process::output(Command::new(&program).arg("--home").arg(at("home")).args(args));
    wandisk(&["init", "--site", "bench"])?;
    wandisk(&["create", "d", "--from", &text(&file)])?;
    let (ours, kit, qemu) = (at("ours.sock"), at("nbdkit.sock"), at("qemu.sock"));
    let attached = wandisk(&["attach", "d", "--json", "--nbd", &format!("unix:{}", text(&ours))])?;
    let attached: Value = serde_json::from_str(&attached).context("attach told no JSON")?;
    let keeper = attached["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let kit_server = serve("nbdkit", &["-f", "-U", &text(&kit), "file", &text(&file)], &kit)?;
    let qemu_server =
        serve("qemu-nbd", &["-t", "-f", "raw", "-e", "8", "-k", &text(&qemu), &text(&second)], &qemu)?;
    let servers = [keeper.context("attach told no keeper")?, kit_server.0.id(), qemu_server.0.id()];
    let ours = peer("wandisk", &ours, servers[0]);
    let others = [peer("nbdkit file", &kit, servers[1]), peer("qemu-nbd", &qemu, servers[2])];
    let all_of_it = |words: &str| {
        std::iter::once(&ours).chain(&others).try_for_each(|peer| {
            let row = fio::rows(&[words.to_owned()]);
            row.into_iter().try_for_each(|row| fio::once(peer, row, Until::Requests(SIZE >> 17)).map(drop))
        })
    };
    // Every chunk marked and every block allocated, for all of them. Then the page cache is filled anew, by one reader: in how large
    // pieces it was filled decides what a small write costs, and by each server's own reads they differed from run to run.
    let result = all_of_it("sequential write")
        .and_then(|()| read_anew(&[file, second, at("home").join("disks/d/data.img")]))
        .and_then(|()| fio::compare(&ours, &others, runs))
        .and_then(|()| by_place(&ours, &others, &servers, runs));
    wandisk(&["detach", "d"])?;
    fs::remove_dir_all(&dir)?;
    result
}
