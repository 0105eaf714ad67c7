//! The line to one other site: a word is sent there and comes back, again and again, over one connection that stays. So it is
//! known whether the site answers, and how far it is; an agent that is there need not run for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::hub::Hub;
use super::model::Seen;
use crate::control::{AskError, Open, Opening, PROTOCOL, open};
use crate::sites::Sites;
use crate::words::with_causes;

/// From one word to the next.
const EVERY: Duration = Duration::from_secs(2);
/// A word that takes longer is lost.
const LOST: Duration = Duration::from_secs(15);
/// Until a site is dialled again, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Measures the line to a site until it is ended.
pub async fn measure(home: PathBuf, site: String, hub: Arc<Hub>) {
    let mut pause = AGAIN;
    loop {
        let mut heard = false;
        let ended = words(&home, &site, |ms| {
            heard = true;
            hub.see(Seen::Answer { site: site.clone(), answer: Ok(ms) });
        });
        let Err(error) = ended.await;
        hub.see(Seen::Answer { site: site.clone(), answer: Err(why(&error)) });
        pause = if heard { AGAIN } else { (pause * 2).min(AGAIN_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Why a site does not answer: which one it is, is known.
fn why(error: &AskError) -> String {
    match error {
        AskError::Unreachable { source, .. } => why(source),
        AskError::Closed | AskError::Io(_) => "the connection to it ended".to_owned(),
        error => with_causes(error),
    }
}

/// Says words until one does not come back.
async fn words(
    home: &std::path::Path,
    site: &str,
    mut told: impl FnMut(f64),
) -> Result<std::convert::Infallible, AskError> {
    let sites = Sites::read(home)?;
    let opening = Opening { snowbird: PROTOCOL, agent: String::new(), open: Open::Echo, document: None };
    let mut stream = open(sites.site(site)?, &opening).await?;
    for word in 0_u64.. {
        let sent = Instant::now();
        let word = word.to_le_bytes();
        stream.write_all(&word).await?;
        stream.flush().await?;
        let mut back = [0; 8];
        timeout(LOST, stream.read_exact(&mut back)).await.map_err(|_| AskError::Late(LOST))??;
        if back != word {
            return Err(AskError::Nonsense);
        }
        told(sent.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(EVERY).await;
    }
    Err(AskError::Closed)
}
