//! `ssh://` links against a real OpenSSH server: what is said arrives, and an end is an end.

#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::time::Duration;

use support::gate::Gate;
use support::{Sshd, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wandisk_link::{DialOptions, FarEnd, Stream, dial};

/// What must happen and would not by itself.
const LONG: Duration = Duration::from_secs(60);

/// Sends to a far `cat` and reads at once; both must end whole.
async fn both_ways(stream: Stream, len: usize) {
    let sent = noise(len);
    let expected = sent.clone();
    let (mut read, mut write) = tokio::io::split(stream);
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.unwrap();
    assert!(back == expected, "{len} bytes came back as {} others", back.len());
    writer.await.unwrap();
}

/// A pipe with a name, to see from outside what a far program gets.
fn fifo(sshd: &Sshd) -> std::path::PathBuf {
    let path = sshd.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_at_once_and_arrive_whole() {
    let sshd = Sshd::start("ed25519");
    both_ways(sshd.dial("exec cat").await, 64 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_renewed_on_the_way_lose_nothing() {
    let sshd = Sshd::start_with("ed25519", &["RekeyLimit=3M"]);
    both_ways(sshd.dial("exec cat").await, 24 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_questions_are_answered_without_waiting_for_a_tick() {
    let sshd = Sshd::start("ed25519");
    let mut stream = sshd.dial("exec cat").await;
    let asked = async {
        for i in 0..2000u64 {
            stream.write_u64(i).await.unwrap();
            assert_eq!(stream.read_u64().await.unwrap(), i);
        }
    };
    // A byte overlooked in libssh2's queue costs a second each time.
    tokio::time::timeout(LONG, asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_our_words_lets_the_far_side_finish_its_own() {
    let sshd = Sshd::start("ed25519");
    let mut stream = sshd.dial("wc -c").await;
    stream.write_all(&noise(100_000)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.trim(), "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_drop_still_arrives() {
    let sshd = Sshd::start("ed25519");
    let got = fifo(&sshd);
    let mut stream = sshd.dial(&format!("exec 3>{}; echo on; exec cat >&3", got.display())).await;
    let reader = tokio::task::spawn_blocking(move || std::fs::read(got).unwrap());
    stream.read_exact(&mut [0; 3]).await.unwrap();
    stream.write_all(b"bye").await.unwrap();
    drop(stream);
    // The pipe's end comes when the far program has seen the end of its input.
    assert_eq!(reader.await.unwrap(), b"bye");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_side_may_send_far_more_than_two_mebibytes_before_it_hears_from_us() {
    let sshd = Sshd::start("ed25519");
    let gate = Gate::before(sshd.port);
    let mut stream = sshd.dial_through(&gate, "read start; head -c 40000000 /dev/zero").await;
    stream.write_all(b"go\n").await.unwrap();
    // The first byte says that the far side has heard the start; from now on it hears nothing.
    stream.read_exact(&mut [0; 1]).await.unwrap();
    gate.hold();
    let mut bytes = vec![0; 24 << 20];
    let read = tokio::time::timeout(LONG, stream.read_exact(&mut bytes)).await;
    read.expect("the window is too small").unwrap();
    gate.release();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(1 + bytes.len() + rest.len(), 40_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_while_writing_is_stuck() {
    let sshd = Sshd::start("ed25519");
    let gate = Gate::before(sshd.port);
    let stream = sshd.dial_through(&gate, "read start; head -c 8000000 /dev/zero; exec cat").await;
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(b"go\n").await.unwrap();
    read.read_exact(&mut [0; 1]).await.unwrap();
    gate.hold();
    let writer = tokio::spawn(async move {
        write.write_all(&noise(16 << 20)).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut zeros = vec![1; 8_000_000 - 1];
    let reading = tokio::time::timeout(LONG, read.read_exact(&mut zeros)).await;
    reading.expect("reading waits for writing").unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0));
    assert!(!writer.is_finished(), "the gate holds nothing");
    gate.release();
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.unwrap();
    writer.await.unwrap();
    assert!(back == noise(16 << 20), "what was stuck arrived changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_command_keeps_its_words_and_its_errors_come_here() {
    let sshd = Sshd::start("ecdsa");
    let options = DialOptions {
        serve_args: vec!["--disk".to_owned(), "a'b $HOME".to_owned()],
        ..sshd.options("echo \"$2|$3|$4|$5|$6\"; echo why >&2; exit 3")
    };
    let mut stream = dial(&sshd.address(), &options).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "/a home|serve|--stdio|--disk|a'b $HOME\n");
    assert_eq!(stream.stderr().text(), "why\n");
    assert!(matches!(stream.stderr().verdict(), Some(FarEnd::Failed { code: 3, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_over_there_says_so() {
    let sshd = Sshd::start("ed25519");
    let options = DialOptions { remote_wandisk: Some("/no/such/wandisk".to_owned()), ..sshd.options("") };
    let mut stream = dial(&sshd.address(), &options).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    let said = stream.stderr().verdict().unwrap().to_string();
    assert!(
        said.contains("\"/no/such/wandisk\" is not there") && said.contains("--remote-wandisk"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banner_of_the_far_shell_comes_first_in_the_stream() {
    let sshd = Sshd::start("ed25519");
    let mut stream = sshd.dial("echo Welcome to far; exec cat").await;
    let mut banner = [0; 15];
    stream.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"Welcome to far\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_standard_error_stops_nothing_and_is_bounded() {
    let sshd = Sshd::start("ed25519");
    let mut stream = sshd.dial("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo done").await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "done\n");
    assert_eq!(stream.stderr().text().len(), 8 << 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_ends_the_stream() {
    let sshd = Sshd::start("ed25519");
    let mut stream = sshd.dial("echo on; kill -9 $PPID; sleep 5").await;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    assert!(all.is_empty() || all == b"on\n");
    stream.stderr().ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_transfer_ends_the_stream_and_says_why() {
    let sshd = Sshd::start("ed25519");
    let gate = Gate::before(sshd.port);
    let mut stream = sshd.dial_through(&gate, "exec cat /dev/zero").await;
    stream.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    gate.cut();
    let mut buffer = vec![0; 1 << 20];
    let end = async { while stream.read(&mut buffer).await.unwrap() > 0 {} };
    tokio::time::timeout(LONG, end).await.unwrap();
    let said = stream.stderr().verdict().unwrap().to_string();
    assert!(said.contains("the ssh connection broke"), "{said}");
}
