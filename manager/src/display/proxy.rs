//! The program `vmgl-proxy`, asked over its `ctl` socket in the agent's folder.
//!
//! Fault model: it may be missing, end at any time, hang (every question has a time-out), or say something that is no answer.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::control::connect;
use crate::lines::next_line;

/// The proxy's socket in the agent's folder.
pub const CTL: &str = "view.ctl";
/// It answers from memory.
const SOON: Duration = Duration::from_secs(5);
/// No answer is longer.
const ANSWER_MAX: usize = 1 << 20;

/// Why a proxy gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// None runs.
    #[error("no display proxy of the agent runs at this site")]
    None,
    /// The conversation broke.
    #[error("the connection to the display proxy broke")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("the display proxy did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It said something else.
    #[error("the display proxy's answer cannot be understood")]
    Nonsense,
    /// It could not do it, in its words.
    #[error("the display proxy: {0}")]
    Refused(String),
}

/// Asks the proxy of an agent's folder something that it answers from memory.
///
/// # Errors
/// [`ProxyError`].
pub async fn ask(folder: &Path, question: &Value) -> Result<Value, ProxyError> {
    ask_within(folder, question, SOON).await
}

/// Asks for what takes time.
///
/// # Errors
/// [`ProxyError`].
pub async fn ask_within(folder: &Path, question: &Value, patience: Duration) -> Result<Value, ProxyError> {
    let mut stream = BufReader::new(tell(folder, question).await?);
    let line = timeout(patience, next_line(&mut stream, ANSWER_MAX)).await;
    let line = line.map_err(|_| ProxyError::Late(patience))??;
    let closed = || ProxyError::Io(io::ErrorKind::UnexpectedEof.into());
    let mut answer: Value =
        serde_json::from_slice(&line.ok_or_else(closed)?).map_err(|_| ProxyError::Nonsense)?;
    if let Some(why) = answer["error"].as_str() {
        return Err(ProxyError::Refused(why.to_owned()));
    }
    answer.get_mut("ok").map(Value::take).ok_or(ProxyError::Nonsense)
}

/// Tells it something and gives the stream on which it will answer.
async fn tell(folder: &Path, question: &Value) -> Result<UnixStream, ProxyError> {
    let mut stream = connect(folder, CTL).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ProxyError::None,
        _ => ProxyError::Io(error),
    })?;
    timeout(SOON, stream.write_all(format!("{question}\n").as_bytes()))
        .await
        .map_err(|_| ProxyError::Late(SOON))??;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::net::UnixListener;

    /// Asks one that answers so.
    async fn answered(answer: &'static str) -> Result<Value, ProxyError> {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(CTL)).unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            next_line(&mut stream, ANSWER_MAX).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        ask(folder.path(), &json!({ "do": "status" })).await
    }

    #[tokio::test]
    async fn answers_refusals_nonsense_and_nobody_are_told_apart() {
        assert_eq!(answered("{\"ok\":{\"viewers\":1}}\n").await.unwrap()["viewers"], 1);
        let refused = answered("{\"error\":\"no server\"}\n").await.unwrap_err();
        assert_eq!(refused.to_string(), "the display proxy: no server");
        for odd in ["7\n", "{}\n", "x\n"] {
            assert!(matches!(answered(odd).await, Err(ProxyError::Nonsense)), "{odd}");
        }
        assert!(matches!(answered("").await, Err(ProxyError::Io(_))));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(folder.path(), &json!(1)).await, Err(ProxyError::None)));
        assert!(matches!(ask(&folder.path().join("none"), &json!(1)).await, Err(ProxyError::None)));
    }
}
