//! `vmgl-proxy report`: several replays in one picture.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use vmgl_proxy::redux::report::{Cdf, Measure, draw, read};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  vmgl-proxy report local remote 'through the proxy=far' --out fps.svg")]
pub(super) struct Arguments {
    /// Folders that `replay --report` wrote; NAME=DIR names one in the picture
    #[arg(required = true, value_name = "[NAME=]DIR")]
    folders: Vec<String>,
    /// The picture, as SVG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What is drawn
    #[arg(long, value_enum, default_value_t = Of::Fps)]
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// Frames per second of an input
    Fps,
    /// Frames per second of an input, the paper's way
    FpsPaper,
    /// From an input to its first update
    Response,
}

pub(super) fn run(Arguments { folders, out, of }: Arguments) -> Result<()> {
    let measure = match of {
        Of::Fps => Measure::Fps,
        Of::FpsPaper => Measure::FpsPaper,
        Of::Response => Measure::Response,
    };
    let mut all = Vec::new();
    for folder in &folders {
        let (name, path) = match folder.split_once('=') {
            Some((name, path)) => (name.to_owned(), path),
            None => {
                (Path::new(folder).file_name().unwrap_or_default().to_string_lossy().into_owned(), &**folder)
            }
        };
        all.push((name, Cdf::of(measure, &read(Path::new(path))?)));
    }
    std::fs::write(&out, draw(measure, &all)?).with_context(|| format!("writing {}", out.display()))
}
