//! What the agent boots: the test guest's kernel, and a first root with the agent's init and what its job needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::guest::cpio::Archive;
use crate::setup::kernel::{Kernel, Series};
use crate::{process, workspace};

const SCENE: &[u8] = include_bytes!("scene.pov");

/// What an agent does.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The job's program and its arguments.
    pub(crate) job: Vec<String>,
    /// What is on the screen, in the same way; without: what is typed.
    pub(crate) viewer: Vec<String>,
    /// Programs of this machine that it needs, which come with their libraries.
    pub(crate) programs: Vec<&'static str>,
    /// Files, by their paths without a leading slash; all may be run.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Modules beside the disk's.
    pub(crate) modules: &'static [&'static str],
}

impl Work {
    /// POV-Ray, for a picture of this width and three quarters of that height.
    pub(crate) fn render(width: u32) -> Result<Work> {
        let povray = process::find("povray").context("povray is missing")?;
        let words = format!(
            "{} +I/scene.pov +O/tmp/picture.png +W{width} +H{} +WT1 +A0.1 -D -GA",
            povray.display(),
            width * 3 / 4
        );
        Ok(Work {
            job: words.split(' ').map(str::to_owned).collect(),
            programs: vec!["povray"],
            files: vec![("scene.pov".to_owned(), SCENE.to_vec())],
            ..Work::default()
        })
    }
}

/// Kernel and first root below `folder`.
pub(crate) fn write(folder: &Path, work: &Work) -> Result<(PathBuf, PathBuf)> {
    let kernel = Kernel::installed(Series::default())?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "tmp", "data"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 0o600, (5, 1));
    archive.file("init", 0o755, &read(&init()?)?);
    let modules = [&["virtio_blk"], work.modules].concat();
    for (place, module) in kernel.with_dependencies(&modules)?.iter().enumerate() {
        let name = module.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        archive.file(&format!("modules/{place:02}-{name}"), 0o644, &read(module)?);
    }
    let mut programs = BTreeSet::new();
    for name in &work.programs {
        programs.extend(with_libraries(&process::find(name).with_context(|| format!("{name} is missing"))?)?);
    }
    for file in programs {
        archive.file(file.to_string_lossy().trim_start_matches('/'), 0o755, &read(&file)?);
    }
    for (path, content) in &work.files {
        archive.file(path, 0o755, content);
    }
    for (path, words) in [("job", &work.job), ("viewer", &work.viewer)] {
        if !words.is_empty() {
            archive.file(path, 0o644, words.join("\n").as_bytes());
        }
    }
    let (image, root) = (folder.join("vmlinuz"), folder.join("root.cpio"));
    std::fs::copy(kernel.image(), &image)?;
    std::fs::write(&root, archive.finish())?;
    Ok((image, root))
}

/// A program, its loader and its libraries, where the loader looks for them.
pub(super) fn with_libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let said = process::output(Command::new("ldd").arg(program))?;
    let words = said.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).chain([program.to_owned()]).collect())
}

fn init() -> Result<PathBuf> {
    let target = workspace::guest().join("agent-init");
    workspace::static_program("agent-init", &target).context("cannot build the agent's init")
}
