//! Commands about disks that need more than one question to the keeper.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use wandisk_store::meta::{DISK_SIZE_MAX, DiskMeta, KnownSite};
use wandisk_store::{DiskId, Home, LineageId, OpenError};

use super::args::{Cli, CreateArgs};
use super::output::{self, Failure, Meter};
use super::run::{ask, ask_in, open_home};
use super::units::show_bytes;
use crate::image::{self, Image, ImageError};
use crate::keeper::client;
use crate::keeper::commands::Command as Ask;
use crate::peer::message::Progress;

pub(super) fn init(cli: &Cli, path: &Path, site: &str) -> Result<(), Failure> {
    let home = Home::init(path, site)?;
    let value = json!({"site": home.name(), "uuid": home.id(), "home": home.path()});
    output::result(cli, &value, || format!("site {} at {}", home.name(), home.path().display()));
    Ok(())
}

/// Either of the two things that can go wrong while a disk is filled.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Image(#[from] ImageError),
}

pub(super) fn create(cli: &Cli, args: &CreateArgs) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let dir = home.disk(&args.disk)?;
    let image = args.from.as_deref().map(Image::open).transpose()?;
    let size_bytes = match (args.size, &image) {
        (Some(size), _) => size,
        (None, Some(image)) => image.virtual_size.next_multiple_of(512),
        (None, None) => return Err(Failure::usage("--size or --from is needed")),
    };
    if size_bytes == 0 || !size_bytes.is_multiple_of(512) || size_bytes > DISK_SIZE_MAX {
        return Err(Failure::usage(format!(
            "{size_bytes} bytes cannot be a disk's size: it is a positive multiple of 512"
        )));
    }
    let here = KnownSite::named(home.id(), home.name());
    let meta = DiskMeta::new(DiskId::random(), size_bytes, args.chunk_size, LineageId::random(), here);
    let meter = std::cell::RefCell::new(Meter::new(cli));
    let progress = |done: u64, total: u64| {
        meter.borrow_mut().show(&Progress { phase: "image".to_owned(), total, done, bytes: done });
    };
    let mut written = 0;
    dir.create::<FillError>(&meta, |path, data, meta, table| {
        if let Some(image) = &image {
            image.fill(path, data, meta, table, &progress)?;
            written = table.counts().written;
        }
        Ok(())
    })
    .map_err(|e| match e {
        FillError::Open(OpenError::Exists { .. }) => {
            Failure::from(e).hint("choose another name, or see `wandisk ls`")
        }
        other => Failure::from(other),
    })?;
    drop(meter);
    let value = json!({"disk": args.disk, "uuid": meta.uuid, "size": size_bytes, "chunk_size": args.chunk_size, "written": written});
    output::result(cli, &value, || {
        format!("{}: {}, {} chunks written", args.disk, show_bytes(size_bytes), written)
    });
    Ok(())
}

