//! A WebSocket as a stream of bytes: binary messages, whose borders mean nothing (RFB has its own).
//!
//! A write is one message of at most [`PIECE`] and is taken only when the one before is on its way, so that a
//! browser that does not read holds its viewer up as a full TCP window would. What a write left to be sent goes
//! on with the next write, flush or read: the viewer always does one of them.
//!
//! Fault model: the browser is hostile. Messages and frames are bounded, text is refused, pings are answered
//! one at a time; a broken frame ends the stream with an error and the viewer with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longest message that is sent, in bytes.
const PIECE: usize = 64 << 10;
/// Longest that is taken: noVNC sends up to 10 KiB.
const MESSAGE: usize = 256 << 10;

/// The stream.
#[derive(Debug)]
pub struct Socket<S> {
    messages: WebSocketStream<S>,
    /// The rest of the message that came last.
    rest: Bytes,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The server's end of a WebSocket whose handshake has been done on `stream`.
    pub async fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * PIECE)
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        let messages = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { messages, rest: Bytes::new(), ended: false }
    }

    /// Says why it ends, as far as that can be said at once.
    fn refuse(&mut self, cx: &mut Context<'_>, code: CloseCode, why: &'static str) -> io::Error {
        self.ended = true;
        let frame = CloseFrame { code, reason: why.into() };
        let _untold = Pin::new(&mut self.messages).start_send(Message::Close(Some(frame)));
        let _later = Pin::new(&mut self.messages).poll_flush(cx);
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(fault)) = Pin::new(&mut this.messages).poll_flush(cx) {
            return Poll::Ready(Err(failed(fault)));
        }
        while this.rest.is_empty() {
            this.rest = match ready!(Pin::new(&mut this.messages).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(_))) => {
                    let why = "a display is binary";
                    return Poll::Ready(Err(this.refuse(cx, CloseCode::Unsupported, why)));
                }
                Some(Ok(Message::Close(_))) | None => {
                    this.ended = true;
                    let _later = Pin::new(&mut this.messages).poll_flush(cx);
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Bytes::new(),
                Some(Err(Error::Capacity(_))) => {
                    let why = "the message is too long";
                    return Poll::Ready(Err(this.refuse(cx, CloseCode::Size, why)));
                }
                Some(Err(fault)) => return Poll::Ready(Err(failed(fault))),
            };
        }
        let len = this.rest.len().min(into.remaining());
        into.put_slice(&this.rest[..len]);
        this.rest.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut messages = Pin::new(&mut self.get_mut().messages);
        ready!(messages.as_mut().poll_ready(cx)).map_err(failed)?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        messages.as_mut().start_send(Message::Binary(Bytes::copy_from_slice(piece))).map_err(failed)?;
        if let Poll::Ready(Err(fault)) = messages.poll_flush(cx) {
            return Poll::Ready(Err(failed(fault)));
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().messages).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().messages).poll_close(cx).map_err(failed)
    }
}

fn failed(fault: Error) -> io::Error {
    match fault {
        Error::Io(fault) => fault,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A socket, and the far end's bare connection.
    async fn pair(room: usize) -> (Socket<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(room);
        (Socket::new(near).await, far)
    }

    async fn browser(far: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(far, Role::Client, None).await
    }

    #[tokio::test]
    async fn bytes_arrive_whatever_messages_they_come_in() {
        use futures::{SinkExt as _, StreamExt as _};
        let (mut near, far) = pair(1 << 10).await;
        let mut far = browser(far).await;
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let pieces: Vec<Bytes> = sent.chunks(9_999).map(Bytes::copy_from_slice).collect();
        let speak = async {
            for piece in pieces {
                far.send(Message::Ping(Bytes::new())).await.unwrap();
                far.send(Message::Binary(Bytes::new())).await.unwrap();
                far.send(Message::Binary(piece)).await.unwrap();
            }
            let mut came = Vec::new();
            while came.len() < 200_000 {
                if let Message::Binary(bytes) = far.next().await.unwrap().unwrap() {
                    came.extend_from_slice(&bytes);
                }
            }
            far.close(None).await.unwrap();
            came
        };
        let echo = async {
            let mut all = vec![0; 200_000];
            near.read_exact(&mut all).await.unwrap();
            near.write_all(&all).await.unwrap();
            assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0, "it ends with a close");
            all
        };
        let (came, heard) = tokio::join!(speak, echo);
        assert_eq!(heard, sent);
        assert_eq!(came, sent);
    }

    #[tokio::test]
    async fn a_browser_that_does_not_read_is_sent_no_more() {
        let (mut near, _far) = pair(1 << 10).await;
        let mut taken = 0;
        let writing = async {
            loop {
                taken += near.write(&[7; PIECE]).await.unwrap();
            }
        };
        let limit = std::time::Duration::from_millis(200);
        assert!(tokio::time::timeout(limit, writing).await.is_err());
        assert!(taken <= 2 * PIECE, "{taken} bytes were taken");
    }

    #[tokio::test]
    async fn what_is_no_binary_message_of_sense_ends_the_stream() {
        let masked = |head: &[u8], body: usize| [head, &[0; 4], &vec![b'x'; body]].concat();
        let cases: [(&str, Vec<u8>); 8] = [
            ("text", masked(&[0x81, 0x85], 5)),
            ("not masked", vec![0x82, 1, 7]),
            ("reserved bits", masked(&[0xf2, 0x81], 1)),
            ("a kind that is none", masked(&[0x83, 0x81], 1)),
            ("a continuation of nothing", masked(&[0x80, 0x81], 1)),
            ("a frame of 2^63 bytes", masked(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 0)),
            ("a frame of 16 MiB", masked(&[0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0], 0)),
            ("a long ping", masked(&[0x89, 0xfe, 0, 200], 200)),
        ];
        for (what, bytes) in cases {
            let (mut near, mut far) = pair(1 << 10).await;
            far.write_all(&bytes).await.unwrap();
            assert!(near.read(&mut [0; 16]).await.is_err(), "{what}");
        }
    }

    #[tokio::test]
    async fn fragments_of_one_message_are_bounded_together() {
        let (mut near, mut far) = pair(1 << 10).await;
        let speak = async {
            let body = [0; 4 + 60_000];
            let mut head = [0x02, 0xfe, 0xea, 0x60];
            for _ in 0..8 {
                if far.write_all(&[&head[..], &body].concat()).await.is_err() {
                    break;
                }
                head[0] = 0;
            }
        };
        let hear = async move {
            let fault = near.read(&mut [0; 16]).await.unwrap_err();
            assert_eq!(fault.to_string(), "the message is too long");
            // The stream goes with what reads it, and the far end with it.
        };
        tokio::join!(speak, hear);
    }
}
