//! Options that say who may do what: `serve`, `authorize`.

use clap::Args;
use wandisk_store::{DiskId, SiteId};

use crate::cli::authorize::parse_mode;
use crate::peer::permit::Mode;

/// `serve …`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The only way there is.
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Only this disk, and no other.
    #[arg(long, value_name = "UUID", value_parser = parse_disk)]
    pub disk: Option<DiskId>,
    /// ro: bytes and rows may be taken from here, nothing else; rw: all that a site may do.
    #[arg(long, value_parser = parse_mode, default_value = "rw", value_name = "ro|rw")]
    pub mode: Mode,
    /// Only this site, and no other.
    #[arg(long, value_name = "UUID", value_parser = parse_site)]
    pub site: Option<SiteId>,
}

impl ServeArgs {
    /// Does the command line keep the peer from anything?
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.disk.is_some() || self.site.is_some() || self.mode == Mode::Ro
    }
}

/// `authorize …`
#[derive(Debug, Args)]
pub struct AuthorizeArgs {
    /// Public keys: each a line of a .pub file, quoted; or one key in its words.
    #[arg(required = true, value_name = "KEY")]
    pub key: Vec<String>,
    /// Only for this disk: its name here, or its UUID [default: every disk of this site].
    #[arg(long)]
    pub disk: Option<String>,
    /// ro: bytes and rows may be taken from here, nothing else; rw: all that a site may do.
    #[arg(long, value_parser = parse_mode, default_value = "ro", value_name = "ro|rw")]
    pub mode: Mode,
    /// Only for this site: its name here, or its UUID.
    #[arg(long)]
    pub site: Option<String>,
    /// Only from these addresses, as sshd understands `from=`.
    #[arg(long, value_name = "ADDRESSES")]
    pub from: Option<String>,
}

fn parse_disk(text: &str) -> Result<DiskId, String> {
    text.parse().map(DiskId).map_err(|_| "a disk is named by its UUID here".to_owned())
}

fn parse_site(text: &str) -> Result<SiteId, String> {
    text.parse().map(SiteId).map_err(|_| "a site is named by its UUID here".to_owned())
}
