//! `snowbird cd`: what is in an agent's CD drive.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;

use super::agents::{SOON, Site};
use super::create::boot_file;
use super::told::{Told, print};
use crate::agent::BootFile;
use crate::control::Request;
use crate::reach::{Place, find};

pub(super) const CD: &str = "Examples:
  snowbird cd work eject                        so that it can move to sites that have not the file
  snowbird cd work eject --force                also while it is mounted there
  snowbird cd work insert /srv/tools.iso        every site where the agent may run must have it at the same path

A drive is there only where the agent was created with --cdrom. What is put in is a file of the site where the agent is, and is said there.";

#[derive(Debug, Subcommand)]
pub(super) enum CdCommand {
    /// Takes the CD out.
    Eject {
        /// Also if the agent uses it: what it reads from there fails.
        #[arg(long)]
        force: bool,
    },
    /// Puts a CD in, in place of what is there.
    Insert {
        /// Its image.
        file: PathBuf,
        /// Also if the agent uses what is there.
        #[arg(long)]
        force: bool,
    },
}

impl Site {
    pub(super) async fn cd(&self, agent: &str, command: &CdCommand) -> Result<()> {
        self.kept(agent)?;
        let (file, force) = match command {
            CdCommand::Eject { force } => (None, *force),
            CdCommand::Insert { file, force } => (Some(self.file_of_its_site(agent, file).await?), *force),
        };
        let said = match &file {
            Some(file) => format!("{} is in the CD drive of {agent}", file.path),
            None => format!("the CD drive of {agent} is empty"),
        };
        let status = self.ask(agent, &Request::Cd { file, force }, SOON, |_| ()).await?;
        print(self.json, &status, || said)
    }

    /// No site says which of another's files is read.
    async fn file_of_its_site(&self, agent: &str, file: &Path) -> Result<BootFile> {
        if let Place::At(site) = find(&self.here, &self.sites, agent).await? {
            return Err(Told::new(format!(
                "the agent is at site {:?}, and this is a file of another",
                site.name
            ))
            .hint("say it there")
            .into());
        }
        boot_file(file)
    }
}
