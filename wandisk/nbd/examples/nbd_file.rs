//! Serves a raw image file over NBD, all of it hot: for trying clients and for measuring the front-end alone.
//!
//! `nbd_file ADDRESS FILE [LANES]`

use std::fs::OpenOptions;
use std::sync::Arc;

use wandisk_io::WholeFile;
use wandisk_nbd::{Address, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(file)) = (args.next(), args.next()) else {
        return Err("usage: nbd_file unix:PATH|tcp:HOST:PORT FILE [LANES]".into());
    };
    let lanes = args.next().map_or(Ok(16), |n| n.parse())?;
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let disk = Arc::new(WholeFile::new(file, 128 << 10, lanes, false)?);
    let server = Server::bind(&Address::parse(&address)?, disk, "disk", 0..lanes)?;
    #[expect(clippy::print_stdout, reason = "an example tells its user where to connect")]
    {
        println!("{}", server.uri());
    }
    server.serve()?;
    Ok(())
}
