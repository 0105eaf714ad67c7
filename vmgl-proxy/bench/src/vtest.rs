//! The agent's end of Mesa's virpipe over a network: what its client says to `virgl_test_server` goes on, without the question
//! that would have pictures handed over as descriptors.
//!
//! Client and server speak over a socket of this machine and, from protocol 1 on, pass resources as shared memory. A client
//! whose question for the protocol (`VCMD_PING_PROTOCOL_VERSION`) has no answer takes the server for an old one and sends
//! all in the stream itself, which any line can carry. A message is two words, length and command, and what is meant by them.

use std::io::{self, Read, Write};

use crate::stream::{Door, Stream};
use vmgl_proxy::Address;

/// The first message, a name: its length is in bytes.
const CREATE_RENDERER: u32 = 8;
/// What is left out.
const PING_PROTOCOL_VERSION: u32 = 10;
/// Most bytes of a client's name.
const NAME: u32 = 4096;

/// Lets clients in, one after the other; each has a connection of its own. One for which there is no server is hung up on.
///
/// # Errors
/// When it cannot accept.
pub fn serve(door: &Door, to: &Address) -> io::Result<()> {
    loop {
        let client = door.accept()?;
        let Ok(server) = Stream::connect(to) else { continue };
        let (back, client_back) = (server.second()?, client.second()?);
        std::thread::spawn(move || carry(back, client_back));
        std::thread::spawn(move || {
            let (mut client, mut server) = (client, server);
            // A client that hangs up in its first words is gone; that is all.
            let _begun = begin(&mut client, &mut server);
            carry(client, server);
        });
    }
}

/// The first words of a client, without the question.
fn begin(client: &mut impl Read, server: &mut impl Write) -> io::Result<()> {
    loop {
        let mut header = [0; 8];
        client.read_exact(&mut header)?;
        let [a, b, c, d, e, f, g, h] = header;
        let (length, command) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        match command {
            PING_PROTOCOL_VERSION => return Ok(()),
            CREATE_RENDERER if length <= NAME => {
                let mut name = vec![0; usize::try_from(length).unwrap_or(0)];
                client.read_exact(&mut name)?;
                server.write_all(&header)?;
                server.write_all(&name)?;
            }
            _ => return server.write_all(&header),
        }
    }
}

fn carry(mut from: Stream, mut to: Stream) {
    // Whichever end went, the other is told.
    let _ended = io::copy(&mut from, &mut to);
    from.end();
    to.end();
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    fn message(length: u32, command: u32, body: &[u8]) -> Vec<u8> {
        [&length.to_le_bytes()[..], &command.to_le_bytes(), body].concat()
    }

    #[test]
    fn all_goes_on_but_the_question_for_the_protocol() {
        let name = message(5, CREATE_RENDERER, b"gears");
        let wait = message(2, 7, &[0; 8]);
        let said = [name.clone(), message(0, PING_PROTOCOL_VERSION, b""), wait.clone()].concat();
        let (mut client, mut server) = (&said[..], Vec::new());
        begin(&mut client, &mut server).unwrap();
        assert_eq!((server, client), (name, &wait[..]));
    }

    #[test]
    fn a_client_without_the_question_loses_no_word() {
        let said = [message(1, CREATE_RENDERER, b"x"), message(0, 1, b"")].concat();
        let (mut client, mut server) = (&said[..], Vec::new());
        begin(&mut client, &mut server).unwrap();
        assert_eq!((server, client), (said.clone(), &b""[..]));
    }
}
