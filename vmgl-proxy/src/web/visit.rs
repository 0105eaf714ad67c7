//! A connection that speaks HTTP: how its requests are read, and how long it may stay. Both doors for browsers use it, this
//! program's and the manager's dashboard's.
//!
//! Fault model: whoever can connect sends what it likes, as slowly as it likes, or does not take its answer.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

/// What a visitor may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the headers of a request may take, and the next request on an open connection.
    pub headers: Duration,
    /// After that long a connection ends with its present answer, which has the same time again.
    pub visit: Duration,
    /// Most bytes of a request's head.
    pub head_bytes: usize,
    /// Most lines of it.
    pub lines: usize,
}

/// Why a connection ended that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It broke, or what came is no HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It did not take its answer in time.
    #[error("its last answer took more than {} s", .0.as_secs())]
    Slow(Duration),
}

/// Answers a connection's requests until it ends, or has become something else. A present answer for which `stays` is true at
/// the end of the visit has all the time that it wants.
///
/// # Errors
/// [`Fault`].
pub async fn visit<S, A, F, B>(
    stream: S,
    limits: Limits,
    answer: A,
    stays: impl Fn() -> bool,
) -> Result<(), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_headers(limits.lines)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = sleep(limits.visit) => connection.as_mut().graceful_shutdown(),
    }
    if stays() {
        return Ok(connection.await?);
    }
    Ok(timeout(limits.visit, connection).await.map_err(|_| Fault::Slow(limits.visit))??)
}
