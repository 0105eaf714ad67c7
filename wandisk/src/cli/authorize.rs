//! `wandisk authorize`: the `authorized_keys` line that lets a peer's key do one thing.

use serde_json::json;
use wandisk_store::{DiskId, Home, SiteId};

use super::args::{AuthorizeArgs, Cli};
use super::output::{self, Failure};
use super::run::open_home;
use crate::authorize::{Line, PublicKey, is_from};
use crate::peer::permit::Mode;

pub(super) fn run(cli: &Cli, args: &AuthorizeArgs) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let keys = keys(&args.key)?;
    if args.from.as_deref().is_some_and(|from| !is_from(from)) {
        return Err(Failure::usage(
            "--from is a list of addresses, patterns or networks, separated by commas",
        ));
    }
    let disk = args.disk.as_deref().map(|disk| find_disk(&home, disk)).transpose()?;
    let site = args.site.as_deref().map(|site| find_site(&home, site)).transpose()?;
    let program = std::env::current_exe()?;
    let plain = |path: &std::path::Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            Failure::new(format!("the path {} cannot stand in authorized_keys", path.display()))
        })
    };
    let (program, home) = (plain(&program)?, plain(home.path())?);
    let line =
        Line { program: &program, home: &home, disk, mode: args.mode, site, from: args.from.as_deref() };
    let lines: Vec<String> = keys.iter().filter_map(|key| line.for_key(key)).collect();
    if lines.len() < keys.len() {
        let text =
            format!("a path of {program} or {home} has a character that cannot stand in authorized_keys");
        return Err(Failure::new(text));
    }
    let value = json!({"lines": lines, "mode": args.mode.word(), "disk": disk, "site": site});
    output::result(cli, &value, || lines.join("\n"));
    Ok(())
}

/// Keys as they are typed: each a quoted line, or one in several words.
fn keys(words: &[String]) -> Result<Vec<PublicKey>, Failure> {
    let lines =
        if words.iter().any(|word| word.contains(' ')) { words.to_vec() } else { vec![words.join(" ")] };
    let parse = |line: &String| {
        // Of a file that ends in a line feed, as they do.
        PublicKey::parse(line.strip_suffix('\n').unwrap_or(line)).map_err(|e| {
            let shown: String = line.chars().take(40).flat_map(char::escape_debug).collect();
            Failure::usage(format!("\"{shown}…\" is not a public key: {e}"))
                .hint("give one line of a .pub file: wandisk authorize --disk work \"$(cat id_ed25519.pub)\"")
        })
    };
    lines.iter().map(parse).collect()
}

/// By its name here, or by its UUID (it may not be here yet).
fn find_disk(home: &Home, disk: &str) -> Result<DiskId, Failure> {
    if let Ok(id) = disk.parse() {
        return Ok(DiskId(id));
    }
    let found = wandisk_store::disk_dir::uuid_of(home.disk(disk)?.path());
    found.ok_or_else(|| {
        Failure::new(format!("there is no disk named {disk:?} at this site"))
            .hint("see `wandisk ls`, or give the disk's UUID")
    })
}

fn find_site(home: &Home, site: &str) -> Result<SiteId, Failure> {
    if let Ok(id) = site.parse() {
        return Ok(SiteId(id));
    }
    home.site(site)?.id.ok_or_else(|| {
        Failure::new(format!("the UUID of site {site:?} is not known here, since it was never reached")).hint(
            format!("run `wandisk site check {site}`, or give the UUID that `wandisk site ls` shows there"),
        )
    })
}

/// Reads `ro` or `rw`.
pub(super) fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "ro" => Ok(Mode::Ro),
        "rw" => Ok(Mode::Rw),
        _ => Err("a mode is ro (take bytes and rows from here) or rw (all that a site may do)".to_owned()),
    }
}
