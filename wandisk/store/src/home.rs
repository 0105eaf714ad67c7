//! A site's home: who this site is, which other sites it can reach, where its disks are.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::boot::machine_id;
use crate::disk_dir::DiskDir;
use crate::durable;
use crate::ids::SiteId;

const CONFIG: &str = "site.json";
const FORMAT: u32 = 1;
/// A configuration file beyond this is not ours.
const CONFIG_MAX: u64 = 1 << 20;

/// Why a home could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// `init` was not run.
    #[error("{} is not a WANDisk home", path.display())]
    NotAHome {
        /// The folder.
        path: PathBuf,
    },
    /// `init` was run already.
    #[error("{} is the home of site {site:?} already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// Its site.
        site: String,
    },
    /// The folder was copied or restored: two sites would have one UUID.
    #[error("{} was made at another place (another machine or a copied folder)", path.display())]
    Copied {
        /// The folder.
        path: PathBuf,
    },
    /// The file makes no sense.
    #[error("{} cannot be understood: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A name that cannot be one.
    #[error(
        "{name:?} cannot be a name: use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A site of that name is known.
    #[error("a site named {name:?} is known already")]
    SiteExists {
        /// The name.
        name: String,
    },
    /// No site of that name is known.
    #[error("no site named {name:?} is known here")]
    NoSuchSite {
        /// The name.
        name: String,
    },
    /// The filesystem's words.
    #[error("{} could not be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Another site, as this one reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteEntry {
    /// The name it was added under.
    pub name: String,
    /// `ssh://…` or `cmd:…`.
    pub address: String,
    /// `--home` over there.
    pub remote_home: Option<String>,
    /// The program over there.
    pub remote_wandisk: Option<String>,
    /// Its UUID, once it was reached.
    pub id: Option<SiteId>,
    /// Over links that are dialled from here it may only read what is here.
    #[serde(default)]
    pub reads_only: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Config {
    format: u32,
    id: SiteId,
    name: String,
    machine_id: String,
    device: u64,
    inode: u64,
    sites: Vec<SiteEntry>,
}

/// A site's home folder.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    config: Config,
}

/// Can this be a site's or disk's name?
///
/// # Errors
/// [`HomeError::BadName`] if not.
pub fn check_name(name: &str) -> Result<(), HomeError> {
    let good_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=64).contains(&name.len())
        && name.chars().all(good_char)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good { Ok(()) } else { Err(HomeError::BadName { name: name.to_owned() }) }
}

impl Home {
    /// Makes `path` the home of a new site.
    ///
    /// # Errors
    /// [`HomeError::Exists`], [`HomeError::BadName`] or the filesystem's.
    pub fn init(path: &Path, name: &str) -> Result<Home, HomeError> {
        check_name(name)?;
        let io = |source| HomeError::Io { path: path.to_owned(), source };
        if path.join(CONFIG).exists() {
            let site = Home::open(path)?.config.name;
            return Err(HomeError::Exists { path: path.to_owned(), site });
        }
        durable::create_dir(&path.join("disks")).map_err(io)?;
        let place = fs::metadata(path).map_err(io)?;
        let config = Config {
            format: FORMAT,
            id: SiteId::random(),
            name: name.to_owned(),
            machine_id: machine_id(),
            device: place.dev(),
            inode: place.ino(),
            sites: Vec::new(),
        };
        let home = Home { path: path.to_owned(), config };
        home.save()?;
        Ok(home)
    }

