//! What a peer is permitted: which disk, which site it may speak for, reading only or all. Pure.
//!
//! Deny by default: what `ro` permits is listed, and a request that a later version adds is refused until it is.
//! The permit comes from this site's side, never from the peer: of one that dials, from the command line of `serve` (so from
//! `authorized_keys`); of one that is dialled, from `site add`.

use serde::{Deserialize, Serialize};
use wandisk_store::{DiskId, SiteEntry, SiteId};

use super::error::{Code, Refusal};
use super::message::{Ask, HelloFields};

/// How much a peer may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Take bytes and rows from here. Nothing here changes by it: no rows pushed, no hand-over to here or from here, no
    /// writes held, no replica made.
    Ro,
    /// What a site of the disk may do.
    #[default]
    Rw,
}

impl Mode {
    /// Of a site that is dialled from here, as it was added.
    #[must_use]
    pub fn of(site: &SiteEntry) -> Mode {
        if site.reads_only { Mode::Ro } else { Mode::Rw }
    }

    /// Of a site that is dialled from here: the least that was said of any at its address. (The disk may know it by another
    /// name than the one it was added under.)
    #[must_use]
    pub fn of_dialled(site: &SiteEntry, added: &[SiteEntry]) -> Mode {
        let there = added.iter().filter(|other| other.address == site.address).chain([site]);
        if there.map(Mode::of).any(|mode| mode == Mode::Ro) { Mode::Ro } else { Mode::Rw }
    }

    /// As it is written on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Ro => "ro",
            Mode::Rw => "rw",
        }
    }

    /// May a peer ask this, of here or of a site beyond?
    ///
    /// # Errors
    /// [`Code::Forbidden`], naming what was asked.
    pub fn permits(self, ask: &Ask) -> Result<(), Refusal> {
        let (asked, hint) = match (self, ask) {
            (Mode::Rw, _)
            | (
                Mode::Ro,
                Ask::Standing
                | Ask::Fetch { .. }
                | Ask::Rows { .. }
                | Ask::Hashes { .. }
                | Ask::Holds { .. }
                | Ask::Trace,
            ) => {
                return Ok(());
            }
            (_, Ask::Offer { .. } | Ask::Push { .. } | Ask::Final { .. }) => ("push rows", None),
            (_, Ask::Grant { .. } | Ask::Abort { .. } | Ask::HandOver { .. }) => ("hand the disk over", None),
            (_, Ask::Freeze { .. } | Ask::Thaw) => ("hold its writes", Some("sync with --no-freeze")),
            (_, Ask::NoteSynced { .. } | Ask::NoteDropped) => ("say what its own replica holds", None),
            (_, Ask::Sync { .. }) => ("start a sync", None),
            (_, Ask::Resize { .. }) => ("make the disk larger", None),
        };
        let text = format!("over this link a site may only read the disk: it may not {asked}");
        let rw = "where that was refused, permit more: a key with `wandisk authorize --mode rw`, a site that is dialled \
                  from there with `wandisk site add --mode rw`";
        let hint = hint.map_or_else(|| rw.to_owned(), |hint| format!("{hint}, or {rw}"));
        Err(Refusal::new(Code::Forbidden, text).hint(hint))
    }
}

/// All that the command line of `serve` says of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// The one disk it may talk about; any otherwise.
    pub disk: Option<DiskId>,
    /// The one site it may be; any otherwise.
    pub site: Option<SiteId>,
    /// How much it may do.
    pub mode: Mode,
}

impl Permit {
    /// Checks who it says it is, and what it wants to talk about.
    ///
    /// # Errors
    /// [`Code::Forbidden`] with what the key is for.
    pub fn admits(&self, hello: &HelloFields) -> Result<(), Refusal> {
        if let Some(site) = self.site.filter(|site| *site != hello.site) {
            let text = format!("this key is for site {site}, not for {} ({})", hello.name, hello.site);
            return Err(Refusal::new(Code::Forbidden, text));
        }
        match (self.disk, hello.disk) {
            (Some(may), Some(wants)) if may != wants => {
                Err(Refusal::new(Code::Forbidden, format!("this key is for disk {may}, not for {wants}")))
            }
            _ => Ok(()),
        }
    }

    /// May it have a replica of this disk made here?
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn admits_replica(&self, disk: DiskId) -> Result<(), Refusal> {
        if self.mode == Mode::Ro || self.disk.is_some_and(|may| may != disk) {
            let text = format!("this key may not have a replica of disk {disk} made here");
            return Err(Refusal::new(Code::Forbidden, text));
        }
        Ok(())
    }
}

