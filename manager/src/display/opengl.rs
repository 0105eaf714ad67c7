//! OpenGL of an agent, drawn where its home is: a door of the display proxy ([`super::proxy`]) on home's loopback.
//!
//! The agent's programs reach home's loopback at [`GATEWAY_IP`], wherever the agent is ([`crate::net`]), so their address is one for
//! the agent's whole life, and a connection through it survives each move: nothing is re-homed, and the renderer stays where it is.
//! That a connection breaks all the same (its gateway died) costs nothing either: the program's library takes the stream up where
//! it broke.
//!
//! Whether the door is open is the user's word. It is kept in the agent's folder at home with the port, and asked of each proxy that
//! begins there.
//!
//! Invariant: the port stays until the user names another one, since the agent's programs know it.
//! Fault model: the port may be somebody else's by now: then programs find nobody, `snowbird view --gl` says so, and it is tried again with
//! the next proxy.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::proxy::{ProxyError, ask};
use crate::net::GATEWAY_IP;

/// In the agent's folder.
const FILE: &str = "view-gl.json";

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

/// Opens the door of a proxy that has just begun, if that is the user's word.
///
/// # Errors
/// [`ProxyError`].
pub(super) async fn open_again(folder: &Path) -> Result<(), ProxyError> {
    match Word::read(folder) {
        Some(word) => listen(folder, word.port).await.map(drop),
        None => Ok(()),
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

    #[tokio::test]
    async fn the_port_stays_until_another_is_named_and_a_new_proxy_has_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let proxy = |folder: &Path| {
            let display = Display::new(vmgl_rfb::Framebuffer::new(8, 8).unwrap());
            let means = Means { display, tap: Tap::new(None).unwrap(), password: None, pull: false };
            let ways = Hub::start(Address::Unix(folder.join("nowhere")), means.clone());
            let renderers = Renderers::new(means.display.clone(), means.tap.clone(), Duration::from_secs(1));
            let gl = Entrance::new(renderers);
            let doors = ctl::Doors { gl: Some(gl.clone()), ..ctl::Doors::default() };
            let path = folder.join(CTL);
            (tokio::spawn(async move { ctl::serve(&path, doors, ways, means).await }), gl)
        };
        let (serving, door) = proxy(folder.path());
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while matches!(ask(folder.path(), &json!({ "do": "gl" })).await, Err(ProxyError::None)) {
            assert!(std::time::Instant::now() < end, "no proxy");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        open_again(folder.path()).await.unwrap();
        assert_eq!(door.at(), None, "nobody has asked for it");
        let port = open(folder.path(), None).await.unwrap();
        assert_eq!(open(folder.path(), Some(port)).await.unwrap(), port);
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(open(folder.path(), Some(other)).await.unwrap(), other);
        assert_eq!(open(folder.path(), None).await.unwrap(), other);
        assert!(door.shut());
        serving.abort();
        std::fs::remove_file(folder.path().join(CTL)).unwrap();
        let (_serving, door) = proxy(folder.path());
        while open_again(folder.path()).await.is_err() {
            assert!(std::time::Instant::now() < end, "the port is not to be had again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(door.at(), Some(format!("tcp:127.0.0.1:{other}")));
        shut(folder.path()).await.unwrap();
        assert_eq!((door.at(), Word::read(folder.path())), (None, None));
        shut(folder.path()).await.unwrap();
    }
}
