//! What happens in the guest: an agent on a block device, there and back, its disk's keeper killed, a supervisor killed while the agent
//! stands for a move; and everything compared.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use agent_init::{SLOTS, STRIDE};
use anyhow::{Context, Result, bail, ensure};

use super::judge::Judge;
use super::seen;
use super::world::{AGENT, KERNEL, World};
use crate::image::Image;
use crate::process;
use crate::rig::console::Console;
use crate::sites::Site;

/// A machine in an emulated one boots, beside other work of the host's.
const BOOTS: Duration = Duration::from_secs(900);
/// It goes on.
const SOON: Duration = Duration::from_secs(400);
/// All of it, some minutes before the guest is ended: what was seen must be kept.
const ALL: Duration = Duration::from_secs(3300);
/// Numbers that it must say somewhere, to be believed to run there.
const ENOUGH: u64 = 5;
const DISK_BYTES: u64 = 32 << 20;
/// Its kernel is as every agent's; it need not look for what is not there, nor be hard to attack.
const APPEND: &str = "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off files";
/// What a move says from when on the agent stands.
const STANDS: &str = "the agent stands";
/// Where it happens, in the guest.
const DIR: &str = "/scratch/whole";

/// A part of what happens. Each begins and ends with the agent at `a`, or is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Act {
    /// It moves to the other site and back.
    Moves,
    /// The process that serves its disk is killed.
    Keeper,
    /// Its supervisor is killed while it stands for a move.
    Supervisor,
}

/// Plays it; where it fails, or comes to no end, what is to be seen then is kept.
pub(super) fn tell(agent: &Path, programs: &Path, acts: &[Act]) -> Result<()> {
    let (tell, end) = channel();
    let (agent, own, acts) = (agent.to_owned(), programs.to_owned(), acts.to_owned());
    std::thread::spawn(move || tell.send(play(&agent, &own, &acts)));
    let result = end.recv_timeout(ALL).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => bail!("it came to no end in {} s", ALL.as_secs()),
        RecvTimeoutError::Disconnected => bail!("it died: see above"),
    });
    if let Err(error) = &result {
        println!("it failed: {error:#}");
        seen::keep(Path::new(DIR), programs);
    }
    result
}

fn play(agent: &Path, programs: &Path, acts: &[Act]) -> Result<()> {
    let began = Instant::now();
    let told = |what: &str| println!("{:>7.1} s  {what}", began.elapsed().as_secs_f64());
    let dir = Path::new(DIR);
    let image = image(dir)?;
    let world = World::make(dir, programs)?;
    let (a, b) = (&world.sites.a, &world.sites.b);
    told("two sites: namespaces, netem of 33 ms each way and 100 Mbit/s, an sshd each");

    let [image, kernel, root] =
        [image, agent.join(KERNEL), agent.join("root.cpio")].map(|path| path.display().to_string());
    let machine = ["create", AGENT, "--image", &image, "--ublk", "--memory", "96M", "--vcpus", "1"];
    let boots = ["--accelerator", "tcg", "--kernel", &kernel, "--initrd", &root, "--append", APPEND];
    world.tell(a, &[&machine[..], &boots].concat())?;
    told("created");
    let mut heard = Heard::begin(dir, began)?;
    world.tell(a, &["launch", AGENT])?;
    told("launched");
    heard.goes_on(BOOTS)?;
    told(&format!("the agent runs at a, on {}", world.is_only_at(a)?));

    let mut at = a;
    for act in acts {
        match act {
            Act::Moves => {
                for (from, to) in [(a, b), (b, a)] {
                    told(&moves(&world, &mut heard, from, to)?);
                }
            }
            Act::Keeper => {
                world.kill_keeper(a)?;
                heard.goes_on(SOON)?;
                told(&format!("whoever served its disk was killed: it goes on, on {}", world.is_only_at(a)?));
            }
            Act::Supervisor => {
                at = killed_at_the_switchover(&world)?;
                let device = world.is_only_at(at)?;
                heard.goes_on(SOON)?;
                told(&format!(
                    "its supervisor was killed while it stood for a move: it goes on at {}, on {device}",
                    at.name
                ));
            }
        }
    }

    heard.console.say(at.name, "off")?;
    heard.until(SOON, |line| line == "unmounted")?;
    world.comes_to("off", SOON)?;
    world.lets_go(at)?;
    told("the agent has unmounted its file system, and is off");
    check(&world, at, &heard.judge)?;
    told(&format!(
        "its file system is clean, and has what it said: {} numbers, none twice",
        heard.judge.said()
    ));
    Ok(())
}

