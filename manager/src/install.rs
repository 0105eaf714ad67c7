//! Brings this site's programs to another one, over the link's program alone (`ssh`, or the prefix of a `cmd:` address).
//!
//! Each file is written beside the place where it is to be, compared in length, and *run* there (`--version`) before anything
//! is replaced; then all are renamed. What runs there meanwhile keeps the files it began with. So a cut at any moment leaves the
//! old programs or the new ones, and a program of another processor or with libraries that are not there never takes the
//! place of one that runs.
//!
//! Over there a POSIX shell, `cat`, `wc`, `chmod` and `mv` are needed, and `sha256sum` to see that nothing is to be done.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::sites::{Site, SiteError};

/// The programs, in the order in which they are brought.
pub const PROGRAMS: [&str; 2] = ["wandisk", "snowbird"];
/// A login and a few commands.
const SHORT: Duration = Duration::from_secs(60);
/// A file of some 20 MB over a slow line.
const COPY: Duration = Duration::from_secs(1800);
/// What is kept of what a shell over there says.
const SAID_MAX: usize = 400;

/// Says where the programs are to be, absolutely, and what their bytes are, if they are there.
const LOOK: &str = r#"d=${1:-$HOME/.local/lib/snowbird}; mkdir -p -- "$d" && cd -- "$d" && pwd && { sha256sum wandisk snowbird 2>/dev/null || :; }"#;
/// Takes a program from standard input, and runs it.
const TAKE: &str = r#"cd -- "$1" && cat >".$2.new" && [ "$(wc -c <".$2.new")" -eq "$3" ] && chmod 755 ".$2.new" && "./.$2.new" --version"#;
/// Puts the programs in their place.
const PLACE: &str = r#"cd -- "$1" && mv -f .wandisk.new wandisk && mv -f .snowbird.new snowbird"#;
/// Makes a site, unless there is one.
const BEGIN: &str =
    r#"w=$1/wandisk; n=$2; shift 2; "$w" "$@" site ls >/dev/null 2>&1 || "$w" "$@" init --site "$n""#;

/// Why the programs are not there.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The site cannot be reached by its address.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A program of this site cannot be read.
    #[error("cannot read {}", path.display())]
    Own {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The link's program could not be run.
    #[error("the link to site {site:?} could not be started")]
    Start {
        /// The site.
        site: String,
        /// Why.
        source: io::Error,
    },
    /// No end in time.
    #[error("site {site:?} did not {step} within {} s", limit.as_secs())]
    Late {
        /// The site.
        site: String,
        /// What was asked.
        step: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// A step failed over there.
    #[error("site {site:?} could not {step}: {said}")]
    Refused {
        /// The site.
        site: String,
        /// What was asked.
        step: &'static str,
        /// What was said.
        said: String,
    },
    /// What came was not run by that machine.
    #[error("site {site:?} got {program} but cannot run it: {said}")]
    DoesNotRun {
        /// The site.
        site: String,
        /// The program.
        program: &'static str,
        /// What was said.
        said: String,
    },
}

impl InstallError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            InstallError::Site(error) => error.hint(),
            InstallError::Own { .. } => Some("name the folder that has both programs with --from"),
            InstallError::DoesNotRun { .. } => Some(
                "programs for another machine are made by `cargo xtask dist` (they need no libraries): name their folder with \
                 --from",
            ),
            InstallError::Start { .. } | InstallError::Late { .. } | InstallError::Refused { .. } => None,
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The folder of the programs over there.
    pub folder: String,
    /// They were there already.
    pub there_before: bool,
}

/// Brings the programs of a folder of this site to another one. `news` hears what is done, in half a sentence.
///
/// # Errors
/// [`InstallError`]; the programs that were there stay as they were.
pub async fn install(
    site: &Site,
    from: &Path,
    mut news: impl FnMut(&str),
) -> Result<Installed, InstallError> {
    let mut own = Vec::new();
    for program in PROGRAMS {
        let path = from.join(program);
        let bytes = tokio::fs::read(&path)
            .await
            .map_err(|source| InstallError::Own { path: path.clone(), source })?;
        own.push((program, path, bytes.len(), sum(&bytes)));
    }
    let named = site.remote_folder().unwrap_or_default();
    let said = run(site, "make a folder for the programs", LOOK, &[named], None).await?;
    let mut lines = said.lines();
    let folder = lines.next().unwrap_or_default().to_owned();
    if !folder.starts_with('/') {
        return Err(InstallError::Refused {
            site: site.name.clone(),
            step: "name a folder for the programs",
            said: clip(&said),
        });
    }
    let there: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    let there_before = own.iter().map(|(.., sum)| sum.as_str()).eq(there);
    if there_before {
        return Ok(Installed { folder, there_before });
    }
    for (program, path, len_bytes, _) in &own {
        news(&format!("copying {program} ({} MiB)", len_bytes.div_ceil(1 << 20)));
        let args = [folder.as_str(), program, &len_bytes.to_string()];
        let taken = run(site, "take a program", TAKE, &args, Some(path)).await;
        match taken {
            Ok(said) if said.starts_with(program) => {}
            Ok(said) | Err(InstallError::Refused { said, .. }) => {
                return Err(InstallError::DoesNotRun { site: site.name.clone(), program, said: clip(&said) });
            }
            Err(other) => return Err(other),
        }
    }
    run(site, "put the programs in their place", PLACE, &[&folder], None).await?;
    Ok(Installed { folder, there_before })
}

