//! `cargo xtask demo agent`: an agent that renders a picture (POV-Ray) and is typed at, between a slow desk and a fast
//! server, over 100 Mbit/s and 66 ms. It renders at the desk, then at the server, then by itself where it wants.
//!
//! Its rules are the built-in profile's, with their own times; that the server is faster the watcher learns from the quota.

mod typist;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::rig::boot::Work;
use crate::rig::{AGENT, DESK, PATIENCE, SERVER, Scratch, Shape, World, build, now_ms, shown, since_s};
use crate::setup;
use crate::wan::Wan;
use typist::Typist;

/// What the user types until the agent is back.
const LINE: &str = "and now I look at what has become of it";
/// How long the agent idles, watched, before it computes: longer than the profile's window, which is full then.
const IDLES: Duration = Duration::from_secs(12);

/// How it is shown.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wan: Wan,
    /// The desk's part of one processor.
    #[arg(long, default_value_t = 0.3)]
    desk: f64,
    /// The picture is so wide; its height is three quarters of that.
    #[arg(long, default_value_t = 170)]
    width: u32,
    /// Where snowbird, wandisk, vmgl-proxy and vmgl-bench are (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    println!("Setting up what is missing, building …");
    setup::ensure_all()?;
    let programs = arguments.programs.clone().map_or_else(build, Ok)?;
    let mut folder = Scratch::make("demo")?;
    let shape = Shape { wan: arguments.wan.clone(), desk: Some(arguments.desk), programs };
    let world = World::make(&shape, &mut folder)?;
    tell(&world, arguments.width).map(|()| ExitCode::SUCCESS)
}

fn tell(world: &World, width: u32) -> Result<()> {
    println!("\nThe agent is made, and boots at the desk …");
    let console = world.launch(&Work::render(width)?)?;

    println!("\nIt renders at the desk …");
    let desk = console.job(DESK, PATIENCE)?;
    println!("{desk:.1} s\n\nIt is moved by hand, and renders at the server …");
    world.migrate(SERVER)?;
    let server = console.job(SERVER, PATIENCE)?;
    println!("{server:.1} s\n\nBack at the desk it renders again, and may move by itself …");
    world.migrate(DESK)?;
    world.snowbird(&["auto", AGENT, "auto", "--role", &format!("compute={SERVER}")])?;
    std::thread::sleep(IDLES);
    let asked = now_ms();
    let both = console.job(DESK, PATIENCE)?;
    let (decided, there) = world.moved(SERVER, asked, PATIENCE)?;

    println!("{both:.1} s\n\nIts user types at it …");
    let address = world.snowbird(&["view", AGENT, "--print"])?;
    let address = format!("tcp:{}", address["address"].as_str().context("no address to look at")?);
    let began = now_ms();
    let (decided_back, back) = {
        let mut typist = Typist::start(|| {
            let mut command = world.of_user("vmgl-bench");
            command.args(["act", &address, LINE]);
            command
        });
        let moved = world.moved(DESK, began, PATIENCE);
        typist.stop();
        moved?
    };
    world.tell_log()?;
    println!("\n{:<34}{:>10}", "rendered", "time");
    for (name, seconds) in
        [("at the desk only", desk), ("at the server only", server), ("where it moved by itself", both)]
    {
        println!("{name:<34}{seconds:>8.1} s   {:.2} of the server's", seconds / server);
    }
    println!("\nthere: seen after {:.1} s; {}", since_s(asked, decided), shown(&there));
    println!("back:  seen after {:.1} s of typing; {}", since_s(began, decided_back), shown(&back));
    world.end()
}
