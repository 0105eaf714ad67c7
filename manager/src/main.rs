//! The `snowbird` program. See `snowbird --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    manager::cli::main()
}
