//! Brings this site's programs to another one, over the link's program alone (`ssh`, or the prefix of a `cmd:` address).
//!
//! Each file is written beside the place where it is to be, under a name of this attempt's, compared in length, and *run* there
//! (`--version`) before anything is replaced; then all are renamed. What runs there meanwhile keeps the files it began with. So a
//! cut at any moment leaves the programs that were there, and a program of another processor or with libraries that are not there
//! never takes the place of one that runs; what was written beside them is removed, by the next setup if the machine died.
//! (A machine that dies between two renames has a new `wandisk` and an old `snowbird`: setup again.)
//!
//! Over there a POSIX shell, `cat`, `wc`, `chmod`, `mv` and `rm` are needed; `sha256sum` to see that nothing is to be done, `df` and
//! `uname` to see before the copying that it would come to nothing.

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

/// Says where the programs are to be, absolutely; what is free there; the machine; and what the programs' bytes are, if they are
/// there. What an attempt has left that was cut off a day ago goes.
const LOOK: &str = r#"d=${1:-$HOME/.local/lib/snowbird}; mkdir -p -- "$d" && cd -- "$d" && pwd || exit
echo "free $(df -Pk . 2>/dev/null | tail -n 1)"; echo "machine $(uname -s) $(uname -m)"
find . -maxdepth 1 \( -name '.wandisk.*.new' -o -name '.snowbird.*.new' \) -mtime +0 -exec rm -f {} + 2>/dev/null
sha256sum wandisk snowbird 2>/dev/null || :"#;
/// Takes a program from standard input, and runs it. Exit code [`DOES_NOT_RUN`] if that fails.
const TAKE: &str = r#"cd -- "$1" || exit; f=.$2.$4.new; trap 'rm -f -- "$f"; exit 4' HUP TERM
cat >"$f" && { [ "$(wc -c <"$f")" -eq "$3" ] || { echo "it came in part only" >&2; false; }; } && chmod 755 "$f" || { rm -f -- "$f"; exit 4; }
"./$f" --version || { rm -f -- "$f"; exit 5; }"#;
/// Of [`TAKE`].
const DOES_NOT_RUN: i32 = 5;
/// Removes what this attempt has brought.
const CLEAR: &str = r#"cd -- "$1" && rm -f -- ".wandisk.$2.new" ".snowbird.$2.new""#;
/// Puts the programs in their place; says how many processes of this machine run what was there.
const PLACE: &str = r#"cd -- "$1" && mv -f -- ".wandisk.$2.new" wandisk && mv -f -- ".snowbird.$2.new" snowbird || exit
d=$(pwd -P); ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -c -e "-> $d/wandisk (deleted)" -e "-> $d/snowbird (deleted)" || :"#;
/// Says which programs are not to be had, in a folder or the PATH.
const LACKS: &str = r#"for p in wandisk snowbird; do if [ -n "$1" ]; then [ -x "$1/$p" ]; else command -v "$p" >/dev/null; fi || echo "$p"; done
command -v qemu-system-x86_64 >/dev/null || echo qemu; echo looked"#;
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
        /// Its exit code.
        code: Option<i32>,
    },
    /// Not enough room.
    #[error("site {site:?} has {} MiB free in {folder}, and the programs have {} MiB", free_bytes >> 20, needed_bytes.div_ceil(1 << 20))]
    NoRoom {
        /// The site.
        site: String,
        /// Where the programs were to be.
        folder: String,
        /// What is free there.
        free_bytes: u64,
        /// What they need.
        needed_bytes: u64,
    },
    /// Programs for another machine.
    #[error("site {site:?} is {theirs}, and the programs are for Linux {ours}")]
    OtherMachine {
        /// The site.
        site: String,
        /// What it says of itself.
        theirs: String,
        /// What the programs are for.
        ours: &'static str,
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
            InstallError::NoRoom { .. } => Some(
                "make room, or name another folder with `snowbird site set SITE --remote-wandisk /FOLDER/wandisk`",
            ),
            InstallError::Refused { step: MAKE | TAKE_ONE | PLACE_BOTH, .. } => Some(
                "nothing was replaced; a folder that may be written is named with `snowbird site set SITE --remote-wandisk \
                 /FOLDER/wandisk`",
            ),
            InstallError::Refused { step: BEGIN_SITE, .. } => Some(
                "the programs are there; a folder that may be written is named with `snowbird site set SITE --remote-home /FOLDER`",
            ),
            InstallError::OtherMachine { .. } | InstallError::DoesNotRun { .. } => Some(
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
    /// Processes there that run what was replaced, until they end.
    pub running_older: u32,
}

/// The steps, in words.
const MAKE: &str = "make a folder for the programs";
const TAKE_ONE: &str = "take a program";
const PLACE_BOTH: &str = "put the programs in their place";
const BEGIN_SITE: &str = "make the folder of a site";
const LOOK_FOR: &str = "look for the programs";

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
    let mut machine = None;
    for program in PROGRAMS {
        let path = from.join(program);
        let bytes = tokio::fs::read(&path)
            .await
            .map_err(|source| InstallError::Own { path: path.clone(), source })?;
        machine = machine.or(made_for(&bytes));
        own.push((program, path, bytes.len() as u64, sum(&bytes)));
    }
    let named = site.remote_folder().unwrap_or_default();
    let said = run(site, MAKE, LOOK, &[named], None).await?;
    let place = Place::parse(&said).ok_or_else(|| InstallError::Refused {
        site: site.name.clone(),
        step: "name a folder for the programs",
        said: clip(&said),
        code: None,
    })?;
    let Place { folder, free_bytes, machine: theirs, sums } = place;
    if own.iter().map(|(.., sum)| sum).eq(&sums) {
        return Ok(Installed { folder, there_before: true, running_older: 0 });
    }
    if let (Some(ours), Some(theirs)) = (machine, theirs)
        && theirs != format!("Linux {ours}")
    {
        return Err(InstallError::OtherMachine { site: site.name.clone(), theirs, ours });
    }
    let needed_bytes = own.iter().map(|(_, _, len_bytes, _)| len_bytes).sum();
    if let Some(free_bytes) = free_bytes.filter(|free| *free < needed_bytes) {
        return Err(InstallError::NoRoom { site: site.name.clone(), folder, free_bytes, needed_bytes });
    }
    let attempt = uuid::Uuid::new_v4().simple().to_string();
    let brought = async {
        for (program, path, len_bytes, _) in &own {
            news(&format!("copying {program} ({} MiB)", len_bytes.div_ceil(1 << 20)));
            take(site, program, path, &[&folder, program, &len_bytes.to_string(), &attempt]).await?;
        }
        run(site, PLACE_BOTH, PLACE, &[&folder, &attempt], None).await
    };
    match brought.await {
        Ok(said) => {
            let running_older = said.trim().parse().unwrap_or(0);
            Ok(Installed { folder, there_before: false, running_older })
        }
        Err(error) => {
            // What cannot be removed now is removed by a later setup.
            run(site, "remove what was brought", CLEAR, &[&folder, &attempt], None).await.ok();
            Err(error)
        }
    }
}