/// Makes the folder of a site over there, unless there is one.
///
/// # Errors
/// [`InstallError`].
pub async fn begin(site: &Site, folder: &str) -> Result<(), InstallError> {
    let mut args = vec![folder, &site.name];
    if let Some(home) = site.remote_home() {
        args.extend(["--home", home]);
    }
    run(site, "make the folder of a site", BEGIN, &args, None).await.map(|_| ())
}

fn sum(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a script over there; gives what it said.
async fn run(
    site: &Site,
    step: &'static str,
    script: &str,
    args: &[&str],
    input: Option<&Path>,
) -> Result<String, InstallError> {
    let mut far: Vec<String> = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    far.extend(args.iter().map(|&arg| arg.to_owned()));
    let words = site.words_of(&far)?;
    let start = |source| InstallError::Start { site: site.name.clone(), source };
    let (program, args) = words.split_first().ok_or_else(|| start(io::ErrorKind::NotFound.into()))?;
    let stdin = match input {
        Some(path) => {
            let own = |source| InstallError::Own { path: path.to_owned(), source };
            Stdio::from(std::fs::File::open(path).map_err(own)?)
        }
        None => Stdio::null(),
    };
    let limit = if input.is_some() { COPY } else { SHORT };
    let mut command = Command::new(program);
    command.args(args).stdin(stdin).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .map_err(|_| InstallError::Late { site: site.name.clone(), step, limit })?
        .map_err(start)?;
    if !output.status.success() {
        let mut said = clip(&String::from_utf8_lossy(&output.stderr));
        if said.is_empty() {
            said = format!("it said nothing ({})", output.status);
        }
        return Err(InstallError::Refused { site: site.name.clone(), step, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The end of what was said, in a line.
fn clip(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let skip = line.chars().count().saturating_sub(SAID_MAX);
    line.chars().skip(skip).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A site that is this machine, with its programs in a folder of its own, and what it had been given there.
    struct Far {
        dir: tempfile::TempDir,
        site: Site,
    }

    impl Far {
        fn new() -> Far {
            let dir = tempfile::tempdir().unwrap();
            let at = dir.path().display().to_string();
            let text = format!(
                r#"{{"name": "big", "address": "cmd:env", "remote_home": "{at}/a home", "remote_wandisk": "{at}/its bin/wandisk"}}"#
            );
            Far { site: serde_json::from_str(&text).unwrap(), dir }
        }

        /// Programs that say this; gives their folder.
        fn own(&self, version: &str) -> PathBuf {
            let folder = self.dir.path().join("own");
            std::fs::create_dir_all(&folder).unwrap();
            for program in PROGRAMS {
                std::fs::write(folder.join(program), format!("#!/bin/sh\necho {program} {version}\n"))
                    .unwrap();
            }
            folder
        }

        fn there(&self, program: &str) -> String {
            std::fs::read_to_string(self.dir.path().join("its bin").join(program)).unwrap()
        }
    }

    #[tokio::test]
    async fn programs_are_brought_once_and_replaced_by_newer_ones() {
        let far = Far::new();
        let mut told = Vec::new();
        let first = install(&far.site, &far.own("1"), |news| told.push(news.to_owned())).await.unwrap();
        assert_eq!((first.there_before, told.len()), (false, 2), "{told:?}");
        assert_eq!(Path::new(&first.folder), far.dir.path().join("its bin"));
        let mode = std::fs::metadata(far.dir.path().join("its bin/snowbird")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let again = install(&far.site, &far.own("1"), |news| panic!("{news}")).await.unwrap();
        assert!(again.there_before);
        install(&far.site, &far.own("2"), |_| ()).await.unwrap();
        assert!(far.there("snowbird").contains("snowbird 2") && far.there("wandisk").contains("wandisk 2"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_run_there_replaces_nothing() {
        let far = Far::new();
        install(&far.site, &far.own("1"), |_| ()).await.unwrap();
        let own = far.own("2");
        std::fs::write(own.join("snowbird"), "#!/no/such/loader\n").unwrap();
        let error = install(&far.site, &own, |_| ()).await.unwrap_err();
        assert!(matches!(error, InstallError::DoesNotRun { program: "snowbird", .. }), "{error}");
        assert!(error.hint().unwrap().contains("--from"));
        assert!(far.there("snowbird").contains("snowbird 1") && far.there("wandisk").contains("wandisk 1"));
    }

    #[tokio::test]
    async fn a_site_is_made_where_there_is_none() {
        let far = Far::new();
        let own = far.own("1");
        let script = r#"#!/bin/sh
[ "$1" = --version ] && echo wandisk 1 && exit
[ "$1" = --home ] || exit 9
[ "$3" = site ] && exec test -e "$2"
[ "$3 $4 $5" = "init --site big" ] && exec mkdir "$2""#;
        std::fs::write(own.join("wandisk"), script).unwrap();
        let folder = install(&far.site, &own, |_| ()).await.unwrap().folder;
        for _ in 0..2 {
            begin(&far.site, &folder).await.unwrap();
            assert!(far.dir.path().join("a home").is_dir());
        }
    }

    #[tokio::test]
    async fn a_site_that_cannot_be_reached_is_told_in_its_link_s_words() {
        let text = r#"{"name": "big", "address": "cmd:sh -c 'echo no route >&2; exit 255'"}"#;
        let site: Site = serde_json::from_str(text).unwrap();
        let far = Far::new();
        let error = install(&site, &far.own("1"), |_| ()).await.unwrap_err();
        assert!(error.to_string().contains("no route"), "{error}");
        let error = install(&far.site, Path::new("/no/such"), |_| ()).await.unwrap_err();
        assert!(matches!(error, InstallError::Own { .. }), "{error}");
    }
}
