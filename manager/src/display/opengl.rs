//! OpenGL of an agent, drawn where its home is: a door of the display proxy ([`super::proxy`]) on home's loopback.
//!
//! The agent's programs reach home's loopback at [`GATEWAY_IP`], wherever the agent is ([`crate::net`]), so their address is one for
//! the agent's whole life, and a connection through it survives each move: nothing is re-homed, and the renderer stays where it is.
//! That a connection breaks all the same (its gateway died) costs nothing either: the program's library takes the stream up where
//! it broke.
//!
//! Whether the door is open is the user's word. It is kept in the agent's folder at home with the port, and asked of each proxy that
//! begins there, until it is done ([`Door`]).
//!
//! Invariant: the port stays until the user names another one, since the agent's programs know it.
//! Fault model: the port may be somebody else's by now, or the proxy may be slow to answer: then programs find nobody, `snowbird view --gl`
//! says so, and it is tried again until the door is open.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::proxy::{ProxyError, ask, ask_within};
use crate::net::GATEWAY_IP;

/// In the agent's folder.
const FILE: &str = "view-gl.json";
/// Programs have some time to bring home what is at the desk only.
const LEAVES: Duration = Duration::from_secs(20);
/// Until a door that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The user's word: OpenGL is drawn here, and the door is this port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    port: u16,
}

impl Word {
    /// What cannot be read is none.
    fn read(folder: &Path) -> Option<Word> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok().filter(|word: &Word| word.port > 0)
    }

    #[expect(clippy::disallowed_methods, reason = "what a power cut takes is said again")]
    fn keep(self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FILE);
        std::fs::write(path.with_extension("new"), serde_json::to_vec(&self)?)?;
        std::fs::rename(path.with_extension("new"), path)
    }
}

/// Why the door is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The user's word could not be kept.
    #[error("that OpenGL is drawn here, or is not, could not be noted in the agent's folder")]
    Folder(#[source] io::Error),
}

/// What the agent's programs are told (`VMGL_GL`, `vmgl-proxy gl install --to`): home's door as it is reached from inside.
#[must_use]
pub fn inside(port: u16) -> String {
    format!("tcp:{GATEWAY_IP}:{port}")
}

/// The port of an address on this machine, as the proxy gives it.
fn port_of(address: &str) -> Option<u16> {
    address.strip_prefix("tcp:")?.rsplit_once(':')?.1.parse().ok().filter(|port| *port > 0)
}

/// The same of a proxy's status: where the agent's programs come in, if they may.
#[must_use]
pub(super) fn of_status(status: &serde_json::Value) -> Option<String> {
    port_of(status["gl_listening"].as_str()?).map(inside)
}

/// Opens the door of the proxy in this folder: at the named port, else the one it had before, else one that is free. Gives the port.
///
/// # Errors
/// [`DoorError`]; the port may be somebody else's.
pub async fn open(folder: &Path, named: Option<u16>) -> Result<u16, DoorError> {
    let wanted = named.or_else(|| Word::read(folder).map(|word| word.port)).unwrap_or(0);
    let mut port = listen(folder, wanted).await?;
    if named.is_some_and(|named| named != port) {
        ask(folder, &json!({ "do": "glshut" })).await?;
        port = listen(folder, wanted).await?;
    }
    Word { port }.keep(folder).map_err(DoorError::Folder)?;
    Ok(port)
}

async fn listen(folder: &Path, port: u16) -> Result<u16, ProxyError> {
    let answer = ask(folder, &json!({ "do": "glopen", "at": format!("tcp:127.0.0.1:{port}") })).await?;
    answer["at"].as_str().and_then(port_of).ok_or(ProxyError::Nonsense)
}

/// The door of a proxy that has just begun, or was found.
#[derive(Debug)]
pub(super) struct Door {
    /// When it is tried again; never where it is as the user wants it.
    due: Option<Instant>,
}

impl Door {
    /// Opens it at once, if that is the user's word and can be done.
    pub(super) async fn of(folder: &Path) -> Door {
        let mut door = Door { due: None };
        door.attempt(folder).await;
        door
    }

    /// Sees to it that it is opened. It does not end, and nothing is lost where it is not waited for to the end.
    pub(super) async fn keep(&mut self, folder: &Path) -> Infallible {
        while let Some(due) = self.due {
            sleep_until(due).await;
            self.attempt(folder).await;
        }
        std::future::pending().await
    }

    async fn attempt(&mut self, folder: &Path) {
        let opened = match Word::read(folder) {
            Some(word) => listen(folder, word.port).await.map(drop),
            None => Ok(()),
        };
        self.due = opened.err().map(|_| Instant::now() + AGAIN);
    }
}

