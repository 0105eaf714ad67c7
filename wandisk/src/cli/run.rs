//! Dispatch of commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use wandisk_store::{DiskDir, Home};

use super::args::{AttachArgs, Cli, Command};
use super::log_file::LogFile;
use super::output::{self, Failure, Meter};
use super::units::show_bytes;
use super::{authorize, disks, lineages, map, sites};
use crate::keeper::client;
use crate::keeper::commands::Command as Ask;
use crate::keeper::{AttachOptions, FrontEnd, Standby, process};
use crate::peer::message::{MoveReport, SyncOptions, SyncReport};

/// Where this user's site is unless told otherwise.
fn home_path(cli: &Cli) -> PathBuf {
    if let Some(home) = &cli.home {
        return std::path::absolute(home).unwrap_or_else(|_| home.clone());
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/wandisk");
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share");
    data.unwrap_or_else(home).join("wandisk")
}

/// Opens this site's home.
pub(super) fn open_home(cli: &Cli) -> Result<Home, Failure> {
    use wandisk_store::HomeError::{Copied, NotAHome};
    Home::open(&home_path(cli)).map_err(|e| {
        let hint = match e {
            NotAHome { .. } => {
                Some("run `wandisk init --site NAME` first, or name another folder with --home")
            }
            Copied { .. } => {
                Some("a site's folder cannot be copied: make a new site and `wandisk sync` to it")
            }
            _ => None,
        };
        let failure = Failure::from(e);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// Prepares a process that will keep a disk: its own mounts, its own session.
#[cfg(feature = "ublk")]
pub(super) fn become_daemon(cli: &Cli) -> Result<(), Failure> {
    let home = home_path(cli);
    match wandisk_ublk::isolate_mounts(&[&home]) {
        Ok(_) => Ok(()),
        Err(e) => Err(Failure::from(e)),
    }
}

/// Without ublk no process can be a user of its own device.
#[cfg(not(feature = "ublk"))]
pub(super) fn become_daemon(_cli: &Cli) -> Result<(), Failure> {
    Ok(())
}

/// Messages go to standard error; a background keeper's to its log, those of `serve` to the site's `serve.log`.
pub(super) fn init_log(cli: &Cli) {
    let serves = matches!(cli.command, Command::Serve(_));
    let level = match (cli.verbose, cli.is_keeper() || serves) {
        (0, false) => "error",
        (0, true) | (1, _) => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WANDISK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_target(false);
    let log = match &cli.command {
        Command::Keeper { disk } => {
            let dir = Home::open(&home_path(cli)).ok().and_then(|h| h.disk(disk).ok());
            dir.and_then(|d| LogFile::open(&d.log_path()).ok())
        }
        // Standard error goes to the peer.
        Command::Serve(_) => {
            let home = Home::open(&home_path(cli)).ok();
            home.and_then(|h| LogFile::open(&h.path().join("serve.log")).ok())
        }
        _ => None,
    };
    match log {
        Some(file) => builder.with_writer(std::sync::Mutex::new(file)).init(),
        None => builder.with_writer(std::io::stderr).init(),
    }
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Init { site } => disks::init(cli, &home_path(cli), site)?,
        Command::Site(command) => sites::run(cli, command).await?,
        Command::Create(args) => disks::create(cli, args)?,
        Command::Ls => disks::list(cli).await?,
        Command::Status { disk, chunks, here } => {
            let status = ask(cli, disk, Ask::Status { chunks: *chunks, here: *here }).await?;
            output::result(cli, &status, || disks::show_status(&status));
        }
        Command::Map { disk, cells } => {
            let map = ask(cli, disk, Ask::Map { cells: *cells }).await?;
            output::result(cli, &map, || map::show(&map));
        }
        Command::Rm { disk, replica_only, force } => disks::remove(cli, disk, *replica_only, *force).await?,
        Command::Attach(args) => attach(cli, args).await?,
        Command::Detach { disk } => {
            let value = ask(cli, disk, Ask::Detach).await?;
            output::result(cli, &value, String::new);
        }
        Command::Move { disk, to, force } => {
            let value = ask(cli, disk, Ask::Move { to: to.clone(), force: *force }).await?;
            output::result(cli, &value, || show_move(&value));
        }
        Command::Prepare { disk, to, lease, name } => {
            let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            let value = ask(cli, disk, Ask::Prepare { to: to.clone(), lease_ms, name: *name }).await?;
            output::result(cli, &value, || value["token"].as_str().unwrap_or_default().to_owned());
        }
        Command::Commit { attempt, standby } => {
            let asked = Ask::Commit { token: attempt.token, standby: *standby };
            let value = ask(cli, &attempt.disk, asked).await?;
            output::result(cli, &value, || show_move(&value));
        }
        Command::Abort { attempt, name } => {
            let asked = Ask::Abort { token: attempt.token, name: *name };
            let value = ask(cli, &attempt.disk, asked).await?;
            output::result(cli, &value, String::new);
        }
        Command::Sync { disk, site, verify, no_freeze, rate } => {
            let options = SyncOptions { verify: *verify, no_freeze: *no_freeze, rate: *rate };
            let value = ask(cli, disk, Ask::Sync { site: site.clone(), options }).await?;
            output::result(cli, &value, || show_sync(&value));
        }
        Command::Takeover { .. } | Command::Join { .. } | Command::Evict { .. } => {
            return lineages::run(cli, &cli.command).await;
        }
        Command::Verify { disk, site, rate } => return disks::verify(cli, disk, site.clone(), *rate).await,
        Command::Quiesce { disk, wait, off, name } => {
            let wait_ms = (!off).then(|| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let value = ask(cli, disk, Ask::Quiesce { wait_ms, name: *name }).await?;
            output::result(cli, &value, String::new);
        }
        Command::Resize { disk, size } => {
            if !size.is_multiple_of(512) || *size == 0 {
                return Err(Failure::usage("a disk's size is a positive multiple of 512 bytes"));
            }
            let value = ask(cli, disk, Ask::Resize { size_bytes: *size }).await?;
            output::result(cli, &value, String::new);
        }
        Command::Export { disk, file } => disks::export(cli, disk, file).await?,
        Command::Import { disk, file } => {
            let file = std::path::absolute(file)?;
            let value = ask(cli, disk, Ask::Import { file }).await?;
            output::result(cli, &value, || {
                format!(
                    "{} are in place as a basis",
                    show_bytes(value["imported_bytes"].as_u64().unwrap_or(0))
                )
            });
        }
        // It makes its own threads, late: see `serve`.
        Command::Serve(_) => return Err(Failure::usage("serve is a command of its own")),
        Command::Authorize(args) => authorize::run(cli, args)?,
        Command::Keeper { disk } => {
            let home = open_home(cli)?;
            let dir = home.disk(disk)?;
            process::background(home, &dir).await?;
        }
        Command::Completions { shell } => {
            use clap::CommandFactory;
            clap_complete::generate(*shell, &mut Cli::command(), "wandisk", &mut std::io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a disk's keeper carry a command out, showing progress.
pub(super) async fn ask(cli: &Cli, disk: &str, command: Ask) -> Result<Value, Failure> {
    let home = open_home(cli)?;
    let dir = home.disk(disk)?;
    ask_in(cli, home.path(), &dir, command).await
}

pub(super) async fn ask_in(cli: &Cli, home: &Path, dir: &DiskDir, command: Ask) -> Result<Value, Failure> {
    let mut meter = Meter::new(cli);
    Ok(client::run(home, dir, &command, |news| meter.show(&news)).await?)
}

fn attach_options(args: &AttachArgs) -> AttachOptions {
    let front_end = match &args.nbd {
        Some(address) => FrontEnd::Nbd { address: (!address.is_empty()).then(|| address.clone()) },
        None if args.ublk || args.id.is_some() => FrontEnd::Ublk { id: args.id },
        None => FrontEnd::Any,
    };
    let standby = match args.standby.as_deref() {
        None => Standby::No,
        Some("wait") => Standby::Wait,
        Some(_) => Standby::Refuse,
    };
    AttachOptions {
        front_end,
        read_only: args.read_only,
        standby,
        fetch_timeout_ms: u64::try_from(args.fetch_timeout.as_millis()).unwrap_or(u64::MAX),
        prefetch_bytes: args.prefetch,
        scrub_every_ms: Some(args.scrub_every).filter(|ms| *ms > 0),
    }
}

async fn attach(cli: &Cli, args: &AttachArgs) -> Result<(), Failure> {
    let options = attach_options(args);
    let home = open_home(cli)?;
    let dir = home.disk(&args.disk)?;
    if args.foreground {
        if dir.lock().is_err() && dir.exists() {
            // A keeper that idles gives way; one that is attached refuses.
            client::run(home.path(), &dir, &Ask::Quit, |_| {}).await?;
        }
        let lock = client::take_over_lock(&dir).await?;
        let tell = |report: &crate::keeper::AttachReport| {
            let value = serde_json::to_value(report).unwrap_or_default();
            output::result(cli, &value, || disks::place(&value));
        };
        process::foreground(home, &dir, lock, options, tell).await?;
        return Ok(());
    }
    let value = ask_in(cli, home.path(), &dir, Ask::Attach { options }).await?;
    output::result(cli, &value, || disks::place(&value));
    Ok(())
}

fn show_move(value: &Value) -> String {
    let report: MoveReport = serde_json::from_value(value.clone()).unwrap_or_default();
    let syncs = match report.syncs() {
        (0, _) => String::new(),
        (1, took_ms) => format!(" (a sync in it took {took_ms:.0} ms)"),
        (syncs, took_ms) => format!(" ({syncs} syncs in it took {took_ms:.0} ms)"),
    };
    format!(
        "resident at {} (epoch {}): {} rows, {}, writes held {:.0} ms{syncs}, {:.0} ms in all",
        report.to,
        report.epoch,
        report.rows,
        show_bytes(report.bytes),
        report.freeze_ms,
        report.total_ms
    )
}

fn show_sync(value: &Value) -> String {
    let report: SyncReport = serde_json::from_value(value.clone()).unwrap_or_default();
    let mut text = format!(
        "{} is complete and current: {} chunks, {}, {} passes, {:.1} s",
        report.site,
        report.chunks,
        show_bytes(report.bytes),
        report.passes,
        report.total_ms / 1e3
    );
    if report.verified > 0 {
        text.push_str(&format!(", {} chunks verified", report.verified));
    }
    text
}
