//! Running other programs: found or not, with their output or not, never failing unseen.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Where a program of this name lies, in `PATH` or in the administrator's folders, which an ordinary
/// user's `PATH` lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].into_iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs the command with this program's own input and output; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{}: {status}", line(command));
    }
    Ok(())
}

/// Runs the command and gives its standard output; an error, with its standard error, unless it
/// succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", line(command)))?;
    if !done.status.success() {
        bail!("{}: {}\n{}", line(command), done.status, String::from_utf8_lossy(&done.stderr).trim_end());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{} wrote no UTF-8", line(command)))
}

/// Runs the command with its two outputs joined and kept: whether it succeeded, and what it said.
pub(crate) fn kept(command: &mut Command) -> Result<(bool, String)> {
    let (mut child, mut reader) = joined(command)?;
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    Ok((child.wait()?.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// Starts the command with both outputs going into one pipe.
fn joined(command: &mut Command) -> Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn().with_context(|| format!("cannot start {}", line(command)))?;
    // The command holds copies of the pipe's writing end, which would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child, reader))
}

/// Runs the command and gives each line of its standard output to `each` as it comes; standard error
/// passes through. Whether it succeeded.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            each(&line?);
        }
    }
    Ok(child.wait()?.success())
}

/// Runs the command and gives each line of its two outputs, joined, to `each` as it comes. Whether it succeeded.
pub(crate) fn all_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let (mut child, reader) = joined(command)?;
    for line in BufReader::new(reader).split(b'\n') {
        each(&String::from_utf8_lossy(&line?));
    }
    Ok(child.wait()?.success())
}

/// The command as a line for messages.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A duration as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }

    #[test]
    fn both_outputs_are_kept_in_order() {
        let (success, said) = kept(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"])).unwrap();
        assert!(!success);
        assert_eq!(said, "a\nb\n");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(Duration::from_millis(420)), "0.4 s");
        assert_eq!(span(Duration::from_secs(185)), "3 min 05 s");
    }
}
