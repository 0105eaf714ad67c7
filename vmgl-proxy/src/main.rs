//! The program `vmgl-proxy`: see [`cli`].

#![forbid(unsafe_code)]

mod cli;

use clap::Parser;

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = cli::Arguments::parse();
    // A renderer enters its sandbox while it has one thread.
    if let Some(done) = arguments.alone() {
        return done;
    }
    tokio::runtime::Runtime::new()?.block_on(arguments.run())
}
