//! The `snowbird` program. See `snowbird --help`.

#![forbid(unsafe_code)]

fn main() {}
