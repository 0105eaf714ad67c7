//! The main job, step by step, with real devices and a real WAN.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::files::{self, Tree};
use super::table::{Table, bytes};
use crate::process;
use crate::sites::{Site, Sites};

const DISK: &str = "work";
/// Written at A before the disk moves.
const WRITTEN_AT_A: usize = 24 << 20;
/// Written at B, to be brought back.
const WRITTEN_AT_B: usize = 12 << 20;

/// A mounted file system; unmounted when dropped.
struct Mounted {
    point: PathBuf,
}

impl Mounted {
    fn mount(device: &Path, point: &Path) -> Result<Mounted> {
        fs::create_dir_all(point)?;
        println!("   # mount {} {}", device.display(), point.display());
        process::output(Command::new("mount").args(["-t", "ext4"]).arg(device).arg(point))?;
        Ok(Mounted { point: point.to_owned() })
    }

    fn unmount(self) -> Result<()> {
        println!("   # umount {}", self.point.display());
        process::output(Command::new("umount").arg(&self.point))?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.point).status().ok();
    }
}

/// Bytes that do not compress, the same at each run.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(len);
    out
}

fn chunk_counts(site: &Site) -> Result<(u64, u64, Value)> {
    let status = site.ask(&["status", DISK])?;
    let number = |key: &str| status["chunks"][key].as_u64().unwrap_or(0);
    Ok((number("held"), number("written"), status))
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with one decimal")]
pub(super) fn share(part: u64, whole: u64) -> String {
    format!("{part} of {whole} chunks here ({:.1} %)", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Tells it.
pub(super) fn tell(dir: &Path, program: &Path, image: &Path) -> Result<ExitCode> {
    Command::new("modprobe").args(["-a", "ublk_drv", "veth", "sch_netem"]).status().ok();
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let local = dir.join("wandisk");
    fs::copy(program, &local).context("cannot copy the wandisk program")?;
    let sites = Sites::make(dir, &local)?;
    let mut table = Table::default();
    let result = steps(dir, image, &sites, &mut table);
    table.print();
    for site in [&sites.a, &sites.b] {
        site.ask(&["detach", DISK]).ok();
    }
    match result {
        Ok(files) => {
            println!("\nidentical: {files} files compared one by one at A, with B cut off");
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => {
            println!("\nThe demonstration failed: {e:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn steps(dir: &Path, image: &Path, sites: &Sites, table: &mut Table) -> Result<usize> {
    let (a, b) = (&sites.a, &sites.b);
    let moved = || sites.moved();
    let point = dir.join("mnt");
    let mut expected = Tree::new();
    table.step("create at A from an image", moved, || {
        a.wandisk(&["create", DISK, "--from", &image.display().to_string()])?;
        let size = fs::metadata(image)?.len();
        Ok(format!("a disk of {}", bytes(size)))
    })?;
    table.step("attach at A, mount, write", moved, || {
        let mounted = Mounted::mount(&a.attach(DISK)?, &point)?;
        fs::write(mounted.point.join("written-at-a"), noise(1, WRITTEN_AT_A))?;
        expected = files::read_tree(&mounted.point)?;
        mounted.unmount()?;
        a.wandisk(&["detach", DISK])?;
        Ok(format!("{} files, {} written", expected.len(), bytes(WRITTEN_AT_A as u64)))
    })?;
    table.step("move to B", moved, || {
        a.wandisk(&["move", DISK, "--to", "b"])?;
        Ok(String::new())
    })?;
    let mut mounted = None;
    table.step("attach at B, mount, read some", moved, || {
        let there = Mounted::mount(&b.attach(DISK)?, &point)?;
        let read = read_some(&there.point)?;
        let (held, written, status) = chunk_counts(b)?;
        mounted = Some(there);
        let fetch = &status["fetch"];
        Ok(format!(
            "{read} read; {} fetched on demand, {} ahead; {}",
            fetch["demand"],
            fetch["prefetched"],
            share(held, written)
        ))
    })?;
    let there = mounted.context("it was not mounted")?;
    table.step("change at B", moved, || {
        fs::write(there.point.join("written-at-b"), noise(2, WRITTEN_AT_B))?;
        let changed = there.point.join("written-at-a");
        patch(&changed, &noise(3, 4096), 1 << 20)?;
        let also = [PathBuf::from("written-at-a"), PathBuf::from("written-at-b")];
        note_changes(&mut expected, &there.point, &also)?;
        there.unmount()?;
        Ok(format!("{} new, 4 KiB changed in a file of A", bytes(WRITTEN_AT_B as u64)))
    })?;
    table.step("sync --site a", moved, || {
        b.wandisk(&["sync", DISK, "--site", "a"])?;
        let (_, _, status) = chunk_counts(a)?;
        let fetch = &status["fetch"];
        Ok(format!(
            "A fetched {} deltas, {} whole chunks, {} zeros",
            fetch["delta"], fetch["literal"], fetch["zero"]
        ))
    })?;
    table.step("move back to A", moved, || {
        b.wandisk(&["detach", DISK])?;
        b.wandisk(&["move", DISK, "--to", "a"])?;
        Ok(String::new())
    })?;
    sites.cut()?;
    println!("\n   The cable to B is cut.");
    let mut count = 0;
    table.step("attach at A, compare", moved, || {
        let mounted = Mounted::mount(&a.attach(DISK)?, &point)?;
        let found = files::read_tree(&mounted.point)?;
        mounted.unmount()?;
        let differing = files::differences(&expected, &found);
        if !differing.is_empty() {
            bail!("these files differ: {differing:?}");
        }
        a.wandisk(&["detach", DISK])?;
        let (held, written, _) = chunk_counts(a)?;
        count = found.len();
        Ok(format!("{count} files are identical; {}", share(held, written)))
    })?;
    Ok(count)
}

/// Reads the files of the first folder that has some, as a user who looks at one thing would.
fn read_some(top: &Path) -> Result<String> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(top)?.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    for folder in folders {
        let Some(folder) = folder_of_some(&folder) else { continue };
        let tree = files::read_tree(&folder)?;
        return Ok(format!("{} files of {}/", tree.len(), folder.file_name().unwrap_or_default().display()));
    }
    fs::read(top.join("written-at-a"))?;
    Ok("one file".to_owned())
}

/// The first folder below that has a few hundred KiB to a few MiB.
fn folder_of_some(top: &Path) -> Option<PathBuf> {
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        if files::size_below(&folder, 8 << 20).is_some_and(|size| size > 256 << 10) {
            return Some(folder);
        }
        let below = fs::read_dir(&folder).ok()?.flatten().map(|e| e.path());
        folders.extend(below.filter(|p| p.is_dir() && !p.is_symlink()));
    }
    None
}

fn patch(file: &Path, bytes: &[u8], at: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    fs::OpenOptions::new().write(true).open(file)?.write_all_at(bytes, at).map_err(Into::into)
}

/// What was written at B is expected at A too.
fn note_changes(expected: &mut Tree, top: &Path, changed: &[PathBuf]) -> Result<()> {
    let folder = top.join(".demo-expected");
    fs::create_dir(&folder)?;
    for name in changed {
        fs::hard_link(top.join(name), folder.join(name))?;
    }
    for (name, kind) in files::read_tree(&folder)? {
        expected.insert(name, kind);
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}
