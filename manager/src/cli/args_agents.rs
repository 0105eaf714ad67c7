//! The words of the commands about agents.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::args_net::{NET, NetCommand};
use super::cd::{CD, CdCommand};
use super::dashboard::{DASHBOARD, DashboardArgs};

const CREATE: &str = "Examples:
  snowbird create work --image debian.qcow2 --memory 2G --vcpus 4
  snowbird create work --disk work --memory 512M --vcpus 2
  snowbird create new --size 40G --cdrom debian-12-netinst.iso --uefi --memory 4G --vcpus 4
  snowbird create try --size 1G --memory 256M --vcpus 1 --kernel vmlinuz --initrd initrd.img --append console=ttyS0
  snowbird create fast --disk work --ublk --memory 8G --vcpus 8     at sites that all have ublk and are root's";

const LAUNCH: &str = "Examples:
  snowbird launch work
  wandisk takeover work --force && snowbird launch work --here     the site where it was is lost for good

It begins where it is, as its power button would have it begin. After a takeover what it did since the last sync is gone with the
site that is lost; should that come back, its copy must not be launched there (`wandisk join` makes it follow).";

const MIGRATE: &str = "Examples:
  snowbird migrate work --to big
  snowbird --json migrate work --to big | jq .suspended_ms

Ctrl-C cancels the move as long as the agent has not been handed over; after that it is waited for.";

const AUTO: &str = "Examples:
  snowbird auto work auto --role compute=big            moves by the built-in profile, between home and big
  snowbird auto work advise --profile render.toml       only tells, in `snowbird log work`, what it would do
  snowbird auto work auto --role compute=big --role compute=cluster --role desk=laptop
  snowbird auto work off

Said at the agent's home. A profile names places (desk, home, compute, data:NAME); which sites they are is said here, `home`
is where the agent was created, and `desk` is there too unless it is given a site. A watcher at home does the rest: it outlives
this command and the login, and where it has died, or the machine was started anew, the next command of snowbird begins it again.
`snowbird status` shows what is read and what would move it; `snowbird log` why it was moved or not.";
const SUSPEND: &str = "Examples:
  snowbird suspend work
  snowbird suspend work && snowbird resume work --at big

The file is in the agent's folder at its site (`snowbird status`), and is removed when the agent runs again.
Until then only `resume`, `kill` and `purge` are taken, and its disk must not be written to by anybody else.";

const RESUME: &str = "Examples:
  snowbird resume work
  snowbird resume work --at big          its disk is handed over, too

Whatever goes wrong leaves the agent suspended where it was; the same command tries again.";

const VIEW: &str = "Examples:
  snowbird view work                           with $SNOWBIRD_VIEWER, else vncviewer
  SNOWBIRD_VIEWER='remmina -c' snowbird view work
  vncviewer $(snowbird view work --print)
  snowbird view work --guest                   a VNC server inside the agent: the first that answers, ports 5900 to 5909
  snowbird view work --guest=5931
  snowbird view work --machine                 the machine's own screen again
  snowbird view work --gl                      its OpenGL programs are drawn here; --gl=7300 names the port, --no-gl ends it

Which screen is shown is remembered. A server inside the agent must be reachable from outside it (Xvnc -localhost=0); it is
reached through the agent's network at its home, and its connection survives moves.
The address stays the same while the agent moves, and viewers stay connected; every user of this machine can connect to it.
The proxy behind it ends when the agent is off.
With --gl, said at the agent's home and remembered, the agent's programs are drawn by way of tcp:10.0.2.2:PORT wherever it is.
In it, install VMGL's library once (vmgl-proxy gl install --to tcp:10.0.2.2:PORT). Every user of this machine can connect to that port, too, and have things drawn.";

const HOME: &str = "Examples:
  snowbird home work --to laptop
  snowbird home work --to laptop --network      and its network is led through that at once
  snowbird home work --to big --force           said at big: the home that was is lost for good

