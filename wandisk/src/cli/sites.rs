//! `wandisk site …`

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wandisk_store::{Home, SiteEntry};

use super::args::{Cli, SiteCommand};
use super::output::{self, Failure};
use super::run::open_home;
use super::units::show_bytes;
use crate::peer::dial;
use crate::peer::permit::Mode;

/// How long the first ping of a session may take.
const PING: Duration = Duration::from_secs(15);

pub(super) async fn run(cli: &Cli, command: &SiteCommand) -> Result<(), Failure> {
    let mut home = open_home(cli)?;
    match command {
        SiteCommand::Add { name, address, remote_home, remote_wandisk, mode } => {
            wandisk_link::Address::parse(address)
                .map_err(|e| Failure::usage(crate::peer::error::chain(&e)))?;
            let entry = SiteEntry {
                name: name.clone(),
                address: address.clone(),
                remote_home: remote_home.clone(),
                remote_wandisk: remote_wandisk.clone(),
                id: None,
                reads_only: *mode == Mode::Ro,
            };
            home.add_site(entry)?;
            output::result(cli, &json!({"site": name, "address": address, "mode": mode.word()}), String::new);
            Ok(())
        }
        SiteCommand::Set { name, address, remote_home, remote_wandisk, mode } => {
            if let Some(address) = address {
                wandisk_link::Address::parse(address)
                    .map_err(|e| Failure::usage(crate::peer::error::chain(&e)))?;
            }
            let entry = home.change_site(name, |site| {
                site.address = address.clone().unwrap_or_else(|| site.address.clone());
                site.remote_home = remote_home.clone().or_else(|| site.remote_home.take());
                site.remote_wandisk = remote_wandisk.clone().or_else(|| site.remote_wandisk.take());
                site.reads_only = mode.map_or(site.reads_only, |mode| mode == Mode::Ro);
            })?;
            output::result(cli, &shown(&entry), String::new);
            Ok(())
        }
        SiteCommand::Ls => {
            let sites: Vec<Value> = home.sites().iter().map(shown).collect();
            output::result(cli, &json!({ "site": home.name(), "sites": sites }), || {
                home.sites()
                    .iter()
                    .map(|s| format!("{:<16} {}  {}", s.name, Mode::of(s).word(), s.address))
                    .collect::<Vec<_>>()
                    .join("\n")
            });
            Ok(())
        }
        SiteCommand::Rm { name } => {
            home.remove_site(name)?;
            output::result(cli, &json!({"removed": name}), String::new);
            Ok(())
        }
        SiteCommand::Check { name } => check(cli, &mut home, name).await,
    }
}

/// A site for programs.
fn shown(site: &SiteEntry) -> Value {
    json!({
        "name": site.name, "address": site.address, "uuid": site.id, "mode": Mode::of(site).word(),
        "remote_home": site.remote_home, "remote_wandisk": site.remote_wandisk,
    })
}

async fn check(cli: &Cli, home: &mut Home, name: &str) -> Result<(), Failure> {
    let entry = home.site(name)?.clone();
    let began = Instant::now();
    let session = dial::lobby_session(home, &entry).await.map_err(|why| {
        Failure::new(format!("site {name} cannot be reached: {why}"))
            .hint(format!("the address is {}; `wandisk site set` changes it", entry.address))
    })?;
    let dial_ms = began.elapsed().as_secs_f64() * 1e3;
    let peer = session.peer().clone();
    if entry.id.is_some_and(|id| id != peer.site) {
        return Err(Failure::new(format!(
            "another site answers at {}: {} ({})",
            entry.address, peer.name, peer.site
        ))
        .hint(format!("`wandisk site rm {name}` and add it again, if that is right")));
    }
    home.set_site_id(name, peer.site)?;
    let deadline = Instant::now() + PING;
    while session.rtt().is_none() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rtt_ms = session.rtt().map(|d| d.as_secs_f64() * 1e3);
    session.close("the check is done");
    let value = json!({
        "name": name, "site": peer.name, "uuid": peer.site, "version": peer.program,
        "dial_ms": dial_ms, "rtt_ms": rtt_ms, "free_bytes": peer.free_bytes,
    });
    output::result(cli, &value, || {
        format!(
            "{name}: wandisk {}, round trip {} ms, reached in {dial_ms:.0} ms, {} free",
            peer.program,
            rtt_ms.map_or_else(|| "?".to_owned(), |ms| format!("{ms:.1}")),
            peer.free_bytes.map_or_else(|| "?".to_owned(), show_bytes)
        )
    });
    Ok(())
}
