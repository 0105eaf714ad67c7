//! Every command and its options.

mod access;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;
use wandisk_store::AttemptId;

use super::units::{parse_chunk_size, parse_duration, parse_size};
use crate::peer::permit::Mode;

pub(super) use access::{AuthorizeArgs, ServeArgs};

/// One disk, several sites: a block device whose chunks are fetched where they are used.
#[derive(Debug, Parser)]
#[command(
    name = "wandisk",
    version,
    after_help = "Examples:\n  wandisk init --site desk\n  wandisk site add big ssh://me@big.example.org\n  \
                  wandisk create work --size 100G\n  wandisk attach work            prints /dev/ublkb0 or an NBD URI\n  \
                  wandisk detach work && wandisk move work --to big\n  wandisk sync work --site desk\n\n\
                  Exit codes: 0 done, 1 failed, 2 the command line is wrong."
)]
pub struct Cli {
    /// The site's folder [default: $WANDISK_HOME, else /var/lib/wandisk as root, else the XDG data folder].
    #[arg(long, global = true, env = "WANDISK_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print results and errors as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// More messages on standard error; twice for debugging.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Will this process keep a disk?
    #[must_use]
    pub fn is_keeper(&self) -> bool {
        match &self.command {
            Command::Keeper { .. } => true,
            Command::Attach(attach) => attach.foreground,
            _ => false,
        }
    }
}

const MAP: &str = "Examples:
  wandisk map work
  wandisk --json map work --cells 64 | jq -c .held

