//! The options of `serve` that concern browsers, and opening their door.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use vmgl_proxy::Address;
use vmgl_proxy::address::Listener;
use vmgl_proxy::web::guard::Guard;
use vmgl_proxy::web::shelf::{self, ADVICE, Shelf};

#[derive(Debug, Args)]
pub(super) struct Browsers {
    /// Where browsers find the page that is a viewer; its address is printed once it is open
    #[arg(long, value_name = "ADDR")]
    ws: Option<Address>,
    /// A name by which browsers may call this proxy, beside addresses and localhost; may be repeated
    #[arg(long, value_name = "NAME", requires = "ws")]
    ws_name: Vec<String>,
    /// noVNC's folder, with core/rfb.js in it; otherwise looked for beside the program and in /usr/share/novnc
    #[arg(long, value_name = "DIR", requires = "ws")]
    novnc: Option<PathBuf>,
}

/// A door that is open, and what it shows.
pub(super) struct Front {
    pub(super) listener: Listener,
    /// What to type into a browser.
    pub(super) url: String,
    pub(super) guard: Guard,
    pub(super) shelf: Shelf,
}

impl Browsers {
    /// Opens the door, if one is wanted.
    #[allow(clippy::print_stderr, reason = "who starts it is told what will be missing")]
    pub(super) async fn open(self, has_password: bool) -> Result<Option<Front>> {
        let Some(at) = self.ws else { return Ok(None) };
        let shelf = match self.novnc.or_else(shelf::find) {
            Some(folder) => Shelf::with_modules(&folder).context("--novnc")?,
            None => {
                eprintln!("{ADVICE}");
                Shelf::default()
            }
        };
        let mut names = self.ws_name;
        if let Address::Tcp(text) = &at
            && let Some((host, _)) = text.rsplit_once(':')
        {
            names.push(host.to_owned());
            if !has_password && !is_loopback(text) {
                eprintln!("Whoever reaches {at} can look and type without a password: see --password-file.");
            }
        }
        let listener = at.listen().await.with_context(|| format!("listening at {at}"))?;
        let open = listener.address()?;
        let url = open.strip_prefix("tcp:").map_or(open.clone(), |at| format!("http://{at}/"));
        Ok(Some(Front { listener, url, guard: Guard::new(names), shelf }))
    }
}

fn is_loopback(text: &str) -> bool {
    text.to_socket_addrs().is_ok_and(|mut all| all.all(|at| at.ip().is_loopback()))
}