pub(super) async fn list(cli: &Cli) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let mut disks = Vec::new();
    for dir in home.disks()? {
        let status = client::run(home.path(), &dir, &Ask::Status { chunks: false, here: true }, |_| {}).await;
        disks.push(match status {
            Ok(status) => status,
            Err(e) => json!({"disk": dir.name(), "error": e.message}),
        });
    }
    let value = json!({ "disks": disks });
    output::result(cli, &value, || {
        let rows = disks.iter().map(|d| {
            let text = |key: &str| d[key].as_str().unwrap_or("-").to_owned();
            let size = d["size"].as_u64().map_or_else(|| "-".to_owned(), show_bytes);
            let attached = d["device"].as_str().or(d["uri"].as_str()).unwrap_or("-");
            let note = d["error"].as_str().unwrap_or_default();
            format!("{:<20} {:>10}  {:<16} {attached} {note}", text("disk"), size, text("resident"))
                .trim_end()
                .to_owned()
        });
        rows.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

pub(super) fn place(value: &Value) -> String {
    value["device"].as_str().or(value["uri"].as_str()).unwrap_or_default().to_owned()
}

pub(super) fn show_status(s: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    let chunks = &s["chunks"];
    let mut lines = vec![
        format!("disk      {} ({})", text(&s["disk"]), text(&s["uuid"])),
        format!(
            "size      {}, chunks of {}",
            show_bytes(number(&s["size"])),
            show_bytes(number(&s["chunk_size"]))
        ),
        format!("resident  {} (epoch {}); here: {}", text(&s["resident"]), s["epoch"], text(&s["residency"])),
        format!("attached  {}", s["device"].as_str().or(s["uri"].as_str()).unwrap_or("no")),
        format!(
            "chunks    {} written: {} held, {} stale, {} absent; {} zero; {} only here",
            chunks["written"],
            chunks["held"],
            chunks["stale"],
            chunks["absent"],
            chunks["zero"],
            chunks["only_here"]
        ),
        format!("on disk   {}", show_bytes(number(&s["allocated_bytes"]))),
    ];
    if let Some(fork) = s["forks"].as_array().and_then(|forks| forks.last()) {
        let (parent, epoch) = (text(&fork["parent"]), &fork["epoch"]);
        lines.push(format!("lineage   {}, taken over from {parent} at epoch {epoch}", text(&s["lineage"])));
    }
    if number(&chunks["overlaid"]) > 0 {
        let n = &chunks["overlaid"];
        lines.push(format!("partly    {n} chunks were written in part while the rest of them is elsewhere: it is being fetched"));
    }
    let fetch = &s["fetch"];
    if number(&fetch["demand"]) + number(&fetch["prefetched"]) > 0 {
        lines.push(format!(
            "fetched   {} chunks on demand, {} ahead of it ({} of use so far; {} not wanted yet)",
            fetch["demand"],
            fetch["prefetched"],
            fetch["prefetch_used"],
            show_bytes(number(&fetch["prefetch_unused_bytes"]))
        ));
    }
    if number(&chunks["lost"]) > 0 {
        lines.push(format!("lost      {} chunks: reading them is an error", chunks["lost"]));
    }
    if s["leaving"] == true {
        lines.push(
            "leaving   a removal was begun: `wandisk rm` ends it, `wandisk sync` takes it back".to_owned(),
        );
    }
    for site in s["sites"].as_array().into_iter().flatten() {
        let reach = if site["reachable"] == true { "reachable" } else { "not reachable" };
        let rtt = site["rtt_ms"].as_f64().map_or_else(String::new, |ms| format!(", {ms:.1} ms"));
        let complete = match site["missing_chunks"].as_u64() {
            Some(0) => ", complete".to_owned(),
            Some(n) => format!(", {n} chunks missing"),
            None => String::new(),
        };
        let diverged = if site["diverged"] == true {
            format!(", DIVERGED: lineage {}", text(&site["lineage"]))
        } else {
            String::new()
        };
        lines.push(format!("site      {}: {reach}{rtt}{complete}{diverged}", text(&site["name"])));
    }
    if let Some(why) = s["failure"].as_str() {
        lines.push("The store failed: no more is written until the disk is attached again.".to_owned());
        lines.push(format!("failure   {why}"));
    }
    lines.extend(s["map"].as_str().map(str::to_owned));
    lines.join("\n")
}

pub(super) async fn remove(cli: &Cli, disk: &str, replica_only: bool, force: bool) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let dir = home.disk(disk)?;
    let value = ask_in(cli, home.path(), &dir, Ask::Release { force, replica_only }).await?;
    // The keeper has agreed and ends; whoever holds the lock now may remove the files.
    let lock = client::take_over_lock(&dir).await?;
    // First the tombstone: a crash leaves both, or the tombstone alone.
    let tombstone: wandisk_store::Tombstone = serde_json::from_value(value["tombstone"].clone())?;
    home.bury(&tombstone)?;
    dir.remove(lock)?;
    output::result(cli, &value, String::new);
    Ok(())
}

pub(super) async fn verify(
    cli: &Cli,
    disk: &str,
    site: Option<String>,
    rate: Option<u64>,
) -> Result<ExitCode, Failure> {
    let value = ask(cli, disk, Ask::Verify { site, rate }).await?;
    let many = |key: &str| value[key].as_array().map_or(0, Vec::len);
    let (differing, repaired) = (many("differing"), many("repaired"));
    output::result(cli, &value, || {
        let mut text = format!(
            "{} chunks compared, {differing} differ, {} without anything to compare with, {} missing here; the table is {}",
            value["compared"],
            value["unknown"],
            value["missing"],
            if value["table_ok"] == true { "sound" } else { "NOT SOUND" }
        );
        if repaired > 0 {
            text.push_str(&format!("\n{repaired} were fetched anew: chunks {}", value["repaired"]));
        }
        if many("lost") > 0 {
            text.push_str(&format!(
                "\n{} ARE DAMAGED and no other site could give them: chunks {}. Reading them fails until they are overwritten, or \
                 `wandisk verify` is run while a site that holds them can be reached.",
                many("lost"),
                value["lost"]
            ));
        }
        text
    });
    let good = differing == repaired && value["table_ok"] == true;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn export(cli: &Cli, disk: &str, file: &Path) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let dir = home.disk(disk)?;
    let status = ask_in(cli, home.path(), &dir, Ask::Status { chunks: false, here: true }).await?;
    if status["attached"] == true {
        return Err(
            Failure::new("the disk is attached, and an export would mix moments").hint("detach it first")
        );
    }
    ask_in(cli, home.path(), &dir, Ask::Complete).await?;
    let size = status["size"].as_u64().unwrap_or(0);
    // Nobody writes while this process holds the keeper's lock.
    client::run(home.path(), &dir, &Ask::Quit, |_| {}).await?;
    let lock = client::take_over_lock(&dir).await?;
    let mut meter = Meter::new(cli);
    let meter = std::cell::RefCell::new(&mut meter);
    let progress = |done: u64, total: u64| {
        meter.borrow_mut().show(&Progress { phase: "export".to_owned(), total, done, bytes: done });
    };
    let copied = image::export(&dir.data_path(), file, size, &progress)?;
    drop(lock);
    let value = json!({"file": file, "size": size, "bytes": copied});
    output::result(cli, &value, || {
        format!("{}: {} of {}", file.display(), show_bytes(copied), show_bytes(size))
    });
    Ok(())
}
