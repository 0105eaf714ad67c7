//! Real runs: programs on a real screen behind a path, hands at a viewer's place, and a thread that computes; what
//! the display proxy sees of it, and what the thread wants, is the trace.
//!
//! What is not real is the user, who does what [`scenes`] says, and the agent, which is a screen and a compressor
//! instead of a virtual machine. Screen, programs, path, updates, load and their times are as they were.

mod agent;
mod run;
mod scene;
mod scenes;

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Records the scenes of these names, or all, at once; as long as the longest takes.
pub(super) fn record(folder: &Path, names: &[String]) -> Result<()> {
    let mut all = scenes::all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|scene| scene.name == **name)) {
        bail!("{unknown} is none of {:?}", all.iter().map(|scene| scene.name).collect::<Vec<_>>());
    }
    all.retain(|scene| names.is_empty() || names.iter().any(|name| scene.name == *name));
    std::fs::create_dir_all(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for scene in all {
            let folder = folder.to_owned();
            tasks.spawn(async move {
                let name = scene.name;
                run::record(scene, &folder).await.with_context(|| format!("recording {name}"))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    })
}
