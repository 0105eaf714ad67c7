//! What an agent needs to draw numbered pictures with OpenGL at its home (`manager/tests/agents/numbers.c`): an X server, VMGL's library and
//! the program, from this machine. What was lost or came twice on the way is seen by comparing what the program says with what was drawn.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::boot::{Work, with_libraries};
use crate::{process, workspace};

/// Where the agent has the program.
const PROGRAM: &str = "usr/bin/numbers";
/// The file that ends it.
const STOP: &str = "/tmp/stop";
/// Keyboards for the X server, which starts with none otherwise.
const KEYBOARDS: &str = "/usr/share/X11/xkb";
/// Commands of a picture: three for each of its stripes, and one that gives it.
pub(crate) const COMMANDS: u64 = 32 * 3 + 1;
/// Commands that there are once, at most.
pub(crate) const COMMANDS_ONCE: u64 = 20;

/// The agent's work, drawn at this port of its home by this library; `folder` is for what is built. Its job ends the program, which then says
/// [`Told`].
pub(crate) fn work(folder: &Path, library: &Path, port: u16) -> Result<Work> {
    let program = folder.join("numbers");
    let mut cc = Command::new("cc");
    cc.arg("-O1").arg("-o").arg(&program).arg(workspace::root().join("manager/tests/agents/numbers.c"));
    process::run(cc.args(["-l:libGL.so.1", "-l:libX11.so.6"]))?;
    let mut needed = BTreeSet::new();
    for own in [&program, library] {
        needed.extend(with_libraries(own)?.into_iter().filter(|file| file != own));
    }
    let vendors = needed.iter().find(|file| file.ends_with("libGLX.so.0")).context("libglvnd is missing")?;
    let vendor = vendors.with_file_name("libGLX_vmgl.so.0");
    below(Path::new(KEYBOARDS), &mut needed)?;

    let mut files = Vec::new();
    for file in &needed {
        files.push((inside(file), read(file)?));
    }
    files.push((inside(&vendor), read(library)?));
    files.push((PROGRAM.to_owned(), read(&program)?));
    // The X server starts its compiler of keyboards by this name, wherever the machine's PATH finds a shell first.
    files.push(("bin/sh".to_owned(), read(Path::new("/bin/sh"))?));
    // The compiler of keyboards writes there.
    files.push(("var/lib/xkb/made".to_owned(), Vec::new()));
    // The door may be opened a little later than the agent begins. There is no software that could draw for one whose renderer is away.
    let script = format!(
        "Xvfb :0 -screen 0 320x240x24 -extension GLX -nolisten tcp &\n\
         export DISPLAY=:0 __GLX_VENDOR_LIBRARY_NAME=vmgl VMGL_GL=tcp:10.0.2.2:{port} VMGL_GL_PATIENCE=120\n\
         until /{PROGRAM} {STOP} /dev/ttyS0; do sleep 0.3; done\n"
    );
    files.push(("begin".to_owned(), script.into_bytes()));
    Ok(Work {
        job: ["/bin/sh", "-c", &format!(": > {STOP}")].map(str::to_owned).to_vec(),
        viewer: ["/bin/sh", "/begin"].map(str::to_owned).to_vec(),
        programs: vec!["Xvfb", "xkbcomp", "sh", "sleep"],
        files,
        modules: &["virtio_net"],
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn inside(file: &Path) -> String {
    file.to_string_lossy().trim_start_matches('/').to_owned()
}

fn below(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} is missing", folder.display()))? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => below(&entry.path(), files)?,
            kind if kind.is_file() => drop(files.insert(entry.path())),
            _ => {}
        }
    }
    Ok(())
}

/// What the program says when it has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Pictures that it has given.
    pub(crate) drawn: u64,
    /// Calls of OpenGL's that failed.
    pub(crate) errors: u64,
    /// Bytes that its connection has sent.
    pub(crate) sent: u64,
    /// Bytes of them that went more than once.
    pub(crate) again: u64,
}

impl Told {
    /// A line of its two.
    pub(crate) fn hear(&mut self, line: &str) {
        let words = line.split_once(", ").and_then(|(first, second)| Some((number(first)?, number(second)?)));
        match words {
            Some((("sent", sent), ("again", again))) => (self.sent, self.again) = (sent, again),
            Some((("drew", drawn), ("errors", errors))) => (self.drawn, self.errors) = (drawn, errors),
            _ => {}
        }
    }
}

fn number(word: &str) -> Option<(&str, u64)> {
    let (name, number) = word.split_once(' ')?;
    Some((name, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says_is_heard_between_other_lines() {
        let mut told = Told::default();
        for line in ["at 7, 8", "sent 4096, again 12", "", "drew 300, errors 0", "drew many, errors 0"] {
            told.hear(line);
        }
        assert_eq!(told, Told { drawn: 300, errors: 0, sent: 4096, again: 12 });
    }
}
