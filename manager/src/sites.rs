//! Other sites: read from the same `site.json` that `wandisk site add` writes, and reached by a program.
//!
//! A link is a program whose standard input and output lead to `snowbird host --stdio` at the other site: `ssh` for
//! `ssh://`, the prefix for `cmd:`. One program carries one stream, so that a migration's bulk has a connection of its own; what is
//! short may share one ([`Site::dial_shared`]).
//!
//! Invariants: what an address holds was checked by the rules of WANDisk's links; a link's program dies with its [`Link`].

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wandisk_link::{Address, AddressError};

use crate::shared_login::{Shared, shared};

/// As WANDisk: no configuration is longer.
const CONFIG_MAX: u64 = 1 << 20;
const FORMAT: u32 = 1;
/// Programs behind which a shell takes the words apart once more.
const REMOTE_SHELLS: [&str; 3] = ["ssh", "autossh", "dbclient"];
/// A dead line is noticed after some 15 s; no questions, since nobody could answer.
const SSH: [&str; 8] = [
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
    "-oConnectTimeout=15",
];

/// Why a site cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The folder is no site.
    #[error("{} is not the folder of a site", path.display())]
    NoHome {
        /// The folder.
        path: PathBuf,
    },
    /// Its file makes no sense.
    #[error("{} cannot be understood", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Nobody of that name.
    #[error("no site named {name:?} is known here")]
    NoSite {
        /// The name.
        name: String,
    },
    /// Its address is none.
    #[error("the address of site {name:?} cannot be used")]
    Address {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Its address leads to wandisk and nothing else.
    #[error("the address of site {name:?} ends in `serve --stdio` and so leads to wandisk only")]
    WandiskOnly {
        /// The name.
        name: String,
    },
    /// The link's program could not be run.
    #[error("the link to site {name:?} could not be started")]
    Start {
        /// The name.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

impl SiteError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SiteError::NoHome { .. } => {
                Some("run `wandisk init --site NAME` for it first, or name another folder with --home")
            }
            SiteError::NoSite { .. } => Some("see `wandisk site ls`; `wandisk site add` makes one known"),
            SiteError::WandiskOnly { .. } => Some(
                "add it with a prefix (`cmd:ssh -J bastion host`) or as ssh://, with --remote-home and --remote-wandisk",
            ),
            _ => None,
        }
    }
}

/// A site that is known here.
#[derive(Clone, Debug, Deserialize)]
pub struct Site {
    /// What it is called here.
    pub name: String,
    address: String,
    remote_home: Option<String>,
    remote_wandisk: Option<String>,
    /// The folder of the site that knows it.
    #[serde(skip)]
    known_at: PathBuf,
}

/// Who this site is, and whom it knows.
#[derive(Clone, Debug, Deserialize)]
pub struct Sites {
    format: u32,
    /// This one's name.
    pub name: String,
    sites: Vec<Site>,
}

impl Sites {
    /// Reads the file of a site's folder.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn read(home: &Path) -> Result<Sites, SiteError> {
        let path = home.join("site.json");
        let len = std::fs::metadata(&path).map_err(|_| SiteError::NoHome { path: home.to_owned() })?.len();
        let text = if len > CONFIG_MAX { None } else { std::fs::read(&path).ok() };
        let sites: Option<Sites> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let mut sites = sites.filter(|s| s.format <= FORMAT).ok_or(SiteError::Damaged { path })?;
        sites.sites.iter_mut().for_each(|site| home.clone_into(&mut site.known_at));
        Ok(sites)
    }

    /// The names of the others.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| site.name.as_str())
    }

    /// A site by its name.
    ///
    /// # Errors
    /// [`SiteError::NoSite`].
    pub fn site(&self, name: &str) -> Result<&Site, SiteError> {
        let found = self.sites.iter().find(|site| site.name == name);
        found.ok_or_else(|| SiteError::NoSite { name: name.to_owned() })
    }
}

impl Site {
    /// The folder of the programs over there, if it is known: that of its wandisk.
    #[must_use]
    pub fn remote_folder(&self) -> Option<&str> {
        Some(self.remote_wandisk.as_deref()?.rsplit_once('/')?.0)
    }

    /// The site's folder over there, if it was named.
    #[must_use]
    pub fn remote_home(&self) -> Option<&str> {
        self.remote_home.as_deref()
    }

    /// The program over there: beside its wandisk, if that was named.
    fn far_words(&self) -> Vec<String> {
        let beside = self.remote_folder();
        let mut words = vec![beside.map_or("snowbird".to_owned(), |folder| format!("{folder}/snowbird"))];
        if let Some(home) = &self.remote_home {
            words.extend(["--home".to_owned(), home.clone()]);
        }
        words.extend(["host", "--stdio"].map(str::to_owned));
        words
    }

    /// The words of the link's program.
    ///
    /// # Errors
    /// [`SiteError`] for an address that cannot lead there.
    pub fn words(&self) -> Result<Vec<String>, SiteError> {
        self.words_of(&self.far_words())
    }

