//! Memory that is full, and changes at a known pace: `fill=MIB` and `dirty=KIB` (a second) of the kernel's command line.
//!
//! Of four pages one is words, two are noise, and one equals an earlier page, wherever that is. Then pages are overwritten with
//! new noise, one after the other; how many so far is said on the port each second: `dirtied PAGES`.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use crate::say;

const PAGE: usize = 4096;
const STEP: Duration = Duration::from_millis(10);
/// A machine that stood does not make up for it.
const LATE: Duration = Duration::from_millis(200);

/// Xorshift.
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, page: &mut [u8]) {
        for word in page.chunks_exact_mut(8) {
            word.copy_from_slice(&self.word().to_le_bytes());
        }
    }
}

/// What the command line asks for; 0 is nothing.
pub(crate) fn wanted() -> (usize, u64) {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let value = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
    let fill_mib: u64 = value("fill=").unwrap_or(0);
    (usize::try_from(fill_mib << 20).unwrap_or(0), value("dirty=").unwrap_or(0))
}

/// Fills so much memory, then changes it for ever.
pub(crate) fn run(bytes: usize, kib_a_second: u64, port: &mut File) -> io::Result<()> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut memory = vec![0_u8; bytes];
    for page in 0..bytes / PAGE {
        let (before, rest) = memory.split_at_mut(page * PAGE);
        let here = &mut rest[..PAGE];
        match page % 4 {
            0 => words(page, here),
            3 => {
                let earlier = usize::try_from(noise.word()).unwrap_or(0) % page * PAGE;
                here.copy_from_slice(&before[earlier..earlier + PAGE]);
            }
            _ => noise.fill(here),
        }
    }
    say(port, "filled")?;
    let pages_a_second = kib_a_second * 1024 / PAGE as u64;
    let (mut dirtied, mut place, mut owed) = (0_u64, 0, 0.0);
    let (mut then, mut told) = (Instant::now(), Instant::now());
    loop {
        std::thread::sleep(STEP);
        owed += then.elapsed().min(LATE).as_secs_f64() * pages_a_second as f64;
        then = Instant::now();
        while owed >= 1.0 && bytes >= PAGE {
            noise.fill(&mut memory[place..place + PAGE]);
            place = (place + PAGE) % (bytes / PAGE * PAGE);
            dirtied += 1;
            owed -= 1.0;
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            say(port, &format!("dirtied {dirtied}"))?;
        }
    }
}

/// Text, as a log has it: each page another, all alike.
fn words(page: usize, here: &mut [u8]) {
    let mut line = 0;
    let mut text = Vec::with_capacity(PAGE + 80);
    while text.len() < PAGE {
        line += 1;
        let number = page * 64 + line;
        text.extend_from_slice(
            format!(
                "{number} request from 10.{}.{}.7 done in {} ms\n",
                number % 97,
                number % 251,
                number * 7 % 1009
            )
            .as_bytes(),
        );
    }
    here.copy_from_slice(&text[..PAGE]);
}