/// It moves; gives what that was like.
fn moves(world: &World, heard: &mut Heard, from: &Site, to: &Site) -> Result<String> {
    let report = world.tell(from, &["migrate", AGENT, "--to", to.name])?;
    let device = world.is_only_at(world.comes_to("running", SOON)?)?;
    heard.goes_on(SOON)?;
    let seconds = |name: &str| report[name].as_f64().unwrap_or(f64::NAN) / 1e3;
    Ok(format!(
        "moved from {} to {}, on {device}: {:.1} s, it stood for {:.1} s; it has said {}",
        from.name,
        to.name,
        seconds("total_ms"),
        seconds("suspended_ms"),
        heard.judge.newest()
    ))
}

/// An ext4 file system with the file that blocks go into.
fn image(dir: &Path) -> Result<PathBuf> {
    let content = dir.join("content");
    std::fs::create_dir_all(&content)?;
    std::fs::write(content.join("slots"), vec![0; usize::try_from(SLOTS * STRIDE)?])?;
    let file = dir.join("agent.img");
    Image::ext4(&file, DISK_BYTES, Some(&content))?;
    Ok(file)
}

/// What the agent says, who judges it, and a file that keeps it.
struct Heard {
    console: Console,
    judge: Judge,
    began: Instant,
    said: File,
}

impl Heard {
    fn begin(dir: &Path, began: Instant) -> Result<Heard> {
        let said = File::create(dir.join(seen::SAID))?;
        Ok(Heard { console: Console::hear(dir, AGENT), judge: Judge::default(), began, said })
    }

    fn take(&mut self, line: &str) -> Result<()> {
        writeln!(self.said, "{:.1} {line}", self.began.elapsed().as_secs_f64())?;
        self.judge.take(line).map(drop)
    }

    /// Waits for a line, and lets the judge hear all.
    fn until(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + patience;
        loop {
            let line = self.console.next(end.saturating_duration_since(Instant::now()));
            let newest = self.judge.newest();
            let line = line.with_context(|| format!("its newest number is {newest}"))?;
            self.take(&line)?;
            if is_it(&line) {
                return Ok(());
            }
        }
    }

    /// It says more numbers, from now on.
    fn goes_on(&mut self, patience: Duration) -> Result<()> {
        let heard: Vec<String> = self.console.heard().collect();
        heard.iter().try_for_each(|line| self.take(line))?;
        let (end, due) = (Instant::now() + patience, self.judge.newest() + ENOUGH);
        while self.judge.newest() < due {
            self.until(end.saturating_duration_since(Instant::now()), |line| line.starts_with("at "))?;
        }
        Ok(())
    }
}

/// Its supervisor at `a` is killed as soon as it says that the agent stands for a move. Whatever was done by then, the agent runs at one of
/// the sites in the end; which is given.
fn killed_at_the_switchover(world: &World) -> Result<&Site> {
    println!(
        "          a$ snowbird migrate {AGENT} --to b     (its supervisor is killed while the agent stands)"
    );
    let mut command = world.snowbird(&world.sites.a, &["migrate", AGENT, "--to", "b"]);
    let mut moving =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start snowbird")?;
    let news = moving.stderr.take().context("snowbird has no standard error")?;
    let mut stood = false;
    for line in BufReader::new(news).lines() {
        if line?.contains(STANDS) && !stood {
            stood = true;
            world.kill_supervisor(&world.sites.a)?;
        }
    }
    moving.wait()?;
    ensure!(stood, "the move ended before the agent stood");
    world.comes_to("running", SOON)
}

/// The disk, at the site where it is.
fn check(world: &World, at: &Site, judge: &Judge) -> Result<()> {
    let (disk, slots) = (world.dir.join("disk.raw"), world.dir.join("slots"));
    at.wandisk(&["export", AGENT, &disk.display().to_string()])?;
    process::output(Command::new("e2fsck").arg("-fn").arg(&disk)).context("the file system is not clean")?;
    let dump = format!("dump /slots {}", slots.display());
    process::output(Command::new("debugfs").args(["-R", &dump]).arg(&disk))?;
    judge.compare(&std::fs::read(&slots)?)
}
