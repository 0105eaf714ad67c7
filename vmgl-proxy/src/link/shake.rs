//! The handshake with a server, whose steps are the first measure of the round trip.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use vmgl_rfb::{ClientHandshake, ServerInit};

use super::LinkError;
use crate::address::Stream;
use crate::pace::Pace;

/// Greets the server; how long its answers took goes to `pace`.
pub(super) async fn shake(
    read: &mut ReadHalf<Box<dyn Stream>>,
    write: &mut WriteHalf<Box<dyn Stream>>,
    input: &mut BytesMut,
    password: Option<Vec<u8>>,
    pace: &mut Pace,
) -> Result<ServerInit, LinkError> {
    let mut hands = ClientHandshake::new(password, true);
    let mut said: Option<Instant> = None;
    loop {
        let mut out = Vec::new();
        let init = hands.step(input, &mut out)?;
        write.write_all(&out).await?;
        if let Some(init) = init {
            pace.measuring(Duration::ZERO);
            return Ok(init);
        }
        if !out.is_empty() {
            said = Some(Instant::now());
        }
        if read.read_buf(input).await? == 0 {
            return Err(LinkError::HungUp);
        }
        if let Some(said) = said.take() {
            pace.trip(said.elapsed());
        }
    }
}
