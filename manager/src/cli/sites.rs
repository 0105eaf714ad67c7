//! `snowbird site …`

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::agents::home;
use super::args_sites::SiteCommand;
use super::told::{Told, print, progress};
use crate::control::inventory_of;
use crate::install::{InstallError, begin, install, missing};
use crate::inventory::gather::gather;
use crate::inventory::{Inventory, Lack, bare};
use crate::sites::{Site, Sites};
use crate::wandisk::Wandisk;

/// `wandisk site check` has shorter limits of its own.
const CHECK: Duration = Duration::from_secs(60);

pub(super) fn run(
    command: &SiteCommand,
    named: Option<&Path>,
    wandisk: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode> {
    let home = home(named);
    let program = Wandisk::find(&home, wandisk.as_deref());
    if let SiteCommand::OfWandisk(words) = command {
        let mut command = Command::new(program.map_err(|e| Told::of_wandisk(&e))?.program());
        command.arg("--home").arg(&home).args(json.then_some("--json")).arg("site").args(words);
        return Err(command.exec()).context("wandisk could not be run");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sites = Sites::read(&home).map_err(Told::of_site)?;
    let found = |name: &str| sites.site(name).map_err(Told::of_site);
    runtime.block_on(async {
        match command {
            SiteCommand::Check { site: None } => {
                let inventory = gather(&home, wandisk.as_deref()).await;
                tell(json, &sites.name, &inventory, &Value::Null, &Value::Null)
            }
            SiteCommand::Check { site: Some(name) } => {
                let program = program.map_err(|e| Told::of_wandisk(&e))?;
                let site = found(name)?;
                match look(&home, site, &program).await {
                    Ok((inventory, link)) => tell(json, name, &inventory, &link, &Value::Null),
                    Err(error) => match missing(site).await.map(|lacks| bare(&lacks)) {
                        Ok(lacks) if !lacks.is_empty() => tell_bare(json, name, &lacks),
                        _ => Err(error),
                    },
                }
            }
            SiteCommand::Setup { site, from } => {
                let own = std::env::current_exe()?;
                let from = from.as_deref().or(own.parent()).context("this program's folder is not known")?;
                let program = program.map_err(|e| Told::of_wandisk(&e))?;
                setup(json, &home, found(site)?, from, &program).await
            }
            SiteCommand::OfWandisk(_) => Ok(ExitCode::SUCCESS),
        }
    })
}

/// What a site has, asked now and noted for `create`; and what the link is like.
async fn look(home: &Path, site: &Site, wandisk: &Wandisk) -> Result<(Inventory, Value)> {
    let link = wandisk.ask(&["site", "check", &site.name], CHECK).await.map_err(|error| {
        let setup = format!("`snowbird site setup {}` installs the programs there", site.name);
        Told::of_wandisk(&error).hint(error.hint().map_or(setup.clone(), |hint| format!("{hint}; {setup}")))
    })?;
    let inventory = inventory_of(site).await?;
    inventory.keep(home, &site.name).context("what the site said could not be noted")?;
    Ok((inventory, link))
}

/// Tells what a site lacks where nothing of ours answers.
fn tell_bare(json: bool, name: &str, lacks: &[Lack]) -> Result<ExitCode> {
    let value = json!({ "site": name, "installed": null, "link": null, "inventory": null, "lacks": lacks });
    print(json, &value, || {
        let first = format!("{name}: it can be reached");
        std::iter::once(first).chain(lacks.iter().map(line)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::FAILURE)
}

fn line(lack: &Lack) -> String {
    let weight = if lack.needed { "missing" } else { "note" };
    format!("{weight}: {}; {}.", lack.what, lack.hint)
}

/// Tells it, behind `first`; fails if no agent can be there.
fn tell(json: bool, name: &str, inventory: &Inventory, link: &Value, first: &Value) -> Result<ExitCode> {
    let lacks = inventory.lacks();
    let value =
        json!({ "site": name, "installed": first, "link": link, "inventory": inventory, "lacks": lacks });
    print(json, &value, || {
        let mut lines = vec![in_words(name, inventory, link)];
        lines.extend(lacks.iter().map(line));
        lines.join("\n")
    })?;
    Ok(if lacks.iter().any(|lack| lack.needed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_words(name: &str, inventory: &Inventory, link: &Value) -> String {
    let gib = |bytes: u64| bytes >> 30;
    let qemu = inventory.qemu.as_ref().map_or("no QEMU".to_owned(), |qemu| {
        let by = if qemu.kvm.is_empty() { "by translation" } else { "with KVM" };
        format!("QEMU {}.{} {by}", qemu.version.0, qemu.version.1)
    });
    let far = link["rtt_ms"].as_f64().map_or(String::new(), |ms| format!(", round trip {ms:.1} ms"));
    format!(
        "{name}: snowbird {}, {qemu}, {} processors, {} GiB of memory and {} GiB of room free{far}",
        inventory.snowbird,
        inventory.processors,
        gib(inventory.memory_bytes),
        gib(inventory.free_bytes)
    )
}

async fn setup(json: bool, home: &Path, site: &Site, from: &Path, wandisk: &Wandisk) -> Result<ExitCode> {
    let told = |error: &InstallError| match error.hint() {
        Some(hint) => Told::from(error).hint(hint),
        None => Told::from(error),
    };
    let news = |phase: &str| progress(json, &json!({ "phase": phase }));
    let installed = install(site, from, news).await.map_err(|e| told(&e))?;
    let program = format!("{}/wandisk", installed.folder);
    wandisk
        .ask(&["site", "set", &site.name, "--remote-wandisk", &program], CHECK)
        .await
        .map_err(|e| Told::of_wandisk(&e))?;
    begin(site, &installed.folder).await.map_err(|e| told(&e))?;
    if !json {
        let what = if installed.there_before { "the same programs were there" } else { "programs installed" };
        let older = match installed.running_older {
            0 => String::new(),
            1 => "; one process there runs an older one until it ends".to_owned(),
            more => format!("; {more} processes there run older ones until they end"),
        };
        print(json, &Value::Null, || format!("{}: {what}, in {}{older}", site.name, installed.folder))?;
    }
    let sites = Sites::read(home).map_err(Told::of_site)?;
    let (inventory, link) = look(home, sites.site(&site.name).map_err(Told::of_site)?, wandisk).await?;
    let first = json!({
        "folder": installed.folder,
        "there_before": installed.there_before,
        "running_older": installed.running_older,
    });
    tell(json, &site.name, &inventory, &link, &first)
}
