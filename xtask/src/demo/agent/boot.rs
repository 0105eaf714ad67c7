//! What the agent boots: the test guest's kernel, and a first root with the agent's init, POV-Ray with the libraries that it
//! needs, and a scene.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::guest::cpio::Archive;
use crate::setup::kernel::{Kernel, Series};
use crate::{process, workspace};

const SCENE: &[u8] = include_bytes!("scene.pov");

/// Kernel and first root below `folder`, for a picture of this width.
pub(super) fn write(folder: &Path, width: u32) -> Result<(PathBuf, PathBuf)> {
    let kernel = Kernel::installed(Series::default())?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    archive.folder("dev");
    archive.folder("tmp");
    archive.device("dev/console", 0o600, (5, 1));
    archive.file("init", 0o755, &read(&init()?)?);
    for (place, module) in kernel.with_dependencies(&["virtio_blk"])?.iter().enumerate() {
        let name = module.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        archive.file(&format!("modules/{place:02}-{name}"), 0o644, &read(module)?);
    }
    let povray = process::find("povray").context("povray is missing")?;
    for file in with_libraries(&povray)? {
        archive.file(file.to_string_lossy().trim_start_matches('/'), 0o755, &read(&file)?);
    }
    archive.file("scene.pov", 0o644, SCENE);
    let job = format!(
        "{}\n+I/scene.pov\n+O/tmp/picture.png\n+W{width}\n+H{}\n+WT1\n+A0.1\n-D\n-GA\n",
        povray.display(),
        width * 3 / 4
    );
    archive.file("job", 0o644, job.as_bytes());
    let (image, root) = (folder.join("vmlinuz"), folder.join("root.cpio"));
    std::fs::copy(kernel.image(), &image)?;
    std::fs::write(&root, archive.finish())?;
    Ok((image, root))
}

/// A program, its loader and its libraries, where the loader looks for them.
fn with_libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let said = process::output(Command::new("ldd").arg(program))?;
    let words = said.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).chain([program.to_owned()]).collect())
}

fn init() -> Result<PathBuf> {
    let target = workspace::guest().join("agent-init");
    let mut cargo = workspace::cargo();
    cargo.args([
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "agent-init",
        "--bin",
        "agent-init",
        "--target-dir",
    ]);
    cargo.arg(&target).args(["--", "-C", "target-feature=+crt-static"]);
    process::run(&mut cargo).context("cannot build the agent's init")?;
    Ok(target.join("release/agent-init"))
}