A letter a cell of neighbouring chunks, the worst that is in it: a absent, s stale, ! here and at no other site that is known of,
h held, 0 zero, . never written. With --json how many of each are in each cell, and at which other sites they are known to be, or to be alone (known_only): that is
what this site has heard, which may be of earlier. The site where the disk is resident knows best.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this machine (or folder) a site.
    Init {
        /// The site's name: letters, digits, '.', '_', '-'.
        #[arg(long)]
        site: String,
    },
    /// Other sites that this one can reach.
    #[command(subcommand)]
    Site(SiteCommand),
    /// Create a disk, resident here.
    #[command(
        after_help = "Examples:\n  wandisk create work --size 1T\n  wandisk create vm --from debian.qcow2"
    )]
    Create(CreateArgs),
    /// List the disks that have a replica here.
    Ls,
    /// How a disk stands: where it is resident, what is held here, who can be reached.
    Status {
        /// The disk.
        disk: String,
        /// With a map of chunks.
        #[arg(long)]
        chunks: bool,
        /// Ask no other site, and so wait for none: `sites` is empty.
        #[arg(long)]
        here: bool,
    },
    /// Where a disk's chunks are: a map that is small however large the disk is.
    #[command(after_help = MAP)]
    Map {
        /// The disk.
        disk: String,
        /// Cells of the map at most.
        #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=crate::engine::CELLS_MAX))]
        cells: u64,
    },
    /// Remove a disk's replica at this site.
    Rm {
        /// The disk.
        disk: String,
        /// The disk lives on elsewhere; refuse if it is resident here.
        #[arg(long)]
        replica_only: bool,
        /// Give up even chunks that only this site holds.
        #[arg(long)]
        force: bool,
    },
    /// Make a disk a block device (ublk) or an NBD export; prints the path or URI once it is usable.
    #[command(
        after_help = "Examples:\n  wandisk attach work\n  wandisk attach work --nbd tcp:127.0.0.1:10809\n\n\
                            After a crash or kill -9 the same command attaches again; a mounted file system goes on."
    )]
    Attach(AttachArgs),
    /// Stop the block device or export; everything is durable afterwards.
    Detach {
        /// The disk.
        disk: String,
    },
    /// Hand a disk over to another site; run it again to finish what was cut.
    Move {
        /// The disk.
        disk: String,
        /// The site that gets it.
        #[arg(long, value_name = "SITE")]
        to: String,
        /// Even if the device is mounted or open: its users get errors.
        #[arg(long)]
        force: bool,
    },
    /// Get everything ready for a hand-over and hold writes; prints a token (for VM managers).
    Prepare {
        /// The disk.
        disk: String,
        /// The site that gets it.
        #[arg(long, value_name = "SITE")]
        to: String,
        /// Without a commit it is aborted after this time.
        #[arg(long, value_parser = parse_duration, default_value = "30s")]
        lease: Duration,
        /// A UUID of yours: once that is given up (`abort --name`), this does not begin any more.
        #[arg(long, value_name = "UUID")]
        name: Option<Uuid>,
    },
    /// Finish a prepared hand-over.
    Commit {
        /// Of which one.
        #[command(flatten)]
        attempt: TokenArgs,
        /// Keep the device: its requests fail from now on, and work again when the disk is back. For a user that keeps it open and goes
        /// past the kernel's page cache (a VM).
        #[arg(long)]
        standby: bool,
    },
    /// Give a prepared hand-over up.
    Abort {
        /// Of which one.
        #[command(flatten)]
        attempt: TokenArgs,
        /// Give up what is prepared, and let no `prepare --name` or `quiesce --name` of this UUID begin that comes later.
        #[arg(long, value_name = "UUID")]
        name: Option<Uuid>,
    },
    /// Begin a new lineage here, because the resident is lost for good; nothing that it wrote since is ever merged.
    #[command(
        after_help = "Examples:\n  wandisk takeover work --dry-run      what would be lost, and where newer tables are\n  \
                      wandisk takeover work --force"
    )]
    Takeover {
        /// The disk.
        disk: String,
        /// The resident is lost for good.
        #[arg(long)]
        force: bool,
        /// Only tell what would be.
        #[arg(long)]
        dry_run: bool,
        /// Where current bytes are lost, take the older ones here; they are listed.
        #[arg(long)]
        accept_old: bool,
        /// Even if the replica here mixes two moments.
        #[arg(long)]
        accept_mixed: bool,
    },
    /// Leave this site's lineage for that of another site, after a takeover; keeps only what that one's table names.
    Join {
        /// The disk.
        disk: String,
        /// The site whose lineage goes on; the disk is resident there.
        #[arg(long)]
        site: String,
        /// Give up what was written in this site's lineage since the two parted.
        #[arg(long)]
        force: bool,
        /// Only tell what would be given up.
        #[arg(long)]
        dry_run: bool,
    },
    /// Give up local bytes of chunks that another site promises to hold.
    Evict {
        /// The disk.
        disk: String,
        /// So much stays.
        #[arg(long, value_parser = parse_size, default_value = "0")]
        keep: u64,
    },
    /// Make a site's replica complete and current; ends when it is.
    #[command(after_help = "Interrupting it loses nothing that arrived; running it again goes on.")]
    Sync {
        /// The disk.
        disk: String,
        /// The site whose replica is to be complete.
        #[arg(long)]
        site: String,
        /// Compare BLAKE3 of every chunk at both ends afterwards.
        #[arg(long)]
        verify: bool,
        /// Never hold writes, not even for the last chunks.
        #[arg(long)]
        no_freeze: bool,
        /// Bytes a second at most (for example 2M).
        #[arg(long, value_parser = parse_size)]
        rate: Option<u64>,
    },
    /// Compare the bytes here with their kept hashes, or with another site's; what is damaged here is fetched anew.
    #[command(
        after_help = "A chunk that no other site can give is named and served no more; a write that covers it makes it good."
    )]
    Verify {
        /// The disk.
        disk: String,
        /// Compare with this site.
        #[arg(long)]
        site: Option<String>,
        /// Bytes read a second at most (for example 50M).
        #[arg(long, value_parser = parse_size)]
        rate: Option<u64>,
    },
    /// From now on requests that wait for far chunks fail soon: before a VM is stopped, so that none hangs.
    #[command(
        after_help = "Examples:\n  wandisk quiesce work --wait 200ms\n  wandisk quiesce work --off\n\n\
                            It ends with the attachment, too."
    )]
    Quiesce {
        /// The disk.
        disk: String,
        /// How long a request may still wait.
        #[arg(long, value_parser = parse_duration, default_value = "200ms", conflicts_with = "off")]
        wait: Duration,
        /// Let them wait again as `attach --fetch-timeout` said.
        #[arg(long)]
        off: bool,
        /// A UUID of yours: once that is given up (`abort --name`), this does nothing any more.
        #[arg(long, value_name = "UUID", conflicts_with = "off")]
        name: Option<Uuid>,
    },
    /// Grow a disk.
    Resize {
        /// The disk.
        disk: String,
        /// Its new size.
        #[arg(value_parser = parse_size)]
        size: u64,
    },
    /// Write a disk's bytes to a new raw file, fetching what is missing.
    Export {
        /// The disk.
        disk: String,
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Use the bytes of a shipped copy at an empty replica; they count once BLAKE3 agrees with a holder.
    Import {
        /// The disk.
        disk: String,
        /// The copy, raw.
        file: PathBuf,
    },
    /// Serve another site over standard input and output (used by links).
    #[command(
        after_help = "In authorized_keys its options say what a key is for; `wandisk authorize` writes such a line."
    )]
    Serve(ServeArgs),
    /// Print a line for authorized_keys that lets a key talk to this site's wandisk, and do nothing else.
    #[command(
        after_help = "Examples:\n  wandisk authorize --disk work --mode ro \"$(cat id_ed25519.pub)\" >> ~/.ssh/authorized_keys\n  \
                      wandisk authorize --disk work --mode rw --site big --from 10.0.0.0/24 ssh-ed25519 AAAA… big"
    )]
    Authorize(AuthorizeArgs),
    /// Keep a disk in the background (used by other commands).
    #[command(hide = true)]
    Keeper {
        /// The disk.
        disk: String,
    },
    /// Print shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// `site …`
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Add a site.
    #[command(after_help = "Examples:\n  wandisk site add big ssh://me@big.example.org:2222\n  \
                            wandisk site add far 'cmd:ssh -J bastion far'\n  \
                            wandisk site add mirror --mode ro ssh://mirror.example.org\n  \
                            wandisk site add other 'cmd:wandisk --home /srv/other serve --stdio'")]
    Add {
        /// A name for it.
        name: String,
        /// `ssh://[user@]host[:port]`, or `cmd:PROGRAM ARGS…`.
        address: String,
        /// `--home` over there.
        #[arg(long, value_name = "DIR")]
        remote_home: Option<String>,
        /// The program over there.
        #[arg(long, value_name = "PATH")]
        remote_wandisk: Option<String>,
        /// What it may do here over links dialled from here. ro: take bytes and rows, nothing else; rw: all that a site may do.
        #[arg(long, value_parser = super::authorize::parse_mode, default_value = "rw", value_name = "ro|rw")]
        mode: Mode,
    },
    /// Change what is known of a site; what is not named stays.
    #[command(after_help = "Examples:\n  wandisk site set big --address ssh://me@big2.example.org\n  \
                            wandisk site set big --remote-wandisk /opt/snowbird/wandisk")]
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["address", "remote_home", "remote_wandisk", "mode"])))]
    Set {
        /// Its name.
        name: String,
        /// Where it is now. It must be the same site.
        #[arg(long)]
        address: Option<String>,
        /// `--home` over there.
        #[arg(long, value_name = "DIR")]
        remote_home: Option<String>,
        /// The program over there.
        #[arg(long, value_name = "PATH")]
        remote_wandisk: Option<String>,
        /// What it may do here over links dialled from here.
        #[arg(long, value_parser = super::authorize::parse_mode, value_name = "ro|rw")]
        mode: Option<Mode>,
    },
    /// List sites.
    Ls,
    /// Forget a site.
    Rm {
        /// Its name.
        name: String,
    },
    /// Reach a site: version, round trip time, rate, free space.
    Check {
        /// Its name.
        name: String,
    },
}