    /// The words of a program that runs another one over there.
    ///
    /// # Errors
    /// [`SiteError`] for an address that cannot lead there.
    pub fn words_of(&self, far: &[String]) -> Result<Vec<String>, SiteError> {
        let address = Address::parse(&self.address)
            .map_err(|source| SiteError::Address { name: self.name.clone(), source })?;
        let by_shell = || far.iter().map(|word| shell_words::quote(word).into_owned());
        match address {
            Address::Command(words) if words.ends_with(&["serve".to_owned(), "--stdio".to_owned()]) => {
                Err(SiteError::WandiskOnly { name: self.name.clone() })
            }
            Address::Command(mut words) => {
                let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
                if words.iter().any(|word| REMOTE_SHELLS.contains(&name(word).as_str())) {
                    words.extend(by_shell());
                } else {
                    words.extend_from_slice(far);
                }
                Ok(words)
            }
            Address::Ssh(host) => {
                let mut words = vec!["ssh".to_owned()];
                words.extend(SSH.map(str::to_owned));
                if let Some(port) = host.port {
                    words.push(format!("-p{port}"));
                }
                if let Some(user) = &host.user {
                    words.push(format!("-l{user}"));
                }
                words.extend(["--".to_owned(), host.host.clone()]);
                words.extend(by_shell());
                Ok(words)
            }
        }
    }

    /// Starts the link's program. Whether the other site answers shows only when something is asked.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn dial(&self) -> Result<Link, SiteError> {
        self.run(&self.words()?)
    }

    /// As [`Site::dial`], over a connection that others use, too, and which is kept a while for the next; with whether there was one
    /// before. None where it cannot be shared.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn dial_shared(&self) -> Result<Option<(Link, bool)>, SiteError> {
        match shared(&self.known_at, &self.words()?).await {
            Some(Shared { words, is_there }) => Ok(Some((self.run(&words)?, is_there))),
            None => Ok(None),
        }
    }

    fn run(&self, words: &[String]) -> Result<Link, SiteError> {
        let start = |source| SiteError::Start { name: self.name.clone(), source };
        let (program, args) = words.split_first().ok_or_else(|| start(io::ErrorKind::NotFound.into()))?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().map_err(start)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Link { stdin, stdout, _child: child }),
            _ => Err(start(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

/// A running link: bytes both ways. Its program is killed when this is dropped.
#[derive(Debug)]
pub struct Link {
    stdin: ChildStdin,
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(address: &str, home: Option<&str>, wandisk: Option<&str>) -> Site {
        Site {
            name: "b".to_owned(),
            address: address.to_owned(),
            remote_home: home.map(str::to_owned),
            remote_wandisk: wandisk.map(str::to_owned),
            known_at: PathBuf::new(),
        }
    }

    #[test]
    fn a_prefix_gets_the_command_as_words_and_a_remote_shell_gets_it_quoted() {
        let plain = site("cmd:env X=y", Some("/a home"), Some("/opt/bin/wandisk")).words().unwrap();
        assert_eq!(plain, ["env", "X=y", "/opt/bin/snowbird", "--home", "/a home", "host", "--stdio"]);
        let shell = site("cmd:ssh -J b h", Some("/a home"), None).words().unwrap();
        assert_eq!(shell[4..], ["snowbird", "--home", "'/a home'", "host", "--stdio"]);
        let ssh = site("ssh://me@big:2222", None, None).words().unwrap();
        assert_eq!(ssh[9..], ["-p2222", "-lme", "--", "big", "snowbird", "host", "--stdio"]);
    }

    #[test]
    fn what_leads_to_wandisk_alone_or_nowhere_is_refused() {
        let whole = site("cmd:wandisk --home /x serve --stdio", None, None).words();
        assert!(matches!(whole, Err(SiteError::WandiskOnly { .. })), "{whole:?}");
        for bad in ["ssh://-oProxyCommand=x", "http://x", "cmd:"] {
            let refused = site(bad, None, None).words();
            assert!(matches!(refused, Err(SiteError::Address { .. })), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn the_sites_of_wandisk_are_read_as_it_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Sites::read(folder.path()), Err(SiteError::NoHome { .. })));
        let text = r#"{"format": 1, "id": "x", "name": "a", "sites": [{"name": "b", "address": "cmd:env",
            "remote_home": null, "remote_wandisk": "w", "id": null, "reads_only": false}]}"#;
        std::fs::write(folder.path().join("site.json"), text).unwrap();
        let sites = Sites::read(folder.path()).unwrap();
        assert_eq!((sites.name.as_str(), sites.site("b").unwrap().address.as_str()), ("a", "cmd:env"));
        assert!(matches!(sites.site("c"), Err(SiteError::NoSite { .. })));
        std::fs::write(folder.path().join("site.json"), text.replace("\"format\": 1", "\"format\": 2"))
            .unwrap();
        assert!(matches!(Sites::read(folder.path()), Err(SiteError::Damaged { .. })));
    }
}
