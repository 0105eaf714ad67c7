//! The stream that both kinds of links end in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::tail::Tail;

/// A byte stream to another site. Dropping it ends the program or the SSH session behind it.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    stderr: Tail,
}

#[derive(Debug)]
enum Inner {
    Program {
        stdin: ChildStdin,
        stdout: ChildStdout,
        _child: Box<Child>,
    },
    /// Our end of a socket pair; a thread carries its bytes to and from the SSH channel.
    Ssh(UnixStream),
}

impl Stream {
    pub(crate) fn program(stdin: ChildStdin, stdout: ChildStdout, child: Child, stderr: Tail) -> Stream {
        Stream { inner: Inner::Program { stdin, stdout, _child: Box::new(child) }, stderr }
    }

    pub(crate) fn ssh(near: UnixStream, stderr: Tail) -> Stream {
        Stream { inner: Inner::Ssh(near), stderr }
    }

    /// What the far program wrote to standard error last.
    #[must_use]
    pub fn stderr(&self) -> Tail {
        self.stderr.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Program { stdout, .. } => Pin::new(stdout).poll_read(cx, buf),
            Inner::Ssh(near) => Pin::new(near).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Program { stdin, .. } => Pin::new(stdin).poll_write(cx, buf),
            Inner::Ssh(near) => Pin::new(near).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Program { stdin, .. } => Pin::new(stdin).poll_flush(cx),
            Inner::Ssh(near) => Pin::new(near).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Program { stdin, .. } => Pin::new(stdin).poll_shutdown(cx),
            Inner::Ssh(near) => Pin::new(near).poll_shutdown(cx),
        }
    }
}
