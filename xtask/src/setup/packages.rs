//! What has to be installed, why, and how to see that it is there.

use std::path::Path;

use crate::process;

/// What a package is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Compiling the workspace.
    Build,
    /// Starting the guest.
    Guest,
    /// The tests, on the host and in the guest.
    Test,
    /// Programs that draw with OpenGL, and peers of VMGL, for its bench and its demonstration.
    Gl,
}

/// A sign that a package is installed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// A program in `PATH` or an `sbin`.
    Program(&'static str),
    /// A file, with `*` for any one folder or a part of one name.
    File(&'static str),
}

/// A package of Debian's.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) purpose: For,
    /// Who needs it.
    pub(super) why: &'static str,
    sign: Sign,
}

impl Package {
    pub(super) fn is_there(&self) -> bool {
        match self.sign {
            Sign::Program(name) => process::find(name).is_some(),
            Sign::File(pattern) => exists(Path::new("/"), pattern.trim_start_matches('/')),
        }
    }
}

const fn package(name: &'static str, purpose: For, why: &'static str, sign: Sign) -> Package {
    Package { name, purpose, why, sign }
}

/// All of them.
pub(super) const PACKAGES: &[Package] = &[
    package("gcc", For::Build, "the linker, and the C of SQLite and librsync", Sign::Program("cc")),
    package("libc6-dev", For::Build, "linking, and the guest's static init", Sign::File("/usr/lib/*/libc.a")),
    package("pkg-config", For::Build, "finding OpenSSL", Sign::Program("pkg-config")),
    package("libssl-dev", For::Build, "SSH", Sign::File("/usr/include/openssl/ssl.h")),
    package(
        "libclang-dev",
        For::Build,
        "the bindings to the kernel's ublk",
        Sign::File("/usr/lib/llvm-*/lib/libclang*.so"),
    ),
    package("qemu-system-x86", For::Guest, "the guest", Sign::Program("qemu-system-x86_64")),
    package("ovmf", For::Test, "agents that boot by UEFI", Sign::File("/usr/share/OVMF/OVMF_CODE_4M.fd")),
    package("kmod", For::Guest, "its modules", Sign::Program("depmod")),
    package("e2fsprogs", For::Guest, "its disks", Sign::Program("mkfs.ext4")),
    package("dmsetup", For::Test, "disks that lose power, in the guest", Sign::Program("dmsetup")),
    package("iproute2", For::Guest, "its network", Sign::Program("ip")),
    package("util-linux", For::Guest, "its console", Sign::Program("setpriv")),
    package("qemu-utils", For::Test, "qemu-img and qemu-io as NBD clients", Sign::Program("qemu-io")),
    package("fio", For::Test, "I/O with verification", Sign::Program("fio")),
    package("nbdkit", For::Test, "an NBD server to compare with", Sign::Program("nbdkit")),
    package("libnbd-bin", For::Test, "NBD clients", Sign::Program("nbdcopy")),
    package("python3-libnbd", For::Test, "nbdsh", Sign::File("/usr/lib/python3/dist-packages/nbd.py")),
    package("openssh-server", For::Test, "links between sites", Sign::Program("sshd")),
    package("openssh-client", For::Test, "links between sites", Sign::Program("ssh")),
    package("tigervnc-standalone-server", For::Test, "a VNC server", Sign::Program("Xvnc")),
    package("tigervnc-viewer", For::Test, "a VNC viewer", Sign::Program("vncviewer")),
    package("x11vnc", For::Test, "a VNC server that has to be asked", Sign::Program("x11vnc")),
    package("xvfb", For::Test, "a screen for a VNC viewer", Sign::Program("Xvfb")),
    package("xinput", For::Test, "which keys X holds down", Sign::Program("xinput")),
    package("xclip", For::Test, "texts in X's clipboard", Sign::Program("xclip")),
    package("libegl1", For::Test, "OpenGL without a screen", Sign::File("/usr/lib/*/libEGL.so.1")),
    package(
        "libegl-mesa0",
        For::Test,
        "OpenGL without a screen, in software",
        Sign::File("/usr/lib/*/libEGL_mesa.so.0"),
    ),
    package("libgl1-mesa-dri", For::Test, "OpenGL in software", Sign::File("/usr/lib/*/dri/swrast_dri.so")),
    package("mesa-utils", For::Test, "a program that draws with OpenGL", Sign::Program("glxgears")),
    package(
        "apitrace",
        For::Test,
        "what programs call of OpenGL, recorded, and how small that can be",
        Sign::Program("glretrace"),
    ),
    package("nano", For::Test, "an editor in a terminal", Sign::Program("nano")),
    package(
        "xscreensaver-data",
        For::Test,
        "a program that draws without end",
        Sign::File("/usr/libexec/xscreensaver/popsquares"),
    ),
    package(
        "python3-venv",
        For::Test,
        "VNC programs written in Python",
        Sign::File("/usr/lib/python3*/ensurepip/__init__.py"),
    ),
    package("x11-xserver-utils", For::Test, "a screen that changes its size", Sign::Program("xrandr")),
    package("xterm", For::Test, "a program that draws", Sign::Program("xterm")),
    package("x11-apps", For::Test, "programs with keys, clocks, things that move", Sign::Program("xcalc")),
    package(
        "evilwm",
        For::Test,
        "a window that has the keyboard, when traces are recorded",
        Sign::Program("evilwm"),
    ),
    package("xcompmgr", For::Test, "a compositing manager", Sign::Program("xcompmgr")),
    package("picom", For::Test, "a compositing manager of another kind", Sign::Program("picom")),
    package("vim-tiny", For::Test, "an editor in a terminal", Sign::Program("vi")),
    package("imagemagick", For::Test, "pictures on an X screen", Sign::Program("import")),
    package("chromium", For::Test, "a browser as a viewer", Sign::Program("chromium")),
    package("chromium-driver", For::Test, "driving the browser", Sign::Program("chromedriver")),
    package("npm", For::Test, "noVNC, which the browser draws with", Sign::Program("npm")),
    package("povray", For::Test, "what an agent of the demonstration renders with", Sign::Program("povray")),
    package("nfs-ganesha", For::Test, "the dataset of the paper's bench", Sign::Program("ganesha.nfsd")),
    package(
        "nfs-ganesha-vfs",
        For::Test,
        "folders, for the server of that dataset",
        Sign::File("/usr/lib/*/ganesha/libfsalvfs.so"),
    ),
    package("mmdebstrap", For::Test, "an agent that is a whole Debian", Sign::Program("mmdebstrap")),
    package("nftables", For::Test, "agents with a tap", Sign::Program("nft")),
    package("dnsmasq-base", For::Test, "agents with a tap", Sign::Program("dnsmasq")),
    package("iperf3", For::Test, "measuring the WAN of the tests", Sign::Program("iperf3")),
    package("iputils-ping", For::Test, "measuring the WAN of the tests", Sign::Program("ping")),
    package(
        "zstd",
        For::Test,
        "how small a machine's memory could be, in a benchmark",
        Sign::Program("zstd"),
    ),
    package("rsync", For::Test, "a peer of the benchmarks", Sign::Program("rsync")),
    package("linux-perf", For::Test, "counting what an I/O costs", Sign::Program("perf")),
    package("xfsprogs", For::Test, "a second file system on the disk", Sign::Program("mkfs.xfs")),
    package("mesa-utils-extra", For::Gl, "programs of OpenGL ES", Sign::Program("es2gears_x11")),
    package("glmark2-x11", For::Gl, "scenes of OpenGL 2", Sign::Program("glmark2")),
    package("glmark2-es2-x11", For::Gl, "scenes of OpenGL ES 2", Sign::Program("glmark2-es2")),
    package(
        "xscreensaver-gl",
        For::Gl,
        "programs of OpenGL 1",
        Sign::File("/usr/libexec/xscreensaver/glmatrix"),
    ),
    package(
        "xscreensaver-gl-extra",
        For::Gl,
        "programs of OpenGL 1",
        Sign::File("/usr/libexec/xscreensaver/dangerball"),
    ),
    package(
        "python3-vtk9",
        For::Gl,
        "a program that shows data, with OpenGL 3.2",
        Sign::File("/usr/lib/python3/dist-packages/vtkmodules/__init__.py"),
    ),
    package("gmsh", For::Gl, "a program of OpenGL 1 with texts", Sign::Program("gmsh")),
    package("meshlab", For::Gl, "a program of OpenGL 2 with Qt", Sign::Program("meshlab")),
    package("pymol", For::Gl, "a program of OpenGL 2", Sign::Program("pymol")),
    package("neverball", For::Gl, "a game", Sign::File("/usr/games/neverball")),
    package("extremetuxracer", For::Gl, "a game", Sign::File("/usr/games/etr")),
    package("virgl-server", For::Gl, "Mesa's way to a renderer, a peer", Sign::Program("virgl_test_server")),
];

/// Whether a file exists below `folder` whose path fits a pattern with `*` in its parts.
fn exists(folder: &Path, pattern: &str) -> bool {
    let (part, rest) = pattern.split_once('/').map_or((pattern, None), |(part, rest)| (part, Some(rest)));
    let fits = |path: &Path| rest.map_or_else(|| path.exists(), |rest| exists(path, rest));
    let Some((before, after)) = part.split_once('*') else { return fits(&folder.join(part)) };
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let enough = name.len() >= before.len() + after.len();
        enough && name.starts_with(before) && name.ends_with(after) && fits(&entry.path())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_part_of_a_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(exists(root, "Cargo.toml"));
        assert!(exists(root, "src/*/packages.rs"));
        assert!(exists(root, "s*c/ma*.rs"));
        assert!(!exists(root, "src/*/no-such-file"));
        assert!(!exists(root, "src/main*main.rs"));
    }
}
