//! `cargo xtask`: what has to be done to this workspace beside compiling it.
//!
//! One file a command; [`guest`] runs commands in a virtual machine with a kernel that has ublk, netem
//! and device-mapper. Everything this program makes lies below `target/guest/`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod bench;
mod demo;
mod dist;
mod guest;
mod image;
mod mutants;
mod process;
mod rig;
mod setup;
mod sites;
mod soak;
mod test;
mod tidy;
mod vm;
mod wan;
mod whole;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, test and show Snowbird.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing to build, test and try Snowbird.
    Setup(setup::Arguments),
    /// Run the tests: one line a step, all failures listed at the end.
    Test(test::Arguments),
    /// Run a command, or a shell, in the test guest.
    Vm(vm::Arguments),
    /// Check the workspace's own rules: format, lints, headers, dependencies.
    Tidy(tidy::Arguments),
    /// Show what Snowbird does.
    Demo(demo::Arguments),
    /// Build programs for other machines.
    Dist(dist::Arguments),
    /// Measure beside a peer in the same run.
    Bench(bench::Arguments),
    /// Let everything happen at random for a long time, and compare every byte.
    Soak(soak::Arguments),
    /// Break each law on purpose: a test must notice.
    Mutants(mutants::Arguments),
    /// Two network namespaces with a long, narrow line between them.
    Wan(wan::Arguments),
    /// Everything at once in the test guest: an agent on ublk that moves between two sites over ssh and netem.
    Whole(whole::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Test(arguments) => test::main(&arguments),
        Command::Vm(arguments) => vm::main(arguments),
        Command::Tidy(arguments) => tidy::main(&arguments),
        Command::Demo(arguments) => demo::main(&arguments),
        Command::Dist(arguments) => dist::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
        Command::Soak(arguments) => soak::main(&arguments),
        Command::Mutants(arguments) => mutants::main(&arguments),
        Command::Wan(arguments) => wan::main(&arguments),
        Command::Whole(arguments) => whole::main(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