/// What the words are that a forced command's client asked for; see `docs/threat-model.md`.
///
/// Nothing in them is honoured: disk, mode and home are the forced command's. They only have to ask for what they get,
/// so that somebody who expects a shell is told.
///
/// # Errors
/// [`Code::Forbidden`] if they ask for anything but `serve --stdio`.
pub fn check_original_command(original: &str) -> Result<(), Refusal> {
    let words: Vec<&str> = original.split_ascii_whitespace().collect();
    let asks_to_serve = words.windows(2).any(|pair| pair == ["serve", "--stdio"]);
    if words.is_empty() || asks_to_serve {
        return Ok(());
    }
    Err(Refusal::new(Code::Forbidden, "this key is for `wandisk serve --stdio` only, not for other commands"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wandisk_store::{AttemptId, LineageId};

    #[test]
    fn a_key_for_reading_only_reads() {
        let refused = |ask: Ask| Mode::Ro.permits(&ask).err().map(|r| (r.code, r.message));
        let reads = [Ask::Standing, Ask::Hashes { start: 0, max: 1 }];
        reads.into_iter().for_each(|ask| assert_eq!(refused(ask), None));
        for (ask, named) in [
            (Ask::Thaw, "hold its writes"),
            (Ask::Freeze { lease_ms: 1 }, "hold its writes"),
            (Ask::Abort { attempt: AttemptId::random() }, "hand the disk over"),
            (
                Ask::HandOver { to: SiteId::random(), lineage: LineageId::random(), force: true },
                "hand the disk over",
            ),
            (Ask::NoteSynced { counter: u64::MAX, at: 1 }, "what its own replica holds"),
            (Ask::Resize { size_bytes: 512 }, "larger"),
        ] {
            assert_eq!(Mode::Rw.permits(&ask), Ok(()));
            let (code, message) = refused(ask).unwrap();
            assert!(code == Code::Forbidden && message.contains(named), "{message}");
        }
    }

    #[test]
    fn a_site_that_is_dialled_may_do_what_was_said_when_it_was_added() {
        let added = |reads_only| SiteEntry {
            name: "big".to_owned(),
            address: "ssh://big".to_owned(),
            remote_home: None,
            remote_wandisk: None,
            id: None,
            reads_only,
        };
        let told = SiteEntry { name: "by the disk".to_owned(), ..added(false) };
        let elsewhere = SiteEntry { address: "ssh://other".to_owned(), ..added(false) };
        assert_eq!(Mode::of_dialled(&added(true), &[added(true)]), Mode::Ro);
        assert_eq!(Mode::of_dialled(&added(false), &[added(false)]), Mode::Rw);
        assert_eq!(Mode::of_dialled(&told, &[elsewhere.clone(), added(true)]), Mode::Ro, "by its address");
        assert_eq!(Mode::of_dialled(&elsewhere, &[added(true), elsewhere.clone()]), Mode::Rw);
    }

    #[test]
    fn a_key_is_for_its_disk_and_site() {
        let (disk, site) = (DiskId::random(), SiteId::random());
        let hello = |site, disk| HelloFields {
            site,
            name: "a".to_owned(),
            disk,
            program: String::new(),
            free_bytes: None,
        };
        let permit = Permit { disk: Some(disk), site: Some(site), mode: Mode::Rw };
        assert!(permit.admits(&hello(site, Some(disk))).is_ok());
        assert!(permit.admits(&hello(site, None)).is_ok(), "a talk about the site itself");
        assert!(permit.admits(&hello(site, Some(DiskId::random()))).is_err());
        assert!(permit.admits(&hello(SiteId::random(), Some(disk))).is_err());
        assert!(permit.admits_replica(disk).is_ok());
        assert!(permit.admits_replica(DiskId::random()).is_err());
        assert!(Permit { mode: Mode::Ro, ..permit }.admits_replica(disk).is_err());
    }

    #[test]
    fn a_client_that_wants_something_else_is_told() {
        for fine in ["", "wandisk serve --stdio", "'/opt/w d' --home /x serve --stdio --mode rw"] {
            assert!(check_original_command(fine).is_ok(), "{fine}");
        }
        for other in ["ls", "scp -t /", "serve", "sh -c 'wandisk serve'", "internal-sftp"] {
            assert!(check_original_command(other).is_err(), "{other}");
        }
    }
}
