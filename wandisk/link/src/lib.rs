//! Byte streams to wandisk at other sites: ssh and commands.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address { Cmd(Vec<String>) }

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is not an address: use ssh://[user@]host[:port] or cmd:PROGRAM ARGS")]
    Bad(String),
}
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the program {program} could not be started")]
    Spawn { program: String, source: std::io::Error },
}
impl Address {
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let rest = text.strip_prefix("cmd:").ok_or_else(|| AddressError::Bad(text.to_owned()))?;
        let words = shell_words::split(rest).map_err(|_| AddressError::Bad(text.to_owned()))?;
        if words.is_empty() { return Err(AddressError::Bad(text.to_owned())); }
        Ok(Address::Cmd(words))
    }
}
#[derive(Clone, Debug, Default)]
pub struct DialOptions { pub remote_home: Option<String>, pub remote_wandisk: Option<String> }

#[derive(Clone, Debug, Default)]
pub struct Stderr(Arc<Mutex<VecDeque<u8>>>);
impl Stderr {
    pub fn text(&self) -> String {
        let b = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&b.iter().copied().collect::<Vec<_>>()).into_owned()
    }
}
#[derive(Debug)]
pub struct Stream { stdin: ChildStdin, stdout: ChildStdout, stderr: Stderr, _child: Child }
impl Stream { pub fn stderr(&self) -> Stderr { self.stderr.clone() } }

pub async fn dial(address: &Address, options: &DialOptions) -> Result<Stream, DialError> {
    let Address::Cmd(words) = address;
    let mut words = words.clone();
    if !words.ends_with(&["serve".to_owned(), "--stdio".to_owned()]) {
        words.push(options.remote_wandisk.clone().unwrap_or_else(|| "wandisk".into()));
        if let Some(home) = &options.remote_home { words.push("--home".into()); words.push(home.clone()); }
        words.push("serve".into());
        words.push("--stdio".into());
    }
    let mut child = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
        .kill_on_drop(true).spawn().map_err(|source| DialError::Spawn { program: words[0].clone(), source })?;
    let none = || DialError::Spawn { program: words[0].clone(), source: std::io::ErrorKind::BrokenPipe.into() };
    let (stdin, stdout, mut err) = (child.stdin.take().ok_or_else(none)?, child.stdout.take().ok_or_else(none)?, child.stderr.take().ok_or_else(none)?);
    let stderr = Stderr::default();
    let tail = stderr.clone();
    tokio::spawn(async move {
        let mut b = [0u8; 1024];
        while let Ok(n) = err.read(&mut b).await {
            if n == 0 { break; }
            let mut t = tail.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            t.extend(&b[..n]);
            while t.len() > 8192 { t.pop_front(); }
        }
    });
    Ok(Stream { stdin, stdout, stderr, _child: child })
}
impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, b: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> { Pin::new(&mut self.stdout).poll_read(cx, b) }
}
impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, b: &[u8]) -> Poll<std::io::Result<usize>> { Pin::new(&mut self.stdin).poll_write(cx, b) }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> { Pin::new(&mut self.stdin).poll_flush(cx) }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> { Pin::new(&mut self.stdin).poll_shutdown(cx) }
}
