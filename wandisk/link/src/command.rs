//! `cmd:` links: a program whose standard input and output are the stream.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::DialError;
use crate::stream::Stream;
use crate::tail::Tail;

/// Programs that join their words with spaces and have a shell at the far end take them apart again.
const REMOTE_SHELLS: [&str; 3] = ["ssh", "autossh", "dbclient"];

/// Words that end in `serve --stdio` are the whole command; others are a prefix (`ssh -J bastion host`,
/// `ip netns exec b env X=y`) to which the far command is appended.
///
/// Appended words stay words of their own. Behind a prefix with `ssh` in it a shell takes them apart once more, so
/// there those that a shell would not leave alone are quoted.
pub(crate) fn with_far_command(words: &[String], far_command: &[String]) -> Vec<String> {
    let mut all = words.to_vec();
    if is_whole(words) {
        return all;
    }
    let name = |word: &String| Path::new(word).file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let by_shell = words.iter().filter_map(name).any(|name| REMOTE_SHELLS.contains(&name.as_str()));
    all.extend(
        far_command
            .iter()
            .map(|word| if by_shell { shell_words::quote(word).into_owned() } else { word.clone() }),
    );
    all
}

/// Is it the far command itself, not a prefix?
pub(crate) fn is_whole(words: &[String]) -> bool {
    words.len() > 2 && words[words.len() - 2..] == ["serve", "--stdio"]
}

/// Starts a program; `far_program` is the one it starts in the end. It is killed when the stream is dropped.
pub(crate) fn start(words: &[String], far_program: &str) -> Result<Stream, DialError> {
    let Some((program, arguments)) = words.split_first() else { return Err(DialError::Ended) };
    let failed = |source| DialError::Spawn { program: program.clone(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    Ok(Stream::program(stdin, stdout, stderr, child, Tail::of(far_program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        shell_words::split(text).unwrap()
    }

    #[test]
    fn a_prefix_gets_the_command_and_a_whole_command_stays() {
        let far = words("wandisk serve --stdio");
        assert_eq!(with_far_command(&words("ssh -J b h"), &far), words("ssh -J b h wandisk serve --stdio"));
        assert_eq!(
            with_far_command(&words("w --home x serve --stdio"), &far),
            words("w --home x serve --stdio")
        );
    }

    #[test]
    fn words_survive_the_shell_behind_an_ssh_prefix() {
        let far = words("wandisk --home '/a home' serve --stdio");
        let quoted = |prefix: &str| with_far_command(&words(prefix), &far)[words(prefix).len() + 2].clone();
        assert_eq!(quoted("ssh -J b h"), "'/a home'");
        assert_eq!(quoted("ip netns exec b /usr/bin/ssh h"), "'/a home'");
        assert_eq!(quoted("ip netns exec b"), "/a home");
    }
}