/// Brings one.
async fn take(site: &Site, program: &'static str, path: &Path, args: &[&str]) -> Result<(), InstallError> {
    let does_not_run =
        |said: &str| InstallError::DoesNotRun { site: site.name.clone(), program, said: clip(said) };
    match run(site, TAKE_ONE, TAKE, args, Some(path)).await {
        Ok(said) if said.starts_with(program) => Ok(()),
        Ok(said) => Err(does_not_run(&said)),
        Err(InstallError::Refused { said, code: Some(DOES_NOT_RUN), .. }) => Err(does_not_run(&said)),
        Err(other) => Err(other),
    }
}

/// Which of the programs without which no agent can be there a site lacks: `wandisk`, `snowbird`, `qemu`. For a site whose wandisk
/// does not answer.
///
/// # Errors
/// [`InstallError`], also if it has no shell for us.
pub async fn missing(site: &Site) -> Result<Vec<String>, InstallError> {
    let folder = site.remote_folder().unwrap_or_default();
    let said = run(site, LOOK_FOR, LACKS, &[folder], None).await?;
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let known = |line: &String| ["wandisk", "snowbird", "qemu"].contains(&line.as_str());
    if lines.pop().as_deref() != Some("looked") || !lines.iter().all(known) {
        let said = clip(&said);
        return Err(InstallError::Refused { site: site.name.clone(), step: LOOK_FOR, said, code: None });
    }
    Ok(lines)
}