What was said to `snowbird auto` and `stay`, and what was learnt of its moves, goes with it. Its connections go on by the home of before until that
cannot be reached for half a minute, or by --network break at once; OpenGL that is drawn at that home (`view --gl`) is then drawn at the new one. Where the home is lost, the new one goes on
with what the agent brought along of it: `auto` and `stay`, what was learnt, forwards and anchors, as they were when the site heard of them
last; it says what it could not take over: a profile with sensors of its own (they are commands of the lost site, and none says what another
one runs) or of more than 32 KiB (it does not travel: `snowbird auto AGENT MODE --profile FILE` says it anew), and more than 16 KiB of what was learnt, which is learnt again. A home that answers is not lost. One that comes back after all hears where
the agent is that it is the home no longer.";

const STATUS: &str = "Examples:
  snowbird status
  snowbird --json status work | jq .state";

#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Makes an agent: a virtual machine with a WANDisk disk, which may run at any site.
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Starts an agent, or lets a paused one go on.
    #[command(after_help = LAUNCH)]
    Launch {
        /// The agent.
        agent: String,
        /// At this site, whatever is known of where it was: its disk must be resident here.
        #[arg(long)]
        here: bool,
    },
    /// Presses an agent's power button and waits until it is off.
    #[command(after_help = "Examples:\n  snowbird shutdown work || snowbird kill work")]
    Shutdown {
        /// The agent.
        agent: String,
    },
    /// Ends an agent at once, as pulling the plug does.
    #[command(after_help = "Examples:\n  snowbird kill work")]
    Kill {
        /// The agent.
        agent: String,
    },
    /// Takes the CD out of an agent's drive, or puts one in.
    #[command(after_help = CD)]
    Cd {
        /// The agent.
        agent: String,
        #[command(subcommand)]
        command: CdCommand,
    },
    /// Removes an agent that is off, and its disk, at every site.
    #[command(
        after_help = "Examples:\n  snowbird purge work --yes\n  snowbird purge work --yes --here       what other sites have of it stays\n\nIf a site that has a replica of its disk does not answer, nothing is removed."
    )]
    Purge {
        /// The agent.
        agent: String,
        /// Really.
        #[arg(long, required = true)]
        yes: bool,
        /// Only what is at this site.
        #[arg(long)]
        here: bool,
    },
    /// Makes an agent's disk complete at a site; ends when it is.
    #[command(
        after_help = "Examples:\n  snowbird sync work --site desk\n\nThe agent goes on meanwhile; afterwards it can run there without any other site. \
                      Interrupting it loses nothing that arrived."
    )]
    Sync {
        /// The agent.
        agent: String,
        /// The site, by its name.
        #[arg(long)]
        site: String,
    },
    /// Has an agent stay where it is: `auto` does not move it. Said at its home.
    #[command(
        after_help = "Examples:\n  snowbird stay work --for 2h\n  snowbird stay work             for 30 days\n  snowbird stay work --for 0s    it may be moved again"
    )]
    Stay {
        /// The agent.
        agent: String,
        /// For how long.
        #[arg(long = "for", value_name = "TIME", value_parser = crate::duration)]
        time: Option<Duration>,
    },
    /// Makes another site an agent's home, where orders about it are given. Said at its old home.
    #[command(after_help = HOME)]
    Home {
        /// The agent.
        agent: String,
        /// The site, by its name.
        #[arg(long, value_name = "SITE")]
        to: String,
        /// The home is lost for good: this site takes its place.
        #[arg(long)]
        force: bool,
        /// Lead its network through the new home at once: its connections break, but what its OpenGL programs draw goes on there
        #[arg(long, conflicts_with = "force")]
        network: bool,
    },
    /// Lists the agents that are known at this site.
    #[command(after_help = "Examples:\n  snowbird ls")]
    Ls,
    /// Says how an agent stands, wherever it is; without a name, every agent.
    #[command(after_help = STATUS)]
    Status {
        /// The agent.
        agent: Option<String>,
    },
    /// Opens an agent's screen, wherever the agent is.
    #[command(after_help = VIEW)]
    View(ViewArgs),
    /// Serves a live page of all agents and sites, with their screens, for a browser on this machine.
    #[command(after_help = DASHBOARD)]
    Dashboard(DashboardArgs),
    /// Moves a running agent, with its disk, to another site.
    #[command(after_help = MIGRATE)]
    Migrate {
        /// The agent.
        agent: String,
        /// The site, by its name.
        #[arg(long, value_name = "SITE")]
        to: String,
    },
    /// Stops an agent and keeps its memory in a file; it goes on with `resume`.
    #[command(after_help = SUSPEND)]
    Suspend {
        /// The agent.
        agent: String,
    },
    /// Lets a suspended agent go on, where it is or at another site.
    #[command(after_help = RESUME)]
    Resume {
        /// The agent.
        agent: String,
        /// The site, by its name.
        #[arg(long, value_name = "SITE")]
        at: Option<String>,
        /// Even if its disk was at another site since: what was written there breaks its file system.
        #[arg(long)]
        force: bool,
    },
    /// Gives a move up, or a suspension that is not whole; the agent goes on where it was.
    #[command(after_help = "Examples:\n  snowbird cancel work")]
    Cancel {
        /// The agent.
        agent: String,
    },
    /// Says what the manager may do by itself with an agent: nothing, tell what it would do, or move it.
    #[command(after_help = AUTO)]
    Auto(AutoArgs),
    /// Tells what happened to an agent at this site, and what was decided for it and why.
    #[command(
        after_help = "Examples:\n  snowbird log work\n  snowbird log work --lines 500\n  snowbird --json log work | jq '.log[].record // empty'"
    )]
    Log {
        /// The agent.
        agent: String,
        /// The newest so many.
        #[arg(long, default_value_t = 100)]
        lines: u32,
    },
    /// Serves another site over standard input and output (used by links).
    #[command(hide = true)]
    Host {
        /// The only way there is.
        #[arg(long, required = true)]
        stdio: bool,
    },
    /// Watches an agent (used by other commands).
    #[command(hide = true)]
    Watch {
        /// The agent.
        agent: String,
    },
    /// An agent's network: ports that lead into it, destinations at other sites, what passed.
    #[command(after_help = NET)]
    Net {
        /// The agent.
        agent: String,
        #[command(subcommand)]
        command: NetCommand,
    },
    /// Is an agent's switch (used by other commands).
    #[command(hide = true)]
    Switch {
        /// The agent.
        agent: String,
    },
    /// Is a gateway with a tap, in an agent's folder (used by switches).
    #[command(hide = true)]
    Gateway {
        /// The agent; here only to be seen in lists of processes.
        agent: uuid::Uuid,
    },
    /// Keeps an agent (used by other commands).
    #[command(hide = true)]
    Supervise {
        /// The agent.
        agent: String,
    },
    /// Keeps the way to an agent's screen (used by view).
    #[command(hide = true)]
    Attend {
        /// The agent.
        agent: String,
    },
}

