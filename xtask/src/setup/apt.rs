//! apt: installing packages, and fetching one without installing it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What Debian's archives are signed with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs packages, as root on Debian or Ubuntu; elsewhere an error with the command to type.
pub(super) fn install(names: &[&str]) -> Result<()> {
    let has_apt = process::find("apt-get").is_some();
    if let Some(refusal) = refusal(names, has_apt, has_apt && is_root()?) {
        bail!(refusal);
    }
    println!("installing {}", names.join(" "));
    // Lists that are there may do, and a refresh may be impossible (no network, but a full cache).
    if try_install(names)? {
        return Ok(());
    }
    process::run(apt_get().args(["-qq", "update"])).context("apt's lists cannot be refreshed")?;
    if !try_install(names)? {
        bail!("apt-get could not install everything; try: {}", by_hand(names));
    }
    Ok(())
}

/// What Debian's archives are signed with; installed if it is missing.
///
/// # Errors
/// When it cannot be.
pub(super) fn keyring() -> Result<&'static str> {
    if !Path::new(KEYRING).exists() {
        install(&["debian-archive-keyring"])?;
    }
    Ok(KEYRING)
}

/// The command to type.
fn by_hand(names: &[&str]) -> String {
    format!("apt-get install --no-install-recommends {}", names.join(" "))
}

/// Why packages cannot be installed from here, and what to do instead; nothing where they can.
fn refusal(names: &[&str], has_apt: bool, is_root: bool) -> Option<String> {
    match (has_apt, is_root) {
        (false, _) => Some(format!(
            "missing here, under Debian's names: {}; install them with this system's package manager",
            names.join(" ")
        )),
        (true, false) => Some(format!("packages are missing; as root: {}", by_hand(names))),
        (true, true) => None,
    }
}

fn try_install(names: &[&str]) -> Result<bool> {
    let mut command = apt_get();
    // An existing sshd configuration must not lead to a question.
    command.args([
        "-qq",
        "install",
        "--yes",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
    ]);
    command.args(names);
    let (success, said) = process::kept(&mut command)?;
    if !success {
        eprintln!("{}", said.trim_end());
    }
    Ok(success)
}

/// Whether this is root.
pub(super) fn is_root() -> Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Where apt takes packages from: the machine's own lists, or a private state with one source.
#[derive(Debug)]
pub(super) struct Source {
    options: Vec<String>,
}

impl Source {
    /// The lists the machine has.
    pub(super) fn own() -> Self {
        Self { options: Vec::new() }
    }

    /// A private state below `folder` with the one given line as source; refreshed here. The machine's
    /// own state is not touched.
    ///
    /// # Errors
    /// When the source cannot be reached or its signature cannot be checked.
    pub(super) fn private(folder: &Path, line: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let list = folder.join("sources.list");
        std::fs::write(&list, format!("{line}\n"))?;
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let options = vec![
            option("Dir::Etc::sourcelist", &list),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            option("Dir::State::Lists", &folder.join("lists")),
            option("Dir::Cache", &folder.join("cache")),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let source = Self { options };
        process::output(source.with(&mut apt_get()).args(["-qq", "update"]))?;
        Ok(source)
    }

    /// Debian's backports for a release, by a private state below `folder`.
    ///
    /// # Errors
    /// When they cannot be reached or their signature cannot be checked.
    pub(super) fn backports(release: &str, folder: &Path) -> Result<Self> {
        let keyring = keyring()?;
        let line = format!("deb [signed-by={keyring}] http://deb.debian.org/debian {release}-backports main");
        Self::private(&folder.join("state"), &line)
    }

    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// The packages whose name starts so.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut command = Command::new("apt-cache");
        let said = process::output(self.with(&mut command).args(["pkgnames", prefix]))?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Fetches a package into the folder, checked against the source's signature; its file.
    ///
    /// # Errors
    /// When the package is not to be had.
    pub(super) fn fetch(&self, name: &str, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let before = packages(folder)?;
        for old in before {
            std::fs::remove_file(old)?;
        }
        let mut command = apt_get();
        command.current_dir(folder);
        command.args(["-o", "APT::Sandbox::User=root"]);
        process::output(self.with(&mut command).args(["-qq", "download", name]))?;
        packages(folder)?.pop().with_context(|| format!("apt-get download {name} left no file"))
    }
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["gcc", "libc6-dev"];

    #[test]
    fn who_is_not_root_is_told_the_exact_command() {
        let told = refusal(&NAMES, true, false).unwrap();
        assert!(told.ends_with("as root: apt-get install --no-install-recommends gcc libc6-dev"), "{told}");
    }

    #[test]
    fn where_there_is_no_apt_the_packages_are_named() {
        for root in [false, true] {
            let told = refusal(&NAMES, false, root).unwrap();
            assert!(told.contains("Debian's names: gcc libc6-dev;") && !told.contains("apt-get"), "{told}");
        }
    }

    #[test]
    fn root_installs() {
        assert_eq!(refusal(&NAMES, true, true), None);
    }
}
