//! How late a screen is beside the bulk of a move, on a long line: with nothing beside it, with the stream as fast as it goes,
//! and with the stream at its pace ([`manager::supervisor::stream`]).
//!
//! ```text
//! cargo build --release -p manager --example beside
//! cargo xtask wan --rate 100mbit --rtt 66ms -- target/release/examples/beside --seconds 20
//! ```
//!
//! It runs itself in both namespaces. The screen is an echo of 8 bytes each 20 ms on a connection of its own; the bulk
//! is a source that always has more. Everything from the first byte on counts.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use manager::supervisor::stream::Limit;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const FAR: &str = "10.66.0.2:7007";
const EVERY: Duration = Duration::from_millis(20);
/// The other side begins.
const BEGIN: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match words[..] {
        ["far"] => runtime.block_on(far()),
        ["near", seconds] => runtime.block_on(near(Duration::from_secs(seconds.parse()?))),
        ["--seconds", seconds] => both(seconds),
        _ => bail!("use it as `cargo xtask wan … -- beside --seconds 20`"),
    }
}

/// Runs a side in each namespace.
fn both(seconds: &str) -> Result<()> {
    let side = |variable: &str, words: &[&str]| -> Result<Command> {
        let name = std::env::var(variable).context("no line: run it by `cargo xtask wan`")?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &name]).arg(std::env::current_exe()?).args(words);
        Ok(command)
    };
    let mut far = side("SNOWBIRD_WAN_B", &["far"])?.stdin(Stdio::null()).spawn()?;
    let near = side("SNOWBIRD_WAN_A", &["near", seconds])?.status();
    far.kill()?;
    far.wait()?;
    if near?.success() { Ok(()) } else { bail!("the near side failed") }
}

async fn far() -> Result<()> {
    let listener = TcpListener::bind(FAR).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let echoes = stream.read_u8().await? == b'e';
            let mut bytes = vec![0; 64 << 10];
            loop {
                let len = stream.read(&mut bytes).await?;
                if len == 0 {
                    return Ok::<(), std::io::Error>(());
                }
                if echoes {
                    stream.write_all(&bytes[..len]).await?;
                }
            }
        });
    }
}

/// A connection for echoes, or for bulk.
async fn dial(kind: u8) -> Result<TcpStream> {
    let dialled = async {
        loop {
            match TcpStream::connect(FAR).await {
                Ok(stream) => return stream,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut stream = timeout(BEGIN, dialled).await.context("the far side does not listen")?;
    stream.set_nodelay(true)?;
    stream.write_u8(kind).await?;
    Ok(stream)
}

async fn near(time: Duration) -> Result<()> {
    println!("beside the screen        p50 ms  p95 ms  max ms  bulk Mbit/s");
    for (name, bulk, paced) in
        [("nothing", false, false), ("bulk, no pace", true, false), ("bulk, at its pace", true, true)]
    {
        let (limit, mut tasks) = (Limit::default(), tokio::task::JoinSet::new());
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        if paced {
            let (limit, link) = (limit.clone(), dial(b'e').await?);
            tasks.spawn(async move { limit.paced(link, || true).await.map_err(anyhow::Error::from) });
        }
        if bulk {
            let (mut source, mut qemu) = tokio::io::duplex(1 << 16);
            let mut link = dial(b's').await?;
            let counted = std::sync::Arc::clone(&sent);
            tasks.spawn(async move {
                let piece = vec![0x5a; 16 << 10];
                loop {
                    qemu.write_all(&piece).await?;
                    counted.fetch_add(piece.len() as u64, std::sync::atomic::Ordering::Relaxed);
                }
            });
            tasks.spawn(async move {
                let mut piece = vec![0; 64 << 10];
                loop {
                    let most = limit.has_room().await.min(piece.len());
                    let len = source.read(&mut piece[..most]).await?;
                    link.write_all(&piece[..len]).await?;
                    limit.went(len);
                }
            });
        }
        let mut trips = probe(dial(b'e').await?, time).await?;
        tasks.abort_all();
        trips.sort();
        let ms = |part: usize| trips[(trips.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let mbit = sent.load(std::sync::atomic::Ordering::Relaxed) as f64 * 8e-6 / time.as_secs_f64();
        println!("{name:<23}{:>8.1}{:>8.1}{:>8.1}{mbit:>13.1}", ms(50), ms(95), ms(100));
        // What waits in the line's queue has gone before the next one begins.
        sleep(Duration::from_secs(3)).await;
    }
    Ok(())
}

/// Round trips of an echo each [`EVERY`]; those that are under way at the end are waited for.
async fn probe<S: AsyncRead + AsyncWrite>(link: S, time: Duration) -> Result<Vec<Duration>> {
    let (mut read, mut write) = tokio::io::split(link);
    let began = Instant::now();
    let says = async {
        while began.elapsed() < time {
            write.write_u64(u64::try_from(began.elapsed().as_micros())?).await?;
            sleep(EVERY).await;
        }
        // The other side hangs up when it has answered all.
        Ok::<_, anyhow::Error>(write.shutdown().await?)
    };
    let hears = async {
        let mut trips = Vec::new();
        while let Ok(sent) = read.read_u64().await {
            trips.push(began.elapsed().saturating_sub(Duration::from_micros(sent)));
        }
        Ok::<_, anyhow::Error>(trips)
    };
    let ((), trips) = tokio::try_join!(says, hears)?;
    if trips.is_empty() { bail!("no echo came back") } else { Ok(trips) }
}
