//! `cmd:` links.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wandisk_link::{Address, DialOptions, FarEnd, Stream, dial};

/// A stream to a shell that runs this; the far command's words are its arguments.
async fn shell(script: &str) -> Stream {
    let words = shell_words::join(["sh", "-c", script]);
    dial(&Address::parse(&format!("cmd:{words}")).unwrap(), &DialOptions::default()).await.unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_and_an_end_is_told_both_ways() {
    let mut stream = shell("cat; echo over").await;
    stream.write_all(b"hello ").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello over\n");
    assert!(stream.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn a_prefix_gets_the_far_command() {
    let options = DialOptions {
        remote_home: Some("/a home".to_owned()),
        serve_args: vec!["--mode".to_owned(), "ro".to_owned()],
        ..DialOptions::default()
    };
    let mut stream = dial(&Address::parse("cmd:printf '%s|'").unwrap(), &options).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "wandisk|--home|/a home|serve|--stdio|--mode|ro|");
}

#[tokio::test]
async fn at_the_end_of_the_stream_the_last_words_are_there() {
    let mut stream = shell("exec 1>&-; echo first >&2; echo last >&2; exit 3").await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    let tail = stream.stderr();
    assert_eq!(tail.text(), "first\nlast\n");
    let failed = FarEnd::Failed { program: "wandisk".to_owned(), code: 3, said: "last".to_owned() };
    assert_eq!(tail.verdict(), Some(failed));
    // It stays the end.
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_program_that_a_shell_does_not_find_is_named() {
    let mut stream = shell("exec \"no-such-$0\"").await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    let said = stream.stderr().verdict().unwrap().to_string();
    assert!(said.contains("\"wandisk\" is not there"), "{said}");
}

#[tokio::test]
async fn a_program_that_is_missing_here_is_named() {
    let address = Address::parse("cmd:/no/such/program").unwrap();
    let said = dial(&address, &DialOptions::default()).await.map(drop).unwrap_err().to_string();
    assert!(said.contains("\"/no/such/program\" could not be started"), "{said}");
}

#[tokio::test]
async fn a_close_is_polite_but_not_patient() {
    let polite = shell("cat >/dev/null; exit 5").await;
    assert_eq!(polite.close(Duration::from_secs(30)).await, Some(5));
    let deaf = shell("exec sleep 1000").await;
    let tail = deaf.stderr();
    assert_eq!(deaf.close(Duration::from_millis(50)).await, None);
    tail.ended().await;
}

#[tokio::test]
async fn a_dropped_stream_ends_the_program() {
    let mut stream = shell("echo $$; exec sleep 1000").await;
    let mut pid = String::new();
    let mut byte = [0; 1];
    while stream.read_exact(&mut byte).await.is_ok() && byte != *b"\n" {
        pid.push(char::from(byte[0]));
    }
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // Gone, or dead and not yet reaped.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            break;
        }
        assert!(Instant::now() < deadline, "{stat}");
        tokio::task::yield_now().await;
    }
}
