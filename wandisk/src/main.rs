//! The `wandisk` program. See `wandisk --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    wandisk::cli::main()
}
