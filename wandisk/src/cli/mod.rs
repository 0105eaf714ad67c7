//! The command line: words to actions, results to people and programs.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line itself is wrong. With `--json` results and errors are JSON on
//! standard output; without it results are for people and errors one sentence and a hint on standard error.

mod args;
mod authorize;
mod disks;
mod lineages;
mod log_file;
mod map;
mod output;
mod run;
mod serve;
mod sites;
mod units;

use std::process::ExitCode;

use clap::Parser;

pub use args::Cli;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            e.print().ok();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    if cli.is_keeper() {
        // Before any thread starts: a keeper that shares mounts with a user of its own device cannot end in order.
        if let Err(e) = run::become_daemon(&cli) {
            return output::failed(&cli, &e);
        }
    }
    run::init_log(&cli);
    if let args::Command::Serve(args) = &cli.command {
        return serve::main(&cli, args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::engine::THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return output::failed(&cli, &output::Failure::from(e)),
    };
    let result = runtime.block_on(run::run(&cli));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => code,
        Err(failure) => output::failed(&cli, &failure),
    }
}
