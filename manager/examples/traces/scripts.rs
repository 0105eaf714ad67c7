//! The scripts: one for each way in which agents and users behave.

use std::path::Path;

use anyhow::Result;

use super::script::{Drawn, Script};

/// A core that works, and one that hardly does.
const BUSY: [f64; 2] = [1.0, 0.12];
const IDLE: [f64; 2] = [0.04, 0.02];

pub(super) fn all(folder: &Path, seed: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    alternating(seed).write(folder, "alternating")?;
    overlapping(seed).write(folder, "overlapping")?;
    idle(seed).write(folder, "idle")?;
    typing(seed).write(folder, "typing")?;
    motion(seed).write(folder, "motion")?;
    bursts(seed).write(folder, "bursts")?;
    network(seed).write(folder, "network")?;
    Ok(())
}

/// The user turns a model at the desk, starts a computation, and comes back to it; twice. 66 ms to the compute site, whose
/// software renderer takes 25 ms a frame and, seen through a pull client, delivers 12 FPS.
fn alternating(seed: u64) -> Script {
    let mut s = Script::new(
        seed,
        "desk",
        "a model is turned, computed with, turned again, twice; 66 ms to the compute site",
    );
    for round in [0u64, 480] {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a short trace")]
        let at = round as f64;
        s.phase(round, "cognitive");
        s.load(round..round + 60, &[0.3, 0.1]);
        s.path(at..at + 130.0, 0.0008);
        for drag in [5.0, 14.0, 25.0, 33.0, 42.0, 51.0] {
            s.drags(at + drag..at + drag + 2.0, 40.0, 0.0008, 0.012, Drawn::Screen);
        }
        s.types(at + 56.0..at + 59.0, 0.4, 0.0008);
        s.phase(round + 60, "crunch");
        s.load(round + 60..round + 300, &BUSY);
        s.arrives(at + 130.0, "compute");
        s.path(at + 130.0..at + 368.0, 0.066);
        s.phase(round + 300, "cognitive");
        s.load(round + 300..round + 480, &[0.35, 0.1]);
        // Until the agent has come to the desk; then as it was there before.
        for drag in [0.5, 6.0, 13.0, 20.0, 28.0, 36.0, 45.0, 53.0] {
            s.drags(at + 300.0 + drag..at + 303.0 + drag, 12.0, 0.066, 0.025, Drawn::Screen);
        }
        s.arrives(at + 368.0, "desk");
        s.path(at + 368.0..at + 480.0, 0.0008);
        for drag in [372.0, 385.0, 410.0, 440.0] {
            s.drags(at + drag..at + drag + 2.0, 40.0, 0.0008, 0.010, Drawn::Gl);
        }
    }
    s
}

/// The program computes all the time and the user works with it all the time, with pauses of a few seconds: who follows
/// the CPU and the user in turn never comes to rest.
fn overlapping(seed: u64) -> Script {
    let mut s = Script::new(
        seed,
        "compute",
        "a busy program and a busy user at once, pauses of 3 to 6 s; begins 100 ms away",
    );
    s.phase(0, "cognitive");
    s.load(0..260, &BUSY);
    s.path(0.0..70.0, 0.1);
    for drag in 0..7u8 {
        let at = 1.0 + f64::from(drag) * 9.0;
        s.drags(at..at + 4.0, 25.0, 0.1, 0.02, Drawn::Screen);
    }
    s.arrives(70.0, "desk");
    s.path(70.0..260.0, 0.0008);
    for drag in 0..21u8 {
        let at = 72.0 + f64::from(drag) * 9.0;
        let lasts = 3.0 + f64::from(drag % 4);
        s.drags(at..at + lasts * 0.6, 25.0, 0.0008, 0.015, Drawn::Screen);
        s.types(at + lasts * 0.6..at + lasts, 0.3, 0.0008);
    }
    s
}

/// Nothing happens, 100 ms away, but for a cursor; now and then the pointer is moved over the page that is read.
fn idle(seed: u64) -> Script {
    let mut s =
        Script::new(seed, "compute", "a page is read, a cursor blinks, the pointer wanders; 100 ms away");
    s.phase(0, "");
    s.load(0..300, &IDLE);
    s.path(0.0..300.0, 0.1);
    s.blinks(1.0..300.0);
    for wander in [30.0, 75.0, 140.0, 190.0, 250.0] {
        s.wanders(wander..wander + 15.0);
    }
    s
}

/// Slow typing in a terminal 100 ms away: each key is one update, so there is no rate to go by.
fn typing(seed: u64) -> Script {
    let mut s = Script::new(seed, "compute", "slow typing in a terminal with a blinking cursor; 100 ms away");
    s.phase(0, "");
    s.load(0..240, &IDLE);
    s.path(0.0..240.0, 0.1);
    s.blinks(1.0..19.0);
    s.phase(20, "cognitive");
    s.types(20.0..80.0, 0.6, 0.1);
    s.blinks(81.0..119.0);
    s.types(120.0..180.0, 0.7, 0.1);
    s
}

/// A view is dragged at 60 FPS, 100 ms away: smooth, and yet it swims.
fn motion(seed: u64) -> Script {
    let mut s = Script::new(seed, "compute", "a view is dragged at 60 FPS with 100 ms from hand to picture");
    s.phase(0, "");
    s.load(0..120, &[0.4, 0.2]);
    s.path(0.0..120.0, 0.095);
    s.phase(15, "cognitive");
    for drag in 0..4u8 {
        let at = 15.0 + f64::from(drag) * 5.0;
        s.drags(at..at + 4.0, 60.0, 0.095, 0.005, Drawn::Screen);
    }
    s
}

/// Bursts of 4 to 7 s: over before anything could be done about them.
fn bursts(seed: u64) -> Script {
    let mut s = Script::new(seed, "desk", "bursts of 4 to 7 s of computing, every half a minute");
    s.phase(0, "");
    s.path(0.0..360.0, 0.0008);
    for round in 0..12u64 {
        let (at, lasts) = (round * 30, 4 + round % 4);
        s.load(at..at + 20, &IDLE);
        s.load(at + 20..at + 20 + lasts, &BUSY);
        s.load(at + 20 + lasts..at + 30, &IDLE);
    }
    s.types(3.0..9.0, 0.25, 0.0008);
    s
}

/// A set of data is read at 6 MB/s with little computing, then computed with, then looked at.
fn network(seed: u64) -> Script {
    let mut s = Script::new(
        seed,
        "desk",
        "data is read at 6 MB/s for 3 min, then computed with, then looked at, 100 ms away",
    );
    s.phase(0, "");
    s.load(0..20, &IDLE);
    s.net(0..20, "home", 3000, 2000);
    s.path(0.0..95.0, 0.0008);
    s.phase(20, "load");
    s.load(20..200, &[0.35, 0.1]);
    s.net(20..200, "home", 6_000_000, 150_000);
    s.arrives(95.0, "data:set");
    s.path(95.0..280.0, 0.066);
    s.phase(200, "crunch");
    s.load(200..400, &BUSY);
    s.net(200..400, "home", 20_000, 5000);
    s.arrives(280.0, "compute");
    s.path(280.0..480.0, 0.1);
    s.phase(400, "cognitive");
    s.load(400..480, &[0.3, 0.1]);
    for drag in [401.0, 406.0, 411.0, 417.0, 423.0, 430.0] {
        s.drags(drag..drag + 2.5, 40.0, 0.1, 0.025, Drawn::Screen);
    }
    s
}
