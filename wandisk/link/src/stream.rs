//! The stream that both kinds of links end in.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
#[cfg(feature = "ssh")]
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::tail::Tail;

/// When a program's output ends, its last words and exit code are waited for this long.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A byte stream to another site.
///
/// Shutting down the writing half tells the far program the end of its input; what it still says can be read. When
/// a read returns the end, [`Tail::verdict`] knows all that will be known of why. Dropping the stream ends the
/// program or the SSH session behind it.
pub struct Stream {
    inner: Inner,
    tail: Tail,
}

enum Inner {
    Program {
        stdin: Option<ChildStdin>,
        stdout: ChildStdout,
        life: Life,
    },
    /// Our end of a socket pair; a thread carries its bytes to and from the SSH channel.
    #[cfg(feature = "ssh")]
    Ssh(UnixStream),
}

/// A program's; whichever it is, dropping it kills the program.
enum Life {
    Running(Box<Child>, Listener),
    Ending(Pin<Box<dyn Future<Output = Box<Child>> + Send>>),
    Over(#[allow(dead_code, reason = "kept to be killed when dropped")] Option<Box<Child>>),
}

/// The task that keeps standard error; it ends with the stream even if something far holds standard error open.
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tail.finish(None);
    }
}

impl Stream {
    /// Of a child that is killed when dropped.
    pub(crate) fn program(
        stdin: ChildStdin,
        stdout: ChildStdout,
        mut stderr: ChildStderr,
        child: Child,
        tail: Tail,
    ) -> Stream {
        let said = tail.clone();
        let listener = Listener(tokio::spawn(async move {
            let mut buffer = [0u8; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                said.push(&buffer[..n]);
            }
        }));
        let life = Life::Running(Box::new(child), listener);
        Stream { inner: Inner::Program { stdin: Some(stdin), stdout, life }, tail }
    }

    #[cfg(feature = "ssh")]
    pub(crate) fn ssh(near: UnixStream, tail: Tail) -> Stream {
        Stream { inner: Inner::Ssh(near), tail }
    }

    /// What the far program wrote to standard error last, and how it ended.
    #[must_use]
    pub fn stderr(&self) -> Tail {
        self.tail.clone()
    }

    /// Ends the far program's input and waits, for `grace` at most, until it has ended by itself; what it still says
    /// is thrown away. Its exit code, if it is known and not zero.
    pub async fn close(mut self, grace: Duration) -> Option<i32> {
        let polite = async {
            self.shutdown().await.ok();
            let mut buffer = vec![0u8; 16 << 10];
            while let Ok(1..) = self.read(&mut buffer).await {}
        };
        tokio::time::timeout(grace, polite).await.ok();
        self.tail.exit_code().filter(|code| *code != 0)
    }
}

impl Life {
    /// The output ended: waits for the last words, so that who reads the end can ask for them.
    fn poll_end(&mut self, cx: &mut Context<'_>, tail: &Tail) -> Poll<()> {
        *self = match std::mem::replace(self, Life::Over(None)) {
            Life::Running(child, listener) => {
                Life::Ending(Box::pin(last_words(child, listener, tail.clone())))
            }
            other => other,
        };
        if let Life::Ending(ending) = self {
            let child = ready!(ending.as_mut().poll(cx));
            *self = Life::Over(Some(child));
        }
        Poll::Ready(())
    }
}

async fn last_words(mut child: Box<Child>, mut listener: Listener, tail: Tail) -> Box<Child> {
    let waited = tokio::time::timeout(LAST_WORDS, async {
        (&mut listener.0).await.ok();
        child.wait().await.ok().and_then(|status| status.code())
    });
    let exit_code = waited.await.ok().flatten();
    tail.finish(exit_code);
    child
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Stream { inner, tail } = &mut *self;
        match inner {
            Inner::Program { stdout, life, .. } => {
                let (before, room) = (buf.filled().len(), buf.remaining());
                if let Life::Running(..) = life {
                    ready!(Pin::new(stdout).poll_read(cx, buf))?;
                    if buf.filled().len() > before || room == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                life.poll_end(cx, tail).map(Ok)
            }
            #[cfg(feature = "ssh")]
            Inner::Ssh(near) => Pin::new(near).poll_read(cx, buf),
        }
    }
}

fn ended() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Program { stdin: Some(stdin), .. } => Pin::new(stdin).poll_write(cx, buf),
            Inner::Program { stdin: None, .. } => Poll::Ready(Err(ended())),
            #[cfg(feature = "ssh")]
            Inner::Ssh(near) => Pin::new(near).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Program { stdin: Some(stdin), .. } => Pin::new(stdin).poll_write_vectored(cx, bufs),
            Inner::Program { stdin: None, .. } => Poll::Ready(Err(ended())),
            #[cfg(feature = "ssh")]
            Inner::Ssh(near) => Pin::new(near).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Program { stdin: Some(stdin), .. } => Pin::new(stdin).poll_flush(cx),
            Inner::Program { stdin: None, .. } => Poll::Ready(Ok(())),
            #[cfg(feature = "ssh")]
            Inner::Ssh(near) => Pin::new(near).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Program { stdin, .. } => {
                if let Some(open) = stdin {
                    ready!(Pin::new(open).poll_flush(cx))?;
                }
                // A pipe's end is told by closing it.
                *stdin = None;
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "ssh")]
            Inner::Ssh(near) => Pin::new(near).poll_shutdown(cx),
        }
    }
}