/// The port that the user has opened here, if any.
#[must_use]
pub fn port(folder: &Path) -> Option<u16> {
    Word::read(folder).map(|word| word.port)
}

/// Shuts the door, and has all programs bring home what is at this desk only and go, since another one will be in its place. Gives how
/// many have not gone in time.
///
/// # Errors
/// [`ProxyError`].
pub async fn leave(folder: &Path) -> Result<u64, ProxyError> {
    match ask_within(folder, &json!({ "do": "glleave" }), LEAVES).await {
        Ok(answer) => answer["stay"].as_u64().ok_or(ProxyError::Nonsense),
        Err(ProxyError::None) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Takes the user's word back, and shuts the door if a proxy runs; programs that are drawn for go on.
///
/// # Errors
/// [`DoorError`].
pub async fn shut(folder: &Path) -> Result<(), DoorError> {
    match std::fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DoorError::Folder(error)),
        _ => {}
    }
    match ask(folder, &json!({ "do": "glshut" })).await {
        Ok(_) | Err(ProxyError::None) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vmgl_proxy::display::Display;
    use vmgl_proxy::gl::entrance::Entrance;
    use vmgl_proxy::gl::renderers::Renderers;
    use vmgl_proxy::link::Means;
    use vmgl_proxy::tap::Tap;
    use vmgl_proxy::{Address, Hub, ctl};

    use super::*;
    use crate::display::proxy::CTL;

    #[test]
    fn an_address_is_told_as_the_agent_sees_it() {
        let status = json!({ "gl_listening": "tcp:127.0.0.1:7300" });
        assert_eq!(of_status(&status).as_deref(), Some("tcp:10.0.2.2:7300"));
        for odd in [json!(null), json!("tcp:127.0.0.1:0"), json!("unix:/run/gl"), json!(7300)] {
            assert_eq!(of_status(&json!({ "gl_listening": odd })), None);
        }
    }

    /// A proxy in this folder, that answers.
    async fn proxy(folder: &Path) -> (tokio::task::JoinHandle<io::Result<()>>, Entrance) {
        let display = Display::new(vmgl_rfb::Framebuffer::new(8, 8).unwrap());
        let means = Means { display, tap: Tap::new(None).unwrap(), password: None, pull: false };
        let ways = Hub::start(Address::Unix(folder.join("nowhere")), means.clone());
        let renderers = Renderers::new(means.display.clone(), means.tap.clone(), Duration::from_secs(1));
        let gl = Entrance::new(renderers);
        let doors = ctl::Doors { gl: Some(gl.clone()), ..ctl::Doors::default() };
        let path = folder.join(CTL);
        let serving = tokio::spawn(async move { ctl::serve(&path, doors, ways, means).await });
        eventually("it answers", async || ask(folder, &json!({ "do": "gl" })).await.is_ok()).await;
        (serving, gl)
    }

    async fn eventually(what: &str, cond: impl AsyncFn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !cond().await {
            assert!(Instant::now() < end, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn the_port_stays_until_another_is_named_and_a_new_proxy_has_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let (serving, door) = proxy(folder.path()).await;
        Door::of(folder.path()).await;
        assert_eq!(door.at(), None, "nobody has asked for it");
        let port = open(folder.path(), None).await.unwrap();
        assert_eq!(open(folder.path(), Some(port)).await.unwrap(), port);
        let other = test_kit::free_port();
        assert_eq!(open(folder.path(), Some(other)).await.unwrap(), other);
        assert_eq!(open(folder.path(), None).await.unwrap(), other);
        assert!(door.shut());
        serving.abort();
        std::fs::remove_file(folder.path().join(CTL)).unwrap();
        let (_serving, door) = proxy(folder.path()).await;
        eventually("the port is to be had again", async || {
            Door::of(folder.path()).await;
            door.at().is_some()
        })
        .await;
        assert_eq!(door.at(), Some(format!("tcp:127.0.0.1:{other}")));
        shut(folder.path()).await.unwrap();
        assert_eq!((door.at(), Word::read(folder.path())), (None, None));
        shut(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn a_door_whose_port_is_somebody_elses_is_opened_once_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = foreign.local_addr().unwrap();
        Word { port: at.port() }.keep(folder.path()).unwrap();
        let (_serving, entrance) = proxy(folder.path()).await;
        let mut door = Door::of(folder.path()).await;
        assert_eq!(entrance.at(), None, "somebody else has the port");
        drop(foreign);
        let opened = eventually("the door is open", async || entrance.at().is_some());
        tokio::select! {
            never = door.keep(folder.path()) => match never {},
            () = opened => {}
        }
        assert_eq!(entrance.at(), Some(format!("tcp:{at}")));
    }
}
