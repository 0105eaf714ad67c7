//! The guest's kernels: Debian's 6.12 image (not the cloud one, which lacks 9p), and on demand the newest of
//! trixie-backports, unpacked below `target/guest/kernel` and `target/guest/kernel-newest`.
//!
//! The first is found in the machine's own apt lists, or in bookworm-backports by a private apt state; the second
//! always by such a state. Either way apt checks the signature, nothing is installed and no source is added.
//! Invariant: the folder appears whole, by a rename, or not at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::Source;
use super::module_tree::{Dependencies, NEEDED, WANTED};
use crate::{process, workspace};

const STABLE: &str = "6.12";

/// Which kernel the guest boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Series {
    /// 6.12, which Debian 12 and 13 run.
    #[default]
    Stable,
    /// The newest that Debian's backports have, for what the driver learnt since.
    Newest,
}

impl Series {
    fn folder(self) -> PathBuf {
        workspace::guest().join(match self {
            Self::Stable => "kernel",
            Self::Newest => "kernel-newest",
        })
    }
}

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    folder: PathBuf,
    release: String,
}

impl Kernel {
    /// The kernel that is there.
    ///
    /// # Errors
    /// When none is, or it was unpacked by an older version of this program.
    pub(crate) fn installed(series: Series) -> Result<Self> {
        let folder = series.folder();
        let stamp = std::fs::read_to_string(folder.join("stamp")).unwrap_or_default();
        match stamp.split_once('\n') {
            Some((release, rest)) if rest == WANTED.join(" ") => {
                Ok(Self { release: release.to_owned(), folder })
            }
            _ => bail!("the guest's kernel is missing: cargo xtask setup"),
        }
    }

    /// The kernel's own name, as in `uname -r`.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The file QEMU boots.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The folder that the guest sees as `/lib/modules/RELEASE`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }

    /// The files of these modules and of all they need, in the order to load them.
    pub(crate) fn with_dependencies(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let (files, _part_of_the_kernel) = Dependencies::read(&self.modules())?.closure(names);
        Ok(files.iter().map(|file| self.modules().join(file)).collect())
    }
}

/// Gets and unpacks the kernel unless it is there.
pub(crate) fn ensure(series: Series) -> Result<()> {
    if Kernel::installed(series).is_ok() {
        return Ok(());
    }
    let guest = workspace::guest();
    std::fs::create_dir_all(&guest).with_context(|| format!("cannot create {}", guest.display()))?;
    println!("getting a kernel for the guest ({series:?})");
    let packages = match series {
        Series::Stable => vec![fetch_stable(&guest.join("apt"))?],
        Series::Newest => fetch_newest(&guest.join("apt-newest"))?,
    };
    let unpacked = guest.join("unpacked");
    let ready = guest.join("kernel.new");
    for folder in [&unpacked, &ready] {
        remove(folder)?;
        std::fs::create_dir_all(folder)?;
    }
    for package in packages {
        process::output(Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked))?;
        std::fs::remove_file(package)?;
    }
    select(&unpacked, &ready)?;
    let kernel = series.folder();
    remove(&kernel)?;
    move_folder(&ready, &kernel)?;
    remove(&unpacked)
}

/// Fetches the newest package of the stable series.
fn fetch_stable(folder: &Path) -> Result<PathBuf> {
    let own = Source::own();
    let prefix = format!("linux-image-{STABLE}");
    if let Some(name) = newest(&own.names(&prefix)?)
        && let Ok(package) = own.fetch(&name, folder)
    {
        return Ok(package);
    }
    let backports = Source::backports("bookworm", folder)?;
    let name = newest(&backports.names(&prefix)?)
        .with_context(|| format!("bookworm-backports has no {prefix}*-amd64"))?;
    backports.fetch(&name, folder)
}

/// Fetches the packages of the newest kernel: one, or the parts it has been split into.
fn fetch_newest(folder: &Path) -> Result<Vec<PathBuf>> {
    let backports = Source::backports("trixie", folder)?;
    let image = newest(&backports.names("linux-image-")?).context("trixie-backports has no kernel")?;
    let release = image.trim_start_matches("linux-image-");
    ["image", "binary", "modules", "base"]
        .into_iter()
        .map(|part| format!("linux-{part}-{release}"))
        .filter_map(|name| {
            let known = backports.names(&name).map(|names| names.contains(&name));
            known.map(|known| known.then_some(name)).transpose()
        })
        .map(|name| name.and_then(|name| backports.fetch(&name, &folder.join(&name))))
        .collect()
}

/// The newest kernel image among package names: signed, with the full set of drivers, not real-time.
fn newest(names: &[String]) -> Option<String> {
    let version = |name: &&String| {
        let rest = name.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
        let (number, _) = rest.split_once('+')?;
        if rest.ends_with("-cloud") || rest.ends_with("-rt") {
            return None;
        }
        number.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>()
    };
    names.iter().filter(|name| version(name).is_some()).max_by_key(version).cloned()
}

/// Copies the kernel and the wanted modules from an unpacked package into a folder of ours.
fn select(unpacked: &Path, ready: &Path) -> Result<()> {
    let modules = ["lib/modules", "usr/lib/modules"].map(|folder| unpacked.join(folder));
    let modules = modules.iter().find(|folder| folder.is_dir()).context("the package has no modules")?;
    let release = std::fs::read_dir(modules)?.next().context("the package has no modules")??.file_name();
    let release = release.to_str().context("the kernel's name is no UTF-8")?.to_owned();
    let from = modules.join(&release);
    // depmod wants the tree at BASE/lib/modules.
    let base = modules.parent().and_then(Path::parent).context("the package has no modules")?;
    depmod(base, &release)?;

    let (files, unknown) = Dependencies::read(&from)?.closure(WANTED);
    if let Some(missing) = NEEDED.iter().find(|name| unknown.contains(name)) {
        bail!("the kernel {release} has no module {missing}");
    }
    let to = ready.join("lib/modules").join(&release);
    for file in files.iter().map(String::as_str).chain([
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ]) {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap_or(&to))?;
        std::fs::copy(from.join(file), &target).with_context(|| format!("the package lacks {file}"))?;
    }
    depmod(ready, &release)?;
    let images = [unpacked.join("boot").join(format!("vmlinuz-{release}")), from.join("vmlinuz")];
    let image = images.iter().find(|image| image.is_file()).context("the package has no kernel")?;
    std::fs::copy(image, ready.join("vmlinuz"))?;
    std::fs::write(ready.join("stamp"), format!("{release}\n{}", WANTED.join(" ")))?;
    Ok(())
}

fn depmod(base: &Path, release: &str) -> Result<()> {
    let depmod = process::find("depmod").context("depmod is missing")?;
    process::output(Command::new(depmod).arg("-b").arg(base).arg(release)).map(drop)
}

/// Not a matter of durability: what a crash leaves is made again.
#[expect(clippy::disallowed_methods, reason = "a cache below target/ need not survive a crash")]
pub(super) fn move_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).with_context(|| format!("cannot create {}", to.display()))
}

/// Deletes a folder, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ordinary_kernel_is_chosen() {
        let names = [
            "linux-image-6.12-amd64",
            "linux-image-6.12.9+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.12.118+deb12-cloud-amd64",
            "linux-image-6.12.118+deb12-rt-amd64",
            "linux-image-6.12.118+deb12-amd64-unsigned",
            "linux-image-6.12.118+deb12-amd64-dbg",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(newest(&names).as_deref(), Some("linux-image-6.12.117+deb12-amd64"));
        assert_eq!(newest(&[]), None);
    }
}
