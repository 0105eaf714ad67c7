//! The smallest NBD client: enough to read and write an export on a unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const IHAVEOPT: u64 = 0x4948_4156_454F_5054;
const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const SIMPLE_REPLY: u32 = 0x6744_6698;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;

/// A connection past its handshake.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    /// Size of the export in bytes.
    pub(super) size: u64,
}

fn word32(stream: &mut UnixStream) -> Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn word64(stream: &mut UnixStream) -> Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

impl Client {
    /// Connects to the default export.
    pub(super) fn connect(socket: &Path) -> Result<Client> {
        let mut stream =
            UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        ensure!(
            word64(&mut stream)? == NBDMAGIC && word64(&mut stream)? == IHAVEOPT,
            "this is no NBD server"
        );
        let mut flags = [0; 2];
        stream.read_exact(&mut flags)?;
        // Fixed newstyle, no zeroes.
        stream.write_all(&3u32.to_be_bytes())?;
        let mut go = IHAVEOPT.to_be_bytes().to_vec();
        go.extend_from_slice(&OPT_GO.to_be_bytes());
        go.extend_from_slice(&6u32.to_be_bytes());
        go.extend_from_slice(&[0; 6]);
        stream.write_all(&go)?;
        let mut size = None;
        loop {
            ensure!(word64(&mut stream)? == OPTION_REPLY, "the NBD server's answer makes no sense");
            let (_, kind, len) = (word32(&mut stream)?, word32(&mut stream)?, word32(&mut stream)?);
            ensure!(len <= 4096, "the NBD server's answer is too long");
            let mut data = vec![0; usize::try_from(len)?];
            stream.read_exact(&mut data)?;
            match kind {
                REP_ACK => break,
                REP_INFO if data.len() >= 10 && data[..2] == [0, 0] => {
                    size = Some(u64::from_be_bytes(data[2..10].try_into()?));
                }
                REP_INFO => {}
                other => bail!("the NBD server refused the export ({other:#x})"),
            }
        }
        Ok(Client { stream, size: size.context("the NBD server told no size")? })
    }

    fn request(&mut self, command: u16, offset: u64, len: usize, data: &[u8]) -> Result<()> {
        let mut bytes = REQUEST.to_be_bytes().to_vec();
        bytes.extend_from_slice(&0u16.to_be_bytes());
        bytes.extend_from_slice(&command.to_be_bytes());
        bytes.extend_from_slice(&1u64.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(len)?.to_be_bytes());
        self.stream.write_all(&bytes)?;
        self.stream.write_all(data)?;
        Ok(())
    }

    fn reply(&mut self) -> Result<()> {
        ensure!(word32(&mut self.stream)? == SIMPLE_REPLY, "the NBD server's reply makes no sense");
        let (error, _) = (word32(&mut self.stream)?, word64(&mut self.stream)?);
        ensure!(error == 0, "the NBD server says error {error}");
        Ok(())
    }

    /// Reads `into.len()` bytes.
    pub(super) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.request(0, offset, into.len(), &[])?;
        self.reply()?;
        self.stream.read_exact(into)?;
        Ok(())
    }

    /// Writes.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.request(1, offset, data.len(), data)?;
        self.reply()
    }

    /// Flushes.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.request(3, 0, 0, &[])?;
        self.reply()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.request(2, 0, 0, &[]).ok();
    }
}