    /// Opens a home that [`Home::init`] made.
    ///
    /// # Errors
    /// [`HomeError::NotAHome`], [`HomeError::Copied`], [`HomeError::Damaged`] or the filesystem's.
    pub fn open(path: &Path) -> Result<Home, HomeError> {
        let file = path.join(CONFIG);
        let io = |source| HomeError::Io { path: file.clone(), source };
        let damaged = |what: String| HomeError::Damaged { path: file.clone(), what };
        match fs::metadata(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(HomeError::NotAHome { path: path.to_owned() });
            }
            Err(e) => return Err(io(e)),
            Ok(m) if m.len() > CONFIG_MAX => return Err(damaged("it is too large".to_owned())),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&file).map_err(io)?;
        let config: Config = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if config.format > FORMAT {
            return Err(damaged(format!("its format {} is newer than this program", config.format)));
        }
        // Device numbers change between boots; the inode and the machine do not.
        let place = fs::metadata(path).map_err(io)?;
        if place.ino() != config.inode || machine_id() != config.machine_id {
            return Err(HomeError::Copied { path: path.to_owned() });
        }
        Ok(Home { path: path.to_owned(), config })
    }

    fn save(&self) -> Result<(), HomeError> {
        let file = self.path.join(CONFIG);
        let text = serde_json::to_vec_pretty(&self.config)
            .map_err(|e| HomeError::Damaged { path: file.clone(), what: e.to_string() })?;
        durable::replace_file(&file, &text).map_err(|source| HomeError::Io { path: file.clone(), source })
    }

    /// Changes the configuration under a lock, from what is on disk now.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Config) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let path = self.path.join("site.lock");
        let io = |source: io::Error| HomeError::Io { path: path.clone(), source };
        let lock: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(|e| io(e.into()))?;
        self.config = Home::open(&self.path)?.config;
        let result = change(&mut self.config)?;
        self.save()?;
        Ok(result)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This site's UUID.
    #[must_use]
    pub fn id(&self) -> SiteId {
        self.config.id
    }

    /// This site's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Other sites, in the order they were added.
    #[must_use]
    pub fn sites(&self) -> &[SiteEntry] {
        &self.config.sites
    }

    /// A site by the name it was added under.
    ///
    /// # Errors
    /// [`HomeError::NoSuchSite`].
    pub fn site(&self, name: &str) -> Result<&SiteEntry, HomeError> {
        let found = self.config.sites.iter().find(|s| s.name == name);
        found.ok_or_else(|| HomeError::NoSuchSite { name: name.to_owned() })
    }

    /// A site by its UUID.
    #[must_use]
    pub fn site_by_id(&self, id: SiteId) -> Option<&SiteEntry> {
        self.config.sites.iter().find(|s| s.id == Some(id))
    }

    /// Adds a site.
    ///
    /// # Errors
    /// [`HomeError::SiteExists`] (also for this site's own name), [`HomeError::BadName`] or the filesystem's.
    pub fn add_site(&mut self, entry: SiteEntry) -> Result<(), HomeError> {
        check_name(&entry.name)?;
        self.change(|config| {
            if config.name == entry.name || config.sites.iter().any(|s| s.name == entry.name) {
                return Err(HomeError::SiteExists { name: entry.name.clone() });
            }
            config.sites.push(entry);
            Ok(())
        })
    }

    /// Forgets a site.
    ///
    /// # Errors
    /// [`HomeError::NoSuchSite`] or the filesystem's.
    pub fn remove_site(&mut self, name: &str) -> Result<(), HomeError> {
        self.change(|config| {
            let at = config.sites.iter().position(|s| s.name == name);
            let at = at.ok_or_else(|| HomeError::NoSuchSite { name: name.to_owned() })?;
            config.sites.remove(at);
            Ok(())
        })
    }

    /// Changes what is known of a site; gives what is known now. Its name stays.
    ///
    /// # Errors
    /// [`HomeError::NoSuchSite`] or the filesystem's.
    pub fn change_site(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut SiteEntry),
    ) -> Result<SiteEntry, HomeError> {
        self.change(|config| {
            let site = config.sites.iter_mut().find(|s| s.name == name);
            let site = site.ok_or_else(|| HomeError::NoSuchSite { name: name.to_owned() })?;
            change(site);
            name.clone_into(&mut site.name);
            Ok(site.clone())
        })
    }

    /// Notes the UUID of a site that was reached.
    ///
    /// # Errors
    /// [`HomeError::NoSuchSite`] or the filesystem's.
    pub fn set_site_id(&mut self, name: &str, id: SiteId) -> Result<(), HomeError> {
        self.change(|config| {
            let site = config.sites.iter_mut().find(|s| s.name == name);
            site.ok_or_else(|| HomeError::NoSuchSite { name: name.to_owned() })?.id = Some(id);
            Ok(())
        })
    }

    /// The folder of a disk, whether it is there or not.
    ///
    /// # Errors
    /// [`HomeError::BadName`].
    pub fn disk(&self, name: &str) -> Result<DiskDir, HomeError> {
        check_name(name)?;
        Ok(DiskDir::new(self.path.join("disks").join(name), name))
    }

    /// All disks that have a replica here, by name.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn disks(&self) -> Result<Vec<DiskDir>, HomeError> {
        let dir = self.path.join("disks");
        let io = |source| HomeError::Io { path: dir.clone(), source };
        let mut disks = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if let Some(disk) = name.to_str().and_then(|n| self.disk(n).ok()).filter(DiskDir::exists) {
                disks.push(disk);
            }
        }
        disks.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(disks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> SiteEntry {
        let address = "cmd:true".to_owned();
        SiteEntry {
            name: name.to_owned(),
            address,
            remote_home: None,
            remote_wandisk: None,
            id: None,
            reads_only: false,
        }
    }

    #[test]
    fn a_home_is_found_again_and_not_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let made = Home::init(dir.path(), "desk").unwrap();
        assert_eq!(Home::open(dir.path()).unwrap().id(), made.id());
        assert!(matches!(Home::init(dir.path(), "desk"), Err(HomeError::Exists { .. })));
    }

    #[test]
    fn a_copied_home_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Home::init(&dir.path().join("a"), "desk").unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::copy(dir.path().join("a").join(CONFIG), dir.path().join("b").join(CONFIG)).unwrap();
        assert!(matches!(Home::open(&dir.path().join("b")), Err(HomeError::Copied { .. })));
    }

    #[test]
    fn site_names_are_unique_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let mut home = Home::init(dir.path(), "desk").unwrap();
        home.add_site(entry("big")).unwrap();
        assert!(matches!(home.add_site(entry("big")), Err(HomeError::SiteExists { .. })));
        assert!(matches!(home.add_site(entry("desk")), Err(HomeError::SiteExists { .. })));
        for bad in ["", "../x", ".hidden", "a/b", "-x", "a b"] {
            assert!(matches!(home.add_site(entry(bad)), Err(HomeError::BadName { .. })), "{bad:?}");
        }
        home.remove_site("big").unwrap();
        assert!(matches!(home.remove_site("big"), Err(HomeError::NoSuchSite { .. })));
    }
}
