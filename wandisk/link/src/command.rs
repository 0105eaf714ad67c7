//! `cmd:` links: a program whose standard input and output are the stream.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::error::DialError;
use crate::stream::Stream;
use crate::tail::Tail;

/// Words that end in `serve --stdio` are the whole command; others are a prefix (`ssh -J bastion host`,
/// `ip netns exec b env X=y`) to which the far command is appended.
pub(crate) fn with_far_command(words: &[String], far_command: &[String]) -> Vec<String> {
    let whole = words.len() >= 2 && words[words.len() - 2..] == ["serve", "--stdio"];
    let mut all = words.to_vec();
    if !whole {
        all.extend(far_command.iter().cloned());
    }
    all
}

/// Starts a program. It is killed when the stream is dropped.
pub(crate) fn start(words: &[String]) -> Result<Stream, DialError> {
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
    let (Some(stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    let tail = Tail::default();
    let said = tail.clone();
    tokio::spawn(async move {
        let mut buffer = [0u8; 1024];
        while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
            said.push(&buffer[..n]);
        }
    });
    Ok(Stream::program(stdin, stdout, child, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

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

    #[tokio::test]
    async fn bytes_go_both_ways_and_standard_error_is_kept() {
        let mut stream = start(&words("sh -c 'echo oops >&2; cat'")).unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
        // The echo came before cat was started.
        assert_eq!(stream.stderr().text(), "oops\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = start(&words("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"));
    }
}
