//! A small Debian that boots from a disk: its image, and the guest that boots it.
//!
//! The image is made of this machine's own packages (systemd, D-Bus, sshd and what they need), so that nothing is loaded.
//! The test guest's kernel mounts the disk and starts its systemd as the first process of namespaces of its own; the boot
//! has ended when everything that belongs to `multi-user.target` has started.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::reader::Times;
use crate::guest::{self, Options};
use crate::{process, workspace};

/// What the system is made of, with everything these depend on.
const PACKAGES: [&str; 21] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "dbus",
    "debianutils",
    "dpkg",
    "findutils",
    "grep",
    "iproute2",
    "kmod",
    "less",
    "login",
    "openssh-server",
    "passwd",
    "procps",
    "sed",
    "systemd",
    "systemd-sysv",
    "util-linux",
];
/// Links into these are met before the folders.
const FOLDERS: [&str; 5] = ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "mnt"];
/// Files that packages do not bring but make.
const MADE: [&str; 4] = ["etc/passwd", "etc/group", "etc/ld.so.cache", "etc/nsswitch.conf"];
/// Bytes of the image.
const IMAGE_BYTES: u64 = 512 << 20;

const BOOTED_SERVICE: &str = "[Unit]
After=multi-user.target
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat /proc/uptime >/mnt/booted; exec systemctl --force poweroff'
";
const BOOTED_TARGET: &str = "[Unit]
Requires=multi-user.target booted.service
After=multi-user.target booted.service
AllowIsolate=yes
";

/// What the guest runs; the system's first process is the first of its own namespace. The last line is what it found:
/// when it began, when the system was up, and the device's statistics.
const BOOT: &str = r#"
mkdir -p /m /w
read began rest </proc/uptime
mount -t ext4 /dev/vda /m && mount --bind /w /m/mnt || exit 1
for folder in proc sys dev; do mount --rbind /$folder /m/$folder; done
mount -t tmpfs tmpfs /m/run
container=guest timeout --kill-after=5 300 unshare --pid --fork --mount --uts --ipc --cgroup --mount-proc=/m/proc \
    chroot /m /lib/systemd/systemd --system --unit=booted.target --log-target=null --show-status=no </dev/null
read up rest </w/booted || exit 1
echo "booted $began $up $(cat /sys/block/vda/stat)"
"#;

/// Makes the image.
pub(super) fn image(file: &Path) -> Result<()> {
    let tree = file.with_extension("tree");
    for folder in FOLDERS {
        fs::create_dir_all(tree.join(folder))?;
    }
    let mut depends = Command::new("apt-cache");
    depends.args(["--installed", "--recurse", "--important", "depends"]).args(PACKAGES);
    let depends = process::output(&mut depends)?;
    let packages: BTreeSet<&str> =
        depends.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())).collect();
    // Of alternatives some are not installed; what is missing then is missing in no file.
    let files =
        Command::new("dpkg-query").arg("--listfiles").args(packages).stderr(Stdio::null()).output()?;
    let files = String::from_utf8(files.stdout).context("a package's file is no UTF-8")?;
    let files: BTreeSet<&str> = files.lines().filter_map(|line| line.strip_prefix('/')).collect();
    let there = files
        .into_iter()
        .filter(|file| !file.is_empty() && fs::symlink_metadata(Path::new("/").join(file)).is_ok());
    let list = file.with_extension("list");
    fs::write(&list, there.chain(MADE).collect::<Vec<_>>().join("\n"))?;
    let mut pack = Command::new("tar");
    pack.args(["--create", "--no-recursion", "--directory=/", "--files-from"]).arg(&list).arg("--file=-");
    let mut pack = pack.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot start tar")?;
    let mut unpack = Command::new("tar");
    unpack.args(["--extract", "--keep-directory-symlink", "--file=-", "--directory"]).arg(&tree);
    unpack.stdin(pack.stdout.take().context("tar has no output")?);
    process::run(&mut unpack)?;
    pack.wait()?;
    let units = tree.join("etc/systemd/system");
    fs::write(units.join("booted.service"), BOOTED_SERVICE)?;
    fs::write(units.join("booted.target"), BOOTED_TARGET)?;
    fs::write(tree.join("etc/fstab"), "")?;
    fs::write(tree.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n")?;
    crate::image::Image::ext4(file, IMAGE_BYTES, Some(&tree))?;
    fs::remove_dir_all(&tree)?;
    fs::remove_file(&list)?;
    // What is measured later must not wait for a first read of it.
    std::io::copy(&mut fs::File::open(file)?, &mut std::io::sink())?;
    Ok(())
}

/// Boots what is behind an NBD URI: how long that took from the mount on, and what the disk's requests took.
pub(super) fn boot(uri: &str) -> Result<(Duration, Times)> {
    let log = workspace::guest().join(format!("boot-{}.log", std::process::id()));
    let options = Options {
        memory_mib: 2048,
        scratch_bytes: 0,
        limit: Duration::from_secs(500),
        cwd: Some(PathBuf::from("/")),
        log: Some(log.clone()),
        qemu: vec![
            "-drive".to_owned(),
            format!("if=none,id=system,file={uri},format=raw"),
            "-device".to_owned(),
            "virtio-blk-pci,drive=system".to_owned(),
        ],
        ..Options::default()
    };
    let code = guest::run(&["sh".to_owned(), "-c".to_owned(), BOOT.to_owned()], &options)?;
    let said = fs::read_to_string(&log)?;
    fs::remove_file(&log).ok();
    if code != 0 {
        bail!("the system did not come up in the guest ({code})");
    }
    let line =
        said.lines().find_map(|line| line.strip_prefix("booted ")).context("the guest told nothing")?;
    let mut words = line.splitn(3, ' ');
    let mut seconds = || words.next().and_then(|word| word.parse::<f64>().ok());
    let clocks = seconds().zip(seconds());
    let (began, up) = clocks.with_context(|| format!("the guest told {line:?}"))?;
    Ok((Duration::from_secs_f64((up - began).max(0.0)), Times::of(words.next().unwrap_or_default())?))
}
