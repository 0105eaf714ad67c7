//! The two jobs: a render, and surfaces in a dataset that lies at the server.

use std::fmt::Write as _;

use anyhow::Result;

use super::Arguments;
use super::nfs::Nfs;
use crate::rig::boot::Work;
use crate::rig::{AGENT, SERVER, World};

/// What an agent computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Job {
    /// POV-Ray renders a picture.
    Render,
    /// As QuakeViz does: surfaces in an earthquake's dataset, read by NFS where it lies, smoothed; then they are looked at.
    Surfaces,
    /// None: what is kept is shown.
    None,
}

impl Job {
    /// Its name in tables and files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Render => "render",
            Self::Surfaces => "surfaces",
            Self::None => "none",
        }
    }

    /// Of its size, for the record.
    pub(super) fn size(self, arguments: &Arguments) -> String {
        match self {
            Self::Render => format!("{0} x {1} pixels", arguments.width, arguments.width * 3 / 4),
            Self::Surfaces => format!("{} steps, {} passes", arguments.steps, arguments.passes),
            Self::None => String::new(),
        }
    }

    /// What its agent boots with. The screen is the viewer's: of a preview, or of the surfaces once they are there.
    pub(super) fn work(self, world: &World, arguments: &Arguments) -> Result<Work> {
        let mut work = match self {
            Self::Render | Self::None => Work::render(arguments.width)?,
            Self::Surfaces => {
                let from = format!("{}:/data", world.sites.b.address);
                let passes = arguments.passes.to_string();
                Work {
                    job: ["/init", "surfaces", &from, "/tmp/points", &passes].map(str::to_owned).to_vec(),
                    modules: &["virtio_net", "nfsv4"],
                    ..Work::default()
                }
            }
        };
        let shown = if self == Self::Surfaces { "/tmp/points" } else { "/preview" };
        work.viewer = ["/init", "look", shown].map(str::to_owned).to_vec();
        work.programs.push("stty");
        work.files.push(("preview".to_owned(), preview().into_bytes()));
        Ok(work)
    }

    /// What it needs beside the agent, which has been made: the dataset, served at the server, and the way there.
    pub(super) fn surroundings(self, world: &World, arguments: &Arguments) -> Result<Option<Nfs>> {
        if self != Self::Surfaces {
            return Ok(None);
        }
        let nfs = Nfs::serve(world, arguments.steps)?;
        let anchor = format!("{}/32={SERVER}", world.sites.b.address);
        world.snowbird(&["net", AGENT, "anchor", &anchor])?;
        Ok(Some(nfs))
    }
}

/// The balls of the scene as points, by a few circles each.
fn preview() -> String {
    let mut text = String::new();
    for ball in 0..20_u8 {
        let middle = [f32::from(ball % 5) * 0.3 - 0.6, 0.0, f32::from(ball / 5) * 0.35 - 0.5];
        for at in 0..24_u8 {
            let (turn, up) = (f32::from(at % 8) * std::f32::consts::FRAC_PI_4, f32::from(at / 8) - 1.0);
            let wide = 0.11 * (1.0 - 0.5 * up.abs());
            let [x, y, z] =
                [middle[0] + wide * turn.cos(), middle[1] + 0.09 * up, middle[2] + wide * turn.sin()];
            writeln!(text, "{x:.3} {y:.3} {z:.3}").ok();
        }
    }
    text
}
