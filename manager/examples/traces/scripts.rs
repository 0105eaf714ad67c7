//! The scripts: what no recording can show yet.

use std::path::Path;

use anyhow::Result;

use super::script::Script;

/// A core that works, and one that hardly does.
const BUSY: [f64; 2] = [1.0, 0.12];
const IDLE: [f64; 2] = [0.04, 0.02];

pub(super) fn all(folder: &Path, seed: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    network(seed).write(folder, "network")?;
    film(seed).write(folder, "film")?;
    Ok(())
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
        s.drags(drag..drag + 2.5, 40.0, 0.1, 0.025);
    }
    s
}

/// A film lies where the agent could compute, and is watched at the desk: first its player asks for each second of it, then all of a
/// larger one is sent at its own pace, which is half of what the way allows one connection.
fn film(seed: u64) -> Script {
    let mut s = Script::new(
        seed,
        "desk",
        "a film of 2 Mbit/s is fetched from 66 ms away and watched for a minute, then one of 4 Mbit/s that is sent; now and then a key",
    );
    s.phase(0, "");
    s.path(0.0..130.0, 0.0008);
    s.load(0..60, &[0.45, 0.1]);
    s.film(0..60, "compute", 256 << 10, 0.066, true);
    s.load(60..130, &[0.55, 0.15]);
    s.film(60..130, "compute", 500_000, 0.066, false);
    for at in [20.0, 47.0, 75.0, 101.0] {
        s.types(at);
    }
    s
}
