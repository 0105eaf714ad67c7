//! PID 1 of the agent in the manager's tests. It loads the modules of its first root, then writes block after block to
//! `/dev/vda`, reads another one back each time, and says on the first serial port what is durable:
//!
//! ```text
//! at 17         block 17 is durable
//! bad 12 …      the slot of block 12 holds something else: the run is lost
//! typed word    a line was typed at its keyboard (the screen shows it)
//! bad net …     its network failed, or a connection broke
//! ```
//!
//! `fill=` and `dirty=` of the command line give it memory to carry, and change it ([`load`]). Where there is a card it has an address, answers on port 7, and streams to `stream=ADDRESS:PORT` of the kernel's command line.
//!
//! `vnc=PORT` gives it a VNC server of its own, whose keys are lines that were typed, too ([`server`]).
//!
//! `files` has it write into the file `slots` of the ext4 file system on its disk, and unmount that at its end (`unmounted`).
//!
//! `root=DEVICE` makes it the first root of another system, as a distribution's initramfs is: it loads the modules, and that system's own
//! init goes on ([`root`]).
//!
//! A line `look` makes it read the next of the far blocks (after the last the first) and say its number (`far 1001`); `off` ends the machine in order;
//! `work` has it compute beside that (`works`), `rest` no more: what came of it is on the disk then (`result 815`); `job` runs the program that `/job` names (a word a line), and the port
//! says when it begins and ends. Not as PID 1 it is a program of such jobs ([`aside`]). Two copies that run would both say `at` of one number.

#![forbid(unsafe_code)]

mod aside;
mod load;
mod net;
mod root;
mod server;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use agent_init::{BLOCK, FAR, RESULT, SLOTS, block, number, place};

/// A word on the port that ends it.
static OFF: AtomicBool = AtomicBool::new(false);
/// It computes.
static WORK: AtomicBool = AtomicBool::new(false);
/// What came of that so far.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
/// Far blocks that are to be looked at.
static LOOKS: AtomicUsize = AtomicUsize::new(0);
/// About twenty blocks a second: a disk that always changes, and a processor that is not always busy.
const PAUSE: Duration = Duration::from_millis(50);
/// Where the disk's file system is mounted.
const DATA: &str = "/data";

fn main() {
    if std::process::id() != 1 {
        if let Err(error) = aside::main() {
            drop(writeln!(io::stderr(), "{error}"));
            std::process::exit(1);
        }
        return;
    }
    let mut port = None;
    if let Err(error) = run(&mut port)
        && let Some(port) = &mut port
    {
        say(port, &format!("bad 0: {error}")).ok();
    }
    rustix::system::reboot(rustix::system::RebootCommand::PowerOff).ok();
    loop {
        std::thread::park();
    }
}

fn run(port: &mut Option<File>) -> io::Result<()> {
    rustix::mount::mount("dev", "/dev", "devtmpfs", rustix::mount::MountFlags::empty(), None)?;
    rustix::mount::mount("proc", "/proc", "proc", rustix::mount::MountFlags::empty(), None)?;
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(path);
    let serial = port.insert(open("/dev/ttyS0")?);
    load_modules()?;
    if let Some(place) = root::named() {
        drop(device(&place)?);
        return Err(root::enter(&place));
    }
    network(open("/dev/ttyS0")?)?;
    let (typed, inside) = (screen()?, server::begin());
    let files = said("files");
    let disk = if files { slots()? } else { disk()? };
    let words = BufReader::new(open("/dev/ttyS0")?);
    std::thread::spawn(move || {
        for line in words.lines().map_while(Result::ok) {
            match line.trim() {
                "off" => OFF.store(true, Ordering::SeqCst),
                "look" => drop(LOOKS.fetch_add(1, Ordering::SeqCst)),
                "work" => WORK.store(true, Ordering::SeqCst),
                "rest" => WORK.store(false, Ordering::SeqCst),
                "job" => drop(std::thread::spawn(job)),
                _ => {}
            }
        }
    });
    std::thread::spawn(|| {
        loop {
            if WORK.load(Ordering::SeqCst) {
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    });
    let (fill, dirty) = load::wanted();
    if fill > 0 {
        let mut port = open("/dev/ttyS0")?;
        std::thread::spawn(move || load::run(fill, dirty, &mut port));
    }
    let mut slot = vec![0; BLOCK];
    let mut newest = 0;
    let mut far = FAR.iter().cycle();
    let (mut looked_far, mut works) = (0, false);
    for at in 0..SLOTS {
        disk.read_exact_at(&mut slot, place(at))?;
        match number(&slot) {
            Some(n) => newest = newest.max(n),
            None => say(serial, &format!("bad {at} at the start"))?,
        }
    }
    for n in newest + 1.. {
        disk.write_all_at(&block(n), place(n))?;
        disk.sync_data()?;
        say(serial, &format!("at {n}"))?;
        for line in typed.try_iter().chain(inside.try_iter()) {
            say(serial, &format!("typed {line}"))?;
        }
        // An earlier one, not always in order, and not from the cache.
        let looked = n.saturating_sub(n * 7 % SLOTS);
        rustix::fs::fadvise(&disk, 0, None, rustix::fs::Advice::DontNeed)?;
        disk.read_exact_at(&mut slot, place(looked))?;
        if looked > 0 && number(&slot) != Some(looked) {
            say(serial, &format!("bad {looked}: {:?}", number(&slot)))?;
        }
        if LOOKS.load(Ordering::SeqCst) > looked_far
            && let Some((place, due)) = far.next()
        {
            looked_far += 1;
            disk.read_exact_at(&mut slot, *place)?;
            let found = number(&slot);
            let word = if found == Some(*due) { "far" } else { "bad" };
            say(serial, &format!("{word} {due}"))?;
        }
        if works != WORK.load(Ordering::SeqCst) {
            works = !works;
            let rounds = ROUNDS.load(Ordering::Relaxed).max(1);
            if !works {
                disk.write_all_at(&block(rounds), RESULT)?;
                disk.sync_data()?;
            }
            say(serial, &if works { "works".to_owned() } else { format!("result {rounds}") })?;
        }
        if OFF.load(Ordering::SeqCst) {
            say(serial, &format!("off at {n}"))?;
            break;
        }
        std::thread::sleep(PAUSE);
    }
    drop(disk);
    if files {
        rustix::mount::unmount(DATA, rustix::mount::UnmountFlags::empty())?;
        say(serial, "unmounted")?;
    }
    Ok(())
}

/// Does the kernel's command line have this word?
fn said(word: &str) -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split_whitespace().any(|w| w == word))
}