/// `create …`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The disk's name.
    pub disk: String,
    /// Its size, a multiple of 512 bytes (K, M, G, T are powers of 1024).
    #[arg(long, value_parser = parse_size, required_unless_present = "from")]
    pub size: Option<u64>,
    /// Size of a chunk: a power of two from 4K to 4M.
    #[arg(long, value_parser = parse_chunk_size, default_value = "128K")]
    pub chunk_size: u32,
    /// Fill it from an image: raw, or anything qemu-img reads. Holes stay holes.
    #[arg(long, value_name = "IMAGE")]
    pub from: Option<PathBuf>,
}

/// `attach …`
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The disk.
    pub disk: String,
    /// As /dev/ublkbN [default where the kernel has ublk].
    #[arg(long, conflicts_with = "nbd")]
    pub ublk: bool,
    /// The N of /dev/ublkbN.
    #[arg(long, value_name = "N", conflicts_with = "nbd")]
    pub id: Option<u32>,
    /// As an NBD export.
    #[arg(long, value_name = "unix:PATH|tcp:HOST:PORT", num_args = 0..=1, default_missing_value = "")]
    pub nbd: Option<String>,
    /// Refuse writes.
    #[arg(long)]
    pub read_only: bool,
    /// Attach before the disk is resident here; requests fail (or, with `wait`, wait) until it is.
    #[arg(long, value_name = "wait", num_args = 0..=1, default_missing_value = "refuse", value_parser = ["refuse", "wait"])]
    pub standby: Option<String>,
    /// Stay in the foreground (for service managers).
    #[arg(long)]
    pub foreground: bool,
    /// How long a request may wait for a chunk that is elsewhere.
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    pub fetch_timeout: Duration,
    /// Fetch ahead of demand: on (256M), off, or how many bytes may have come, or be coming, that nobody has wanted yet.
    #[arg(long, default_value = "on", value_parser = super::units::parse_prefetch)]
    pub prefetch: u64,
    /// Look through the held chunks for damage when the last look is so long ago (a time, or off); 8 MiB/s at most.
    #[arg(long, default_value = "30d", value_parser = super::units::parse_period)]
    pub scrub_every: u64,
}

/// `commit …` and `abort …`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The disk.
    pub disk: String,
    /// The site it was prepared for.
    #[arg(long, value_name = "SITE")]
    pub to: Option<String>,
    /// The token that `prepare` printed.
    #[arg(long, value_parser = parse_token)]
    pub token: Option<AttemptId>,
}

fn parse_token(text: &str) -> Result<AttemptId, String> {
    text.parse().map(AttemptId).map_err(|_| "a token is what `wandisk prepare` printed, a UUID".to_owned())
}