/// What [`LOOK`] says.
struct Place {
    folder: String,
    free_bytes: Option<u64>,
    machine: Option<String>,
    sums: Vec<String>,
}

impl Place {
    fn parse(said: &str) -> Option<Place> {
        let mut lines = said.lines();
        let folder = lines.next().filter(|folder| folder.starts_with('/'))?.to_owned();
        let mut place = Place { folder, free_bytes: None, machine: None, sums: Vec::new() };
        for line in lines {
            if let Some(df) = line.strip_prefix("free ") {
                // Blocks of 1024, used, free, in percent; a device's name may have spaces.
                let words: Vec<&str> = df.split_whitespace().collect();
                let percent = words.iter().position(|word| word.ends_with('%')).unwrap_or(0);
                let kib = percent.checked_sub(1).and_then(|at| words[at].parse::<u64>().ok());
                place.free_bytes = kib.map(|kib| kib.saturating_mul(1024));
            } else if let Some(machine) = line.strip_prefix("machine ") {
                place.machine = Some(clip(machine)).filter(|machine| machine.contains(' '));
            } else {
                place.sums.extend(line.split_whitespace().next().map(str::to_owned));
            }
        }
        Some(place)
    }
}

/// The processor that a program is for, as `uname -m` calls it; none for what is no program of Linux's, or of another one.
fn made_for(program: &[u8]) -> Option<&'static str> {
    let head = program.first_chunk::<20>().filter(|head| head.starts_with(b"\x7fELF"))?;
    match u16::from_le_bytes([head[18], head[19]]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        243 => Some("riscv64"),
        _ => None,
    }
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
    run(site, BEGIN_SITE, BEGIN, &args, None).await.map(|_| ())
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
        let code = output.status.code();
        return Err(InstallError::Refused { site: site.name.clone(), step, said, code });
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

        /// All that is in the folder of its programs.
        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.dir.path().join("its bin")).unwrap().flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
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
        assert_eq!(first.running_older, 0);
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
        assert_eq!(far.files(), ["snowbird", "wandisk"]);
        assert!(far.there("snowbird").contains("snowbird 1") && far.there("wandisk").contains("wandisk 1"));
    }

    #[tokio::test]
    async fn programs_for_another_machine_are_not_even_sent() {
        let far = Far::new();
        let own = far.own("1");
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        elf.extend(if cfg!(target_arch = "aarch64") { [62, 0] } else { [183, 0] });
        std::fs::write(own.join("wandisk"), elf).unwrap();
        let error = install(&far.site, &own, |news| panic!("{news}")).await.unwrap_err();
        assert!(matches!(error, InstallError::OtherMachine { .. }), "{error}");
        assert!(error.to_string().contains(std::env::consts::ARCH), "{error}");
        assert_eq!(far.files(), [] as [&str; 0]);
    }

    #[test]
    fn what_a_site_says_of_its_folder_is_read_and_nonsense_is_not() {
        let said = "/opt/a b\nfree /dev/my disk 100 60 40 60% /opt\nmachine Linux x86_64\nabc  wandisk\n";
        let place = Place::parse(said).unwrap();
        assert_eq!((place.folder.as_str(), place.free_bytes), ("/opt/a b", Some(40 << 10)));
        assert_eq!((place.machine.as_deref(), place.sums), (Some("Linux x86_64"), vec!["abc".to_owned()]));
        let place = Place::parse("/x\nfree \nmachine  \n").unwrap();
        assert_eq!((place.free_bytes, place.machine, place.sums.len()), (None, None, 0));
        assert!(Place::parse("Welcome!\n/x\n").is_none() && Place::parse("").is_none());
    }

    #[tokio::test]
    async fn what_a_site_lacks_is_found_by_a_shell_alone() {
        let far = Far::new();
        let lacks = missing(&far.site).await.unwrap();
        assert!(lacks.contains(&"wandisk".to_owned()) && lacks.contains(&"snowbird".to_owned()), "{lacks:?}");
        install(&far.site, &far.own("1"), |_| ()).await.unwrap();
        let lacks = missing(&far.site).await.unwrap();
        assert!(!lacks.iter().any(|lack| lack != "qemu"), "{lacks:?}");
        // One that lets nobody have a shell says something else.
        let text = r#"{"name": "big", "address": "cmd:echo no shell"}"#;
        let error = missing(&serde_json::from_str(text).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("no shell"), "{error}");
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
