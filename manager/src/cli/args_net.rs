//! The words of `snowbird net`.

use clap::{Subcommand, ValueEnum};

use crate::net::anchors::Prefix;
use crate::net::config::{Forward, Kind};

pub(super) const NET: &str = "Examples:
  snowbird net work ls
  snowbird net work forward tcp 8022:22            # then: ssh -p 8022 localhost, wherever the agent is
  snowbird net work unforward tcp 8022
  snowbird net work anchor 10.1.0.0/16=big         # reached by big's network, directly while the agent is there
  snowbird net work anchor 10.1.0.0/16=desk        # by home's again
  snowbird net work gateway tap                    # as root: the kernel's TCP, as fast from afar as the line
  snowbird net work gateway slirp --at big         # what needs no right, at another site

Forwards and anchors are changed at the agent's home. The agent reaches home's loopback at 10.0.2.2.";

#[derive(Debug, Subcommand)]
pub(super) enum NetCommand {
    /// Says how the agent's network stands, and what passed.
    Ls,
    /// Lets a port of home's lead into the agent.
    Forward {
        /// Of which kind.
        protocol: Protocol,
        /// HOSTPORT:GUESTPORT, or ADDRESS:HOSTPORT:GUESTPORT for others than this host.
        #[arg(value_name = "HOSTPORT:GUESTPORT", value_parser = forward)]
        forward: Forward,
    },
    /// Takes a forward away; its open connections stay.
    Unforward {
        /// Of which kind.
        protocol: Protocol,
        /// The port of home's.
        #[arg(value_name = "HOSTPORT")]
        port: u16,
    },
    /// Has destinations reached by the network of a site. Open connections to them break.
    Anchor {
        /// Which destinations, and the site; home's name is how they are given back.
        #[arg(value_name = "PREFIX=SITE", value_parser = anchor)]
        anchor: (Prefix, String),
    },
    /// Says what the agent's gateway at a site is. Connections through it break.
    Gateway {
        /// `slirp` needs no right, and has at most 64 KiB of a connection on its way; `tap` needs root at that site.
        #[arg(value_name = "slirp|tap")]
        kind: Kind,
        /// At which site; this one unless told otherwise.
        #[arg(long, value_name = "SITE")]
        at: Option<String>,
    },
}

/// What is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// Connections.
    Tcp,
}

fn forward(text: &str) -> Result<Forward, String> {
    Forward::parse(text).ok_or_else(|| format!("{text:?} is no forward: write it as 8022:22"))
}

fn anchor(text: &str) -> Result<(Prefix, String), String> {
    let (prefix, site) = text.split_once('=').ok_or("write it as 10.1.0.0/16=SITE")?;
    if !crate::agent::is_name(site) {
        return Err(format!("{site:?} is no site's name"));
    }
    let prefix: Prefix = prefix.parse().map_err(|error| format!("{error}"))?;
    Ok((prefix.check().map_err(|error| error.to_string())?, site.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_a_prefix_and_a_site() {
        assert_eq!(anchor("10.1.0.0/16=big").unwrap().1, "big");
        for bad in
            ["10.1.0.0/16", "10.1.0.0/16=", "=big", "10.1.0.1/16=big", "10.0.2.0/24=big", "10.1.0.0/16=../x"]
        {
            assert!(anchor(bad).is_err(), "{bad}");
        }
    }
}
