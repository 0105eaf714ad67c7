//! The words of the commands about sites.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;

pub(super) const SITE: &str =
    "Everything else goes to `wandisk site`, whose sites these are: add, set, ls, rm.

Examples:
  snowbird site add big ssh://me@big.example.org
  snowbird site setup big
  snowbird site check big
  snowbird site ls";

const CHECK: &str = "Examples:
  snowbird site check            what this site has
  snowbird site check big        whether agents can be at big, and what it is without
  snowbird --json site check big | jq '.lacks[].what'

What other sites have is noted: `snowbird create` chooses a machine and a processor that all of them can show to an agent.
A site at which neither program is, is told what it lacks if it gives us a shell.
Exit code 1: something is missing without which no agent can be there.";

const SETUP: &str = "Examples:
  snowbird site setup big
  snowbird site setup big --from dist

Brings snowbird and wandisk to the site over its link: into the folder of --remote-wandisk, else ~/.local/lib/snowbird there.
Nothing is replaced before the new programs were seen to run there; what runs there meanwhile keeps the older ones until it ends.
A site's folder is made if there is none.
QEMU is not brought: `snowbird site check` says whether it is there.";

#[derive(Debug, Subcommand)]
pub(super) enum SiteCommand {
    /// Says what a site has for agents, and what it lacks.
    #[command(after_help = CHECK)]
    Check {
        /// The site; without a name, this one.
        site: Option<String>,
    },
    /// Installs snowbird and wandisk at a site, or newer ones.
    #[command(after_help = SETUP)]
    Setup {
        /// The site.
        site: String,
        /// A folder of this machine with both programs [default: that of this program].
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// What goes to `wandisk site`.
    #[command(external_subcommand)]
    OfWandisk(Vec<OsString>),
}
