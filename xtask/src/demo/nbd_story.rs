//! The main job over NBD: two sites in two folders, joined by a pipe. No root, no mount: bytes are compared.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::nbd::Client;
use super::story::{noise, share};
use super::table::{Table, bytes};
use crate::process;

const DISK: &str = "work";
/// Places that are overwritten at each site, and bytes at each.
const PLACES: u64 = 48;
const PATCH: usize = 20 << 10;

struct Site {
    name: &'static str,
    home: PathBuf,
    program: PathBuf,
}

impl Site {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&self.home).args(words).stdin(Stdio::null());
        command
    }

    fn wandisk(&self, words: &[&str]) -> Result<()> {
        println!("   {}$ wandisk {}", self.name, words.join(" "));
        process::run(&mut self.command(words))
    }

    fn ask(&self, words: &[&str]) -> Result<Value> {
        let text = process::output(self.command(words).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("wandisk {} gave no JSON", words.join(" ")))
    }

    fn attach(&self) -> Result<Client> {
        self.wandisk(&["attach", DISK, "--nbd"])?;
        Client::connect(&self.home.join("disks").join(DISK).join("nbd.sock"))
    }

    /// Payload bytes fetched so far.
    fn fetched(&self) -> Result<u64> {
        let status = self.command(&["status", DISK]).arg("--json").output()?;
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        Ok(status["fetch"]["bytes_in"].as_u64().unwrap_or(0))
    }

    fn share(&self) -> Result<String> {
        let status = self.ask(&["status", DISK])?;
        let number = |key: &str| status["chunks"][key].as_u64().unwrap_or(0);
        Ok(share(number("held"), number("written")))
    }
}

/// Overwrites places all over the disk, there and in the copy that says what is expected.
fn change(client: &mut Client, expected: &File, seed: u64) -> Result<()> {
    for i in 0..PLACES {
        let at = (client.size / PLACES * i + seed * 70_000) / 512 * 512;
        let data = noise(seed * 1000 + i, PATCH);
        client.write(at, &data)?;
        expected.write_all_at(&data, at)?;
    }
    client.flush()
}

fn compare(client: &mut Client, expected: &File) -> Result<()> {
    let (mut here, mut there) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < client.size {
        let n = usize::try_from((client.size - at).min(1 << 20))?;
        client.read(at, &mut here[..n])?;
        expected.read_exact_at(&mut there[..n], at)?;
        ensure!(here[..n] == there[..n], "the bytes at {at} differ");
        at += n as u64;
    }
    Ok(())
}

/// Tells it.
pub(super) fn tell(dir: &Path, program: &Path, image: &Path) -> Result<ExitCode> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let site = |name: &'static str| Site { name, home: dir.join(name), program: program.to_owned() };
    let (a, b) = (site("a"), site("b"));
    let mut table = Table::default();
    let result = steps(dir, image, &a, &b, &mut table);
    table.print();
    for site in [&a, &b] {
        site.ask(&["detach", DISK]).ok();
    }
    match result {
        Ok(size) => {
            println!("\nidentical: {} compared byte by byte at A, with B cut off", bytes(size));
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => {
            println!("\nThe demonstration failed: {e:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn steps(dir: &Path, image: &Path, a: &Site, b: &Site, table: &mut Table) -> Result<u64> {
    for (site, other) in [(a, b), (b, a)] {
        site.wandisk(&["init", "--site", site.name])?;
        let address =
            format!("cmd:'{}' --home '{}' serve --stdio", other.program.display(), other.home.display());
        site.wandisk(&["site", "add", other.name, &address])?;
    }
    let copy = dir.join("expected.img");
    process::output(Command::new("cp").arg("--sparse=always").arg(image).arg(&copy))?;
    let expected = OpenOptions::new().read(true).write(true).open(&copy)?;
    let none = || Ok(0);
    table.step("create at A from an image", none, || {
        a.wandisk(&["create", DISK, "--from", &image.display().to_string()])?;
        Ok(format!("a disk of {}", bytes(fs::metadata(image)?.len())))
    })?;
    table.step("attach at A, write", none, || {
        change(&mut a.attach()?, &expected, 1)?;
        a.wandisk(&["detach", DISK])?;
        Ok(format!("{PLACES} places overwritten"))
    })?;
    table.step("move to B", none, || a.wandisk(&["move", DISK, "--to", "b"]).map(|()| String::new()))?;
    table.step(
        "attach at B, read some",
        || b.fetched(),
        || {
            let mut client = b.attach()?;
            let mut some = vec![0; 4 << 20];
            client.read(0, &mut some)?;
            b.share()
        },
    )?;
    table.step(
        "change at B",
        || b.fetched(),
        || {
            let mut client = Client::connect(&b.home.join("disks").join(DISK).join("nbd.sock"))?;
            change(&mut client, &expected, 2)?;
            Ok(format!("{PLACES} places overwritten"))
        },
    )?;
    table.step(
        "sync --site a",
        || a.fetched(),
        || {
            b.wandisk(&["sync", DISK, "--site", "a"])?;
            let fetch = &a.ask(&["status", DISK])?["fetch"];
            Ok(format!("A fetched {} deltas, {} whole chunks", fetch["delta"], fetch["literal"]))
        },
    )?;
    table.step("move back to A", none, || {
        b.wandisk(&["detach", DISK])?;
        b.wandisk(&["move", DISK, "--to", "a"])?;
        a.wandisk(&["site", "rm", "b"])?;
        b.wandisk(&["site", "rm", "a"])?;
        Ok("and B is cut off".to_owned())
    })?;
    let mut size = 0;
    table.step("attach at A, compare", none, || {
        let mut client = a.attach()?;
        compare(&mut client, &expected)?;
        size = client.size;
        drop(client);
        a.wandisk(&["detach", DISK])?;
        a.share()
    })?;
    Ok(size)
}
