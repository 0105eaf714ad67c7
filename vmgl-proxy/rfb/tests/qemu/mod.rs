//! A QEMU without a disk: its BIOS writes on a text screen that nothing is there to start, and is stopped.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Qemu {
    process: Child,
    monitor: UnixStream,
    file: PathBuf,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Qemu {
    /// One that shows its screen at `vnc`, and has what it needs in `dir`.
    pub(crate) fn start(dir: &Path, vnc: &Path) -> Self {
        Self::with(dir, vnc, &[])
    }

    /// The same with further words on its command line.
    pub(crate) fn with(dir: &Path, vnc: &Path, more: &[String]) -> Self {
        let socket = dir.join("monitor");
        let mut process = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-accel", "tcg", "-m", "32", "-vga", "std", "-vnc"])
            .arg(format!("unix:{}", vnc.display()))
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", socket.display()))
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let monitor = until("QEMU's monitor", || {
            assert!(process.try_wait().unwrap().is_none(), "QEMU ended");
            UnixStream::connect(&socket).ok()
        });
        monitor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut qemu = Self { process, monitor, file: dir.join("dump") };
        qemu.prompt();
        qemu
    }

    /// Lets it run until the BIOS has written, stops it, and says what it shows: the width, and pixels.
    pub(crate) fn stopped(&mut self) -> (usize, Vec<u32>) {
        let shows = |pixels: &[u32]| pixels.iter().filter(|pixel| **pixel != 0).count() > 500;
        until("the BIOS's text", || {
            self.dump().filter(|(width, pixels)| *width == 720 && shows(pixels)).map(drop)
        });
        self.say("stop");
        let truth = self.dump().unwrap();
        assert!(shows(&truth.1));
        truth
    }

    /// What it shows: the width, and pixels.
    pub(crate) fn dump(&mut self) -> Option<(usize, Vec<u32>)> {
        self.say(&format!("screendump {}", self.file.display()));
        let bytes = std::fs::read(&self.file).ok()?;
        let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
        let mut line = || std::str::from_utf8(lines.next()?).ok();
        assert_eq!(line()?, "P6");
        let width = line()?.split(' ').next()?.parse().ok()?;
        assert_eq!(line()?, "255");
        let pixels = lines.next()?.as_chunks::<3>().0.iter();
        Some((width, pixels.map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b])).collect()))
    }

    /// Says a word to the monitor and waits until it is done.
    fn say(&mut self, word: &str) {
        self.monitor.write_all(format!("{word}\n").as_bytes()).unwrap();
        self.prompt();
    }

    fn prompt(&mut self) {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\n(qemu) ") {
            let mut piece = [0; 4096];
            let n = self.monitor.read(&mut piece).unwrap();
            assert!(n > 0, "QEMU ended");
            heard.extend_from_slice(&piece[..n]);
        }
    }
}

fn until<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = so() {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