/// `view …`
#[derive(Debug, Args)]
pub(super) struct ViewArgs {
    /// The agent.
    pub(super) agent: String,
    /// Print the address for a viewer and open none.
    #[arg(long)]
    pub(super) print: bool,
    /// Show a VNC server inside the agent.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        conflicts_with = "machine"
    )]
    pub(super) guest: Option<u16>,
    /// Show the machine's own screen.
    #[arg(long)]
    pub(super) machine: bool,
    /// Draw the agent's OpenGL programs here, at its home; by this port of its loopback, else the last one, else a free one.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        conflicts_with = "no_gl"
    )]
    pub(super) gl: Option<u16>,
    /// Draw them here no longer; those that run go on.
    #[arg(long)]
    pub(super) no_gl: bool,
}

/// Who is to run the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    /// KVM if it works here, else tcg.
    Auto,
    /// The processor.
    Kvm,
    /// Translation: slow, everywhere.
    Tcg,
}

/// `auto …`
#[derive(Debug, Args)]
pub(super) struct AutoArgs {
    /// The agent.
    pub(super) agent: String,
    /// What may be done.
    #[arg(value_enum)]
    pub(super) mode: AutoMode,
    /// The site of a role of its profile; several are candidates, in this order. What is not named stays as it was.
    #[arg(long = "role", value_name = "ROLE=SITE", value_parser = super::args::mapping)]
    pub(super) roles: Vec<(String, String)>,
    /// The profile from now on: a file, or the name of one that is part of the program.
    #[arg(long, value_name = "PROFILE")]
    pub(super) profile: Option<String>,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AutoMode {
    /// Nothing is decided.
    Off,
    /// Decisions are written into its log, and nobody moves.
    Advise,
    /// Decisions are carried out.
    Auto,
}

/// `create …`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).multiple(true).args(["image", "disk", "size"])))]
pub(super) struct CreateArgs {
    /// Its name, and its disk's.
    pub(super) agent: String,
    /// Fill its disk from an image: raw, or anything qemu-img reads.
    #[arg(long, value_name = "FILE", conflicts_with = "disk")]
    pub(super) image: Option<PathBuf>,
    /// Use this WANDisk disk.
    #[arg(long, value_name = "DISK", conflicts_with = "size")]
    pub(super) disk: Option<String>,
    /// The disk's size; with an image, what it is grown to (K, M, G, T are powers of 1024).
    #[arg(long, value_parser = size)]
    pub(super) size: Option<u64>,
    /// Its memory.
    #[arg(long, value_parser = size)]
    pub(super) memory: u64,
    /// Its processors.
    #[arg(long)]
    pub(super) vcpus: u32,
    /// Boot this kernel instead of the disk; every site must have it at the same path.
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,
    /// Put this image into its CD drive: it boots from it while its disk holds no system. Every site must have it at the same path.
    #[arg(long, value_name = "ISO")]
    pub(super) cdrom: Option<PathBuf>,
    /// Boot by UEFI instead of a BIOS; every site must have the package ovmf.
    #[arg(long)]
    pub(super) uefi: bool,
    /// Its disk is a block device (/dev/ublkbN) at each of its sites instead of an NBD export: every site must have ublk, and be root's.
    /// ($SNOWBIRD_UBLK=1 says the same.)
    #[arg(long, env = "SNOWBIRD_UBLK", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(super) ublk: bool,
    /// The kernel's first root.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(super) initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "")]
    pub(super) append: String,
    /// The processor that it is shown, in QEMU's words [default: the ablest that every site has that was checked].
    #[arg(long, value_name = "MODEL")]
    pub(super) cpu: Option<String>,
    /// Who runs it, at every site: it cannot move between the two.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) accelerator: Choice,
    /// The site that is its home, where orders come from and its network is, if not this one (whose folder --home names).
    #[arg(long, value_name = "SITE")]
    pub(super) at: Option<String>,
    /// By which `snowbird auto` moves it: a file, or the name of a profile that is part of the program [default: builtin].
    #[arg(long, value_name = "PROFILE")]
    pub(super) profile: Option<String>,
}

/// A size as people write it: a number of bytes, or with K, M, G or T.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write it as 512M");
    let text = text.strip_suffix("iB").unwrap_or(text);
    let (number, power) = match text.chars().last().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => (&text[..text.len() - 1], 10),
        Some('M') => (&text[..text.len() - 1], 20),
        Some('G') => (&text[..text.len() - 1], 30),
        Some('T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << power).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!((size("512M"), size("4096"), size("1GiB")), (Ok(512 << 20), Ok(4096), Ok(1 << 30)));
        for bad in ["", "M", "-1", "0", "1.5G", "99999999T", "µ"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
