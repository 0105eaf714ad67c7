//! Who asks a supervisor: the connections to its socket, how many, and for how long.
//!
//! A connection says one line first. Who asks for something that ends has one of [`ASKING_MAX`] places, and waits for one. Who has
//! said nothing yet, or only listens, may stay for hours, and whether such a one is still there cannot always be known: a laptop
//! that is closed says no word, and its login here lives on until the system finds out. So at most [`STAYING_MAX`] of those are
//! there, and the oldest gives way to the newest; one that was alive asks anew.
//!
//! Fault model: whoever can connect (this user, and sites that may log in) says nothing, too much, or does not read.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::shell::Input;
use crate::control::{LINE_MAX, Request, failed};
use crate::lines::next_line;

/// Requests that end, at a time; more wait.
const ASKING_MAX: usize = 16;
/// Connections that have said nothing yet, or listen.
const STAYING_MAX: usize = 48;
/// Connections in all; more are not accepted yet.
const ALL_MAX: usize = 256;
/// A connection that says nothing is dropped. Longer than memory may be copied: a source has its way to the destination's supervisor
/// open by then, before it needs it.
const FIRST_WORD: Duration = Duration::from_secs(45 * 60);
/// Who does not read what it asked for is hung up on.
const HEARS: Duration = Duration::from_secs(10);

/// Lets in whoever asks, for as long as the process lives.
pub(super) async fn listen(listener: UnixListener, inputs: UnboundedSender<Input>) {
    let (all, places) = (Arc::new(Semaphore::new(ALL_MAX)), Arc::new(Semaphore::new(ASKING_MAX)));
    let staying = Arc::new(Staying::default());
    while let Ok(one) = Arc::clone(&all).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (inputs, places, staying) = (inputs.clone(), Arc::clone(&places), Arc::clone(&staying));
        tokio::spawn(async move {
            serve(stream, &inputs, &places, &staying).await.ok();
            drop(one);
        });
    }
}

/// Those who stay, the oldest first: each is shown out when its sender is dropped.
#[derive(Default)]
struct Staying(Mutex<VecDeque<oneshot::Sender<()>>>);

impl Staying {
    /// What ends when whoever stays is to go.
    fn enter(&self) -> oneshot::Receiver<()> {
        let (shows_out, stay) = oneshot::channel();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| !one.is_closed());
        if all.len() >= STAYING_MAX {
            all.pop_front();
        }
        all.push_back(shows_out);
        stay
    }
}

/// One request, and what is said to it.
async fn serve(
    stream: UnixStream,
    inputs: &UnboundedSender<Input>,
    places: &Semaphore,
    staying: &Staying,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut stay = staying.enter();
    let line = tokio::select! {
        line = timeout(FIRST_WORD, next_line(&mut stream, LINE_MAX)) => line,
        _ = &mut stay => return Ok(()),
    };
    let Ok(Ok(Some(line))) = line else { return Ok(()) };
    let Ok(request) = serde_json::from_slice::<Request>(&line) else {
        let line = failed("the request cannot be understood", Some("use the same version at all sites"));
        return stream.get_mut().write_all(line.as_bytes()).await;
    };
    let listens = matches!(request, Request::Follow | Request::Sense { .. });
    let _place = if listens {
        None
    } else {
        // (It gives its stay back: what it asked for is answered, however many come after it.)
        stay.close();
        places.acquire().await.ok()
    };
    let (reply, mut lines) = unbounded_channel();
    if inputs.send(Input::Ask { request, reply }).is_err() {
        return Ok(());
    }
    let result = tokio::select! {
        result = answer(stream.into_inner(), &mut lines) => result,
        _ = &mut stay, if listens => Ok(()),
    };
    inputs.send(Input::Gone).ok();
    result
}

/// Passes lines on until there are no more, or whoever asked has gone.
async fn answer(mut stream: UnixStream, lines: &mut UnboundedReceiver<String>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut more = [0; 1];
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                // Who does not read is not waited for: what is to be said to it piles up here.
                Some(line) => timeout(HEARS, writer.write_all(line.as_bytes())).await??,
                None => return Ok(()),
            },
            // Nothing more is to be said by it.
            _ = reader.read(&mut more) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::control::{ask, done};

    const SOON: Duration = Duration::from_secs(20);

    /// A supervisor that answers whoever asks, and tells nothing to who listens.
    async fn supervised(listener: UnixListener) {
        let (sender, mut inputs) = unbounded_channel();
        tokio::spawn(listen(listener, sender));
        let mut listening = Vec::new();
        while let Some(input) = inputs.recv().await {
            let Input::Ask { request, reply } = input else { continue };
            if request == Request::Follow {
                listening.push(reply);
            } else {
                reply.send(done(&Value::Null)).ok();
            }
        }
    }

    #[tokio::test]
    async fn lines_that_died_without_a_word_keep_nobody_from_asking() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        tokio::spawn(supervised(UnixListener::bind(&socket).unwrap()));
        let mut left = Vec::new();
        for n in 0..2 * STAYING_MAX {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            // Some listen, some had not yet said for what they came.
            if n % 2 == 0 {
                stream.write_all(b"{\"do\":\"follow\"}\n").await.unwrap();
            }
            left.push(stream);
        }
        for _ in 0..2 * ASKING_MAX {
            let mut stream = BufReader::new(UnixStream::connect(&socket).await.unwrap());
            ask(&mut stream, &Request::Status, SOON, |_| ()).await.unwrap();
        }
        // The oldest was shown out, the newest is there.
        let mut byte = [0; 1];
        let oldest = timeout(SOON, left[0].read(&mut byte)).await.unwrap();
        assert_eq!(oldest.unwrap_or(0), 0);
        let newest = left.last_mut().unwrap();
        newest.write_all(b"{\"do\":\"status\"}\n").await.unwrap();
        assert_eq!(timeout(SOON, newest.read(&mut byte)).await.unwrap().unwrap(), 1);
    }
}
