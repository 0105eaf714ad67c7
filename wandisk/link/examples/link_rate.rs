//! How fast is a link? `link_rate ADDRESS in|out MIB FAR_PROGRAM [SSH_CONFIG]` prints MiB/s.
//!
//! For `in` the far program reads a line and then sends, as `read go; cat /dev/zero` does; for `out` it says how many
//! bytes it was sent, as `wc -c` does. It gets the arguments `serve --stdio`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wandisk_link::{Address, DialOptions, dial};

const MIB: usize = 1 << 20;

async fn run() -> Result<f64, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, direction, mib, program, rest @ ..] = &arguments[..] else {
        return Err("usage: link_rate ADDRESS in|out MIB FAR_PROGRAM [SSH_CONFIG]".into());
    };
    let mib: u32 = mib.parse()?;
    let len = usize::try_from(mib)? * MIB;
    let options = DialOptions {
        remote_wandisk: Some(program.clone()),
        ssh_config: rest.first().map(Into::into),
        ..DialOptions::default()
    };
    let mut stream = dial(&Address::parse(address)?, &options).await?;
    let mut buffer = vec![0u8; MIB];
    let began = Instant::now();
    if direction == "in" {
        stream.write_all(b"go\n").await?;
        let mut left = len;
        while left > 0 {
            let n = stream.read(&mut buffer).await?;
            if n == 0 {
                return Err(stream.stderr().text().into());
            }
            left = left.saturating_sub(n);
        }
    } else {
        for _ in 0..mib {
            stream.write_all(&buffer).await?;
        }
        stream.shutdown().await?;
        let mut counted = String::new();
        stream.read_to_string(&mut counted).await?;
        if counted.trim().parse::<usize>().ok() != Some(len) {
            return Err(format!("it counted {counted:?}: {}", stream.stderr().text()).into());
        }
    }
    Ok(f64::from(mib) / began.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(rate) => {
            writeln!(std::io::stdout(), "{rate:.1} MiB/s").ok();
            ExitCode::SUCCESS
        }
        Err(e) => {
            writeln!(std::io::stderr(), "{e}").ok();
            ExitCode::FAILURE
        }
    }
}
