//! The door for OpenGL programs ([`super::door`]), opened and shut while the proxy runs: by `--gl-listen`, and by who asks at `ctl`.
//!
//! Invariant: one door at a time. Who asks for another address while one is open learns where that is.
//! Invariant: shutting ends no program: those that are drawn for go on until they end or lose their line.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::door;
use super::renderers::Renderers;
use crate::address::Address;

/// Programs that are sent away have so long to bring home what only their renderers have.
const LEAVING: Duration = Duration::from_secs(15);
/// Between two looks whether they have gone.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Open {
    at: String,
    door: AbortHandle,
    leaves: watch::Sender<bool>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Entrance {
    renderers: Renderers,
    open: Arc<Mutex<Option<Open>>>,
}

impl Entrance {
    /// One that is shut, and leads to these.
    #[must_use]
    pub fn new(renderers: Renderers) -> Self {
        Self { renderers, open: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who draws.
    #[must_use]
    pub fn renderers(&self) -> &Renderers {
        &self.renderers
    }

    /// Where it is open.
    #[must_use]
    pub fn at(&self) -> Option<String> {
        self.lock().as_ref().map(|open| open.at.clone())
    }

    /// Opens it, if it is not open; gives where it is.
    ///
    /// # Errors
    /// What listening gives.
    pub async fn open(&self, at: &Address) -> io::Result<String> {
        if let Some(at) = self.at() {
            return Ok(at);
        }
        let listener = at.listen().await?;
        let at = listener.address()?;
        let mut open = self.lock();
        // Somebody else may have asked meanwhile: what was just made is dropped.
        let renderers = self.renderers.clone();
        let there = open.get_or_insert_with(|| {
            let (leaves, hear) = watch::channel(false);
            let door = tokio::spawn(door::open(listener, renderers, hear));
            Open { at, door: door.abort_handle(), leaves }
        });
        Ok(there.at.clone())
    }

    /// Shuts it; whether it was open.
    #[must_use]
    pub fn shut(&self) -> bool {
        self.close().is_some()
    }

    fn close(&self) -> Option<Open> {
        self.lock().take().inspect(|open| open.door.abort())
    }

    /// Shuts it, and sends all away, watchers too: another desk will be there for them. Gives how many programs were told, and how many
    /// have not gone in [`LEAVING`].
    pub async fn leave(&self) -> (usize, usize) {
        let open = self.close();
        let told = self.renderers.send_away();
        let end = Instant::now() + LEAVING;
        while self.renderers.connected() > 0 && Instant::now() < end {
            sleep(LOOK).await;
        }
        if let Some(open) = open {
            open.leaves.send_replace(true);
        }
        (told, self.renderers.connected())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::time::Duration;

    use vmgl_rfb::Framebuffer;

    use super::*;
    use crate::display::Display;
    use crate::tap::Tap;

    #[tokio::test]
    async fn a_door_is_one_and_its_place_is_free_again_once_it_is_shut() {
        let display = Display::new(Framebuffer::new(8, 8).unwrap());
        let limit = Duration::from_secs(1);
        let entrance = Entrance::new(Renderers::new(display, Tap::new(None).unwrap(), limit));
        assert_eq!((entrance.at(), entrance.shut()), (None, false));
        let any: Address = "tcp:127.0.0.1:0".parse().unwrap();
        let at = entrance.open(&any).await.unwrap();
        assert_eq!(entrance.open(&any).await.unwrap(), at);
        assert_eq!(entrance.at().as_ref(), Some(&at));
        let place: Address = at.parse().unwrap();
        assert!(place.connect().await.is_ok() && entrance.shut());
        // Its task ends when it is next looked at.
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        while place.connect().await.is_ok() {
            assert!(tokio::time::Instant::now() < end, "somebody still listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(entrance.open(&place).await.unwrap(), at);
    }
}
