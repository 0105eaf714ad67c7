//! What Mesa has for this: its virpipe driver in the agent, `virgl_test_server` at the desk, the line between them.
//!
//! Both speak over a socket of their own machine; `vmgl-bench vtest` carries it over TCP. Its pictures come back to the
//! agent, whose screen has them: what a viewer gets of that is not counted here.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::World;
use crate::bench::display::bar::median;
use crate::bench::display::stage::{Running, wait};

/// Where Mesa looks for the server.
const SOCKET: &str = "/tmp/.virgl_test";
const PORT: u16 = 7200;
/// By default only these: a frame takes two round trips, whatever is drawn.
const USUAL: [&str; 2] = ["glxgears", "glmark2 build"];

/// Programs over this line.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<()> {
    ensure!(UnixStream::connect(SOCKET).is_err(), "another virgl_test_server runs");
    let socket = Socket;
    let behind = world.built.path();
    let mut server = world.tunnel.b.command("virgl_test_server");
    // With a blank in place of the sign it ends.
    let path = format!("--socket-path={}", behind.display());
    server.args(["--use-egl-surfaceless", &path]).stdout(Stdio::null());
    let _server = Running::start(&mut server)?;
    wait("virgl_test_server listens", || behind.exists())?;
    let at = format!("tcp:{}:{PORT}", world.tunnel.b.address);
    let to = format!("unix:{}", behind.display());
    let _far = world.helper(&world.tunnel.b, &["wan", "--listen", &at, "--to", &to])?;
    let near =
        world.helper(&world.tunnel.a, &["vtest", "--listen", &format!("unix:{SOCKET}"), "--to", &at])?;
    wait("the line to it is there", || Path::new(SOCKET).exists())?;
    println!("\n{} ms, Mesa's virpipe and virgl_test_server: frames a second", world.rtt_ms);
    for program in arguments.chosen(|program| USUAL.contains(&program.name)) {
        match rates(world, program, arguments) {
            Ok((rate, bytes)) => {
                println!("  {:<24} {rate:>9.1}   {bytes:>9.0} B/frame on the line", program.name);
            }
            Err(fault) => println!("  {}: does not draw: {fault:#}", program.name),
        }
    }
    drop((near, socket));
    Ok(())
}

/// The socket's file, which is removed when there is no more need of it.
struct Socket;

impl Drop for Socket {
    fn drop(&mut self) {
        std::fs::remove_file(SOCKET).ok();
    }
}

fn rates(world: &World, program: &Program, arguments: &Arguments) -> Result<(f64, f64)> {
    let (mut rates, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        let mut playing = world.staying(program, Pace::Free, &[("GALLIUM_DRIVER", "virpipe")])?;
        playing.drawn_here()?;
        let (before, time) = (world.line_bytes()?, arguments.time());
        let rate = playing.rate_here(time)?;
        let after = world.line_bytes()?;
        rates.push(rate);
        bytes.push((after - before) / (rate * time.as_secs_f64()));
    }
    Ok((median(rates), median(bytes)))
}
