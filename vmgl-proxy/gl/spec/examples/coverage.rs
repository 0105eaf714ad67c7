//! Prints `docs/gl-coverage.md`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use vmgl_gl_spec::{Registry, SpecError, coverage};

fn main() -> Result<(), SpecError> {
    print!("{}", coverage::document(&Registry::load()?));
    Ok(())
}
