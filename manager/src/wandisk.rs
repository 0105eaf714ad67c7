//! The program `wandisk`, asked with `--json`. Snowbird links nothing of it: what a person can ask is all that is asked.
//!
//! Fault model: it may be missing, hang (every call has a time-out, and the child is killed at its end), refuse with a
//! sentence and a hint (kept), or say something that is no answer.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::agent::machine::find;

/// No answer is longer (`status` without chunks is some KB).
const ANSWER_MAX: u64 = 4 << 20;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum WandiskError {
    /// It is not installed.
    #[error("the program wandisk is to be found neither beside snowbird nor in the PATH")]
    Missing,
    /// It could not be run.
    #[error("wandisk could not be run")]
    Run(#[from] io::Error),
    /// No end in time.
    #[error("`wandisk {command}` took longer than {} s", limit.as_secs())]
    Late {
        /// What was asked.
        command: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It failed, in its words.
    #[error("{message}")]
    Refused {
        /// The sentence.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// What kind of no it was, in wandisk's word.
        code: Option<String>,
    },
    /// It said something else.
    #[error("`wandisk {command}` gave no answer that can be understood")]
    Nonsense {
        /// What was asked.
        command: String,
    },
}

impl WandiskError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            WandiskError::Missing => {
                Some("put it beside snowbird, or name it with --wandisk or $SNOWBIRD_WANDISK")
            }
            WandiskError::Refused { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// There is no such disk at this site.
    #[must_use]
    pub fn is_no_disk(&self) -> bool {
        matches!(self, WandiskError::Refused { code: Some(code), .. } if code == "no-disk")
    }
}

/// The program, for one site.
#[derive(Clone, Debug)]
pub struct Wandisk {
    program: PathBuf,
    home: PathBuf,
}

impl Wandisk {
    /// The program that was named, or the one beside this, or the first in `PATH`.
    ///
    /// # Errors
    /// [`WandiskError::Missing`].
    pub fn find(home: &Path, named: Option<&Path>) -> Result<Wandisk, WandiskError> {
        let program = named.map(Path::to_owned).or_else(|| find("wandisk")).ok_or(WandiskError::Missing)?;
        Ok(Wandisk { program, home: home.to_owned() })
    }

    /// The program's file.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`WandiskError`], at the latest after `limit`.
    pub async fn ask(&self, args: &[&str], limit: Duration) -> Result<Value, WandiskError> {
        self.ask_hearing(args, limit, |_| ()).await
    }

    /// The same, and hears how far it is while it runs: what stands under `progress`.
    ///
    /// # Errors
    /// [`WandiskError`], at the latest after `limit`.
    pub async fn ask_hearing(
        &self,
        args: &[&str],
        limit: Duration,
        mut news: impl FnMut(&Value),
    ) -> Result<Value, WandiskError> {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&self.home).arg("--json").args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let name = || args.first().copied().unwrap_or_default().to_owned();
        let told = child.stderr.take();
        // (Whatever it leaves behind may hold its standard error open: its end is not waited for.)
        let hears = async {
            let Some(told) = told else { return };
            let mut lines = BufReader::new(told.take(ANSWER_MAX)).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(line) = serde_json::from_str::<Value>(&line) {
                    news(&line["progress"]);
                }
            }
        };
        let ended = async {
            let mut text = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(ANSWER_MAX).read_to_end(&mut text).await?;
            }
            Ok::<_, io::Error>((child.wait().await?, text))
        };
        let both = async {
            tokio::pin!(ended, hears);
            tokio::select! {
                // What it said before it ended is heard first.
                biased;
                () = &mut hears => {}
                ended = &mut ended => return ended,
            }
            ended.await
        };
        let (status, text) = tokio::time::timeout(limit, both)
            .await
            .map_err(|_| WandiskError::Late { command: name(), limit })??;
        let value: Value =
            serde_json::from_slice(&text).map_err(|_| WandiskError::Nonsense { command: name() })?;
        let word = |name: &str| value["error"][name].as_str().map(str::to_owned);
        match word("message") {
            Some(message) => Err(WandiskError::Refused { message, hint: word("hint"), code: word("code") }),
            None if status.success() => Ok(value),
            None => Err(WandiskError::Nonsense { command: name() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that says this.
    fn saying(folder: &Path, script: &str) -> Wandisk {
        let file = folder.join("wandisk");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Wandisk::find(folder, Some(&file)).unwrap()
    }

    #[tokio::test]
    async fn answers_refusals_and_silence_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(20);
        let answer = saying(folder.path(), "echo '{\"token\": \"'$4'\"}'").ask(&["prepare"], limit).await;
        assert_eq!(answer.unwrap()["token"], "prepare");
        let refusal = "echo '{\"error\": {\"message\": \"no room\", \"hint\": \"make some\"}}'; exit 1";
        let error = saying(folder.path(), refusal).ask(&["x"], limit).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.hint()), ("no room", Some("make some")));
        assert!(!error.is_no_disk());
        let refusal = "echo '{\"error\": {\"message\": \"none\", \"code\": \"no-disk\"}}'; exit 1";
        assert!(saying(folder.path(), refusal).ask(&["x"], limit).await.unwrap_err().is_no_disk());
        let error = saying(folder.path(), "exit 1").ask(&["x"], limit).await.unwrap_err();
        assert!(matches!(error, WandiskError::Nonsense { .. }), "{error}");
        let telling = saying(folder.path(), "echo '{\"progress\": {\"phase\": \"released\"}}' >&2; echo {}");
        let mut heard = Vec::new();
        telling.ask_hearing(&["commit"], limit, |news| heard.push(news["phase"].clone())).await.unwrap();
        assert_eq!(heard, ["released"]);
        let silent = saying(folder.path(), "exec sleep 100");
        let error = silent.ask(&["x"], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, WandiskError::Late { .. }), "{error}");
    }
}
