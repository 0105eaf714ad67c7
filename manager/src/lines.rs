//! Lines of bounded length from a stream: the form of QMP and of the supervisors' control sockets.
//!
//! Invariant: a peer that never ends its line costs at most the limit in memory, and an error.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The next line without its end, or `None` where the stream ends. A last line without an end counts.
///
/// # Errors
/// The stream's, or `InvalidData` for a line beyond `max` bytes.
pub async fn next_line<R: AsyncBufRead + Unpin>(reader: &mut R, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(buffer.len());
        if line.len() + taken > max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line is longer than {max} bytes"),
            ));
        }
        line.extend_from_slice(&buffer[..taken]);
        reader.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_their_ends_and_refused_beyond_the_limit() {
        let mut reader = tokio::io::BufReader::with_capacity(3, &b"one\r\n\nthree\nlast"[..]);
        for expected in ["one", "", "three", "last"] {
            assert_eq!(next_line(&mut reader, 5).await.unwrap().unwrap(), expected.as_bytes());
        }
        assert!(next_line(&mut reader, 5).await.unwrap().is_none());
        let mut reader = tokio::io::BufReader::with_capacity(3, &b"sixsix\n"[..]);
        assert_eq!(next_line(&mut reader, 5).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