/// The file for blocks in the file system on the disk.
fn slots() -> io::Result<File> {
    drop(disk()?);
    rustix::mount::mount("/dev/vda", DATA, "ext4", rustix::mount::MountFlags::empty(), None)?;
    OpenOptions::new().read(true).write(true).open(format!("{DATA}/slots"))
}

/// Lines that are typed at the keyboard. The screen shows them, and nothing that moves or blinks by itself. Where the first root
/// brought a viewer (`/viewer`, a word a line), the screen and the keyboard are its, and no line comes.
fn screen() -> io::Result<Receiver<String>> {
    let mut screen = OpenOptions::new().read(true).write(true).open("/dev/tty1")?;
    if let Ok(words) = std::fs::read_to_string("/viewer") {
        let mut words = words.lines();
        let mut viewer = std::process::Command::new(words.next().unwrap_or_default());
        viewer.args(words).env("PATH", "/usr/bin:/bin");
        viewer.stdin(screen.try_clone()?).stdout(screen.try_clone()?).stderr(screen).spawn()?;
        return Ok(channel().1);
    }
    screen.write_all(b"\x1b[2J\x1b[H\x1b[?25lThe agent's screen.\n")?;
    let (tell, typed) = channel();
    std::thread::spawn(move || {
        BufReader::new(screen).lines().map_while(Result::ok).try_for_each(|line| tell.send(line).ok())
    });
    Ok(typed)
}

/// A line, written as one: two threads use the port.
fn say(port: &mut File, line: &str) -> io::Result<()> {
    port.write_all(format!("{line}\n").as_bytes())
}

/// Begins what the agent does on its network.
fn network(mut port: File) -> io::Result<()> {
    let begun = net::set_up().and_then(|there| if there { net::echo().map(|()| true) } else { Ok(false) });
    match begun {
        Ok(true) => {
            for to in net::wanted() {
                let mut port = port.try_clone()?;
                std::thread::spawn(move || say(&mut port, &format!("bad net: {}", net::stream(to))).ok());
            }
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(error) => say(&mut port, &format!("bad net: {error}")),
    }
}

/// Runs the program that the first root brought, and says so.
fn job() {
    let say = |word: &str| OpenOptions::new().write(true).open("/dev/ttyS0")?.write_all(word.as_bytes());
    let run = || -> io::Result<String> {
        let words = std::fs::read_to_string("/job")?;
        let mut words = words.lines();
        let mut job = std::process::Command::new(words.next().unwrap_or_default());
        job.args(words).env("HOME", "/").stdin(std::process::Stdio::null());
        say("job begins\n")?;
        Ok(job.status()?.to_string())
    };
    let end = run().unwrap_or_else(|error| error.to_string());
    say(&format!("job ends: {end}\n")).ok();
}

/// Loads `/modules/*` in the order of their names; the kernel unpacks them itself.
fn load_modules() -> io::Result<()> {
    /// MODULE_INIT_COMPRESSED_FILE of linux/module.h.
    const COMPRESSED: i32 = 4;
    let mut files: Vec<_> = std::fs::read_dir("/modules")?.collect::<io::Result<_>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        rustix::system::finit_module(File::open(file.path())?, c"", COMPRESSED)?;
    }
    Ok(())
}

/// The disk.
fn disk() -> io::Result<File> {
    device("/dev/vda")
}

/// A device, once the kernel has found it.
fn device(path: &str) -> io::Result<File> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(disk) => return Ok(disk),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
