//! The command line, handled badly: random nonsense, orders that contradict each other from two sites at once, commands and
//! supervisors that are killed in the middle, readers that have gone.
//!
//! What is promised is in [`told`]: every command ends by itself with 0, 1 or 2, none panics, and what failed is said in one
//! full sentence; afterwards the lists of agents are sound, and exactly one agent runs, or none, and it is said how it stands.
//!
//! Each run has new seeds, which it prints. `SNOWBIRD_COMMANDS_SEED` takes one again, `SNOWBIRD_COMMANDS_RUNS` sets how many
//! commands of nonsense there are, `SNOWBIRD_STORM_SECONDS` how long the storm lasts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_debug_implementations,
    unreachable_pub,
    reason = "these are tests"
)]

#[path = "../agents/boot.rs"]
#[allow(dead_code, reason = "the tests of agents bring more into one")]
mod boot;
mod errands;
mod grammar;
mod nonsense;
mod storm;
mod told;
#[path = "../agents/world.rs"]
#[allow(dead_code, reason = "the tests of agents make more trouble")]
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use manager::agent::store::Store;
use manager::agent::{Accelerator, Agent, FORMAT, Front, mac_of};
use manager::supervisor::phase::Machine;
use uuid::Uuid;

use world::{AGENT, World};

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// A seed, which is said.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let new = || u64::try_from(now % 1_000_000_007).unwrap();
    let seed = from_environment("SNOWBIRD_COMMANDS_SEED").unwrap_or_else(new);
    eprintln!("SNOWBIRD_COMMANDS_SEED={seed}");
    seed
}

/// Makes an agent known at site `a`, off, without asking QEMU what it can do.
fn known(world: &World) -> Agent {
    let uuid = Uuid::from_u128(0x51);
    let agent = Agent {
        format: FORMAT,
        name: AGENT.to_owned(),
        uuid,
        disk: AGENT.to_owned(),
        memory_bytes: 64 << 20,
        vcpus: 1,
        machine: "pc-q35-7.2".to_owned(),
        cpu: "Nehalem".to_owned(),
        accelerator: Accelerator::Tcg,
        mac: mac_of(uuid),
        boot: None,
        cdrom: None,
        cd_changes: 0,
        uefi: None,
        front: Front::Nbd,
        home: "a".to_owned(),
        home_changes: 0,
        word: None,
    };
    world.wandisk("a", &["create", AGENT, "--size", "1M"]);
    std::fs::create_dir_all(world.home("a").join("agents").join(AGENT)).unwrap();
    let off = serde_json::to_string(&Machine::default()).unwrap();
    Store::open(&world.home("a")).unwrap().put(&agent, &off, "created").unwrap();
    agent
}
