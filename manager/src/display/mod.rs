//! An agent's display, for who looks at it: one address that stays while the agent moves.
//!
//! ```text
//! viewers ── vmgl-proxy serve ── display.sock           of QEMU, where the agent runs at this site, or
//!            (one an agent)   └─ view-SITE.sock ── a link ── snowbird host --stdio ── display.sock there
//! ```
//!
//! `snowbird view` starts a keeper ([`keeper`], one process an agent and site, by a lock that dies with it). It starts the
//! proxy, brings it the display of the site where the agent runs (`way`), and hears from the agent's supervisor when that
//! changes. In the place of the machine's screen a VNC server's inside the agent may be shown ([`guest`]), and what its OpenGL programs draw may be drawn here ([`opengl`]). [`guide`] says what the proxy is told then, and is pure. [`proxy`] is the proxy as a program that is asked.
//!
//! Fault model: the keeper and the proxy are two processes, and either may die. Without a keeper viewers stay; where the agent
//! runs at another site they see what they saw, until the next keeper goes on with the same proxy. Without a proxy the keeper
//! starts another one at the same address. A link that breaks is made anew. Both end when the agent is off.

use std::path::Path;
use std::time::{Duration, Instant};

use sensors::Readings;
use serde_json::{Value, json};

use crate::control::{AskError, Here, folder};

pub mod guest;
pub mod guide;
pub mod keeper;
pub mod opengl;
pub mod proxy;
mod way;

pub use proxy::ProxyError;

/// How long a keeper may take to begin, or to end.
const SOON: Duration = Duration::from_secs(20);
/// Until one is asked for again that was there already and had no proxy.
const BEGINS: Duration = Duration::from_millis(200);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Why no display is shown.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no proxy, or it does not answer.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The keeper could not be started.
    #[error("the keeper of the agent's display could not be started")]
    Keeper(#[source] AskError),
    /// It could not begin, for its own reason.
    #[error("the agent's display cannot be shown: {why}")]
    NotBegun {
        /// In a sentence.
        why: String,
    },
    /// Something of the folder.
    #[error("the agent's folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// A keeper that does not end.
    #[error("the keeper of the agent's display does not end")]
    Stays,
}

/// Has the agent's display kept at this site, and gives where viewers find it: a host and a port.
///
/// # Errors
/// [`OpenError`].
pub async fn open(here: &Here, agent: &str) -> Result<String, OpenError> {
    proxy::program()?;
    let folder = folder(&here.home, agent);
    let end = Instant::now() + SOON;
    loop {
        here.daemon(keeper::COMMAND, agent).await.map_err(|error| match error {
            AskError::Start(why) => OpenError::NotBegun { why },
            error => OpenError::Keeper(error),
        })?;
        // One that was there already may be just starting its proxy, or just ending.
        match proxy::ask(&folder, &json!({ "do": "status" })).await {
            Ok(status) => return proxy::address_of(&status).ok_or(OpenError::Proxy(ProxyError::Nonsense)),
            Err(ProxyError::None | ProxyError::Io(_)) if Instant::now() < end => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(BEGINS).await;
    }
}

/// What is known of the display that is kept at this site: `address`, `viewers`, `phase` of the proxy and whether it
/// holds input back, where the agent's OpenGL programs find it (`gl`), and the sensors' readings.
/// `None` if none is kept.
///
/// # Errors
/// [`ProxyError`].
pub async fn shown(home: &Path, agent: &str) -> Result<Option<Value>, ProxyError> {
    let status = match proxy::ask(&folder(home, agent), &json!({ "do": "status" })).await {
        Ok(status) => status,
        Err(ProxyError::None) => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = readings_of(&status)?;
    Ok(Some(json!({
        "address": proxy::address_of(&status),
        "browse": status["browse"],
        "gl": opengl::of_status(&status),
        "screen": way::screen(status["upstream"].as_str().unwrap_or_default()),
        "viewers": status["viewers"],
        "phase": status["phase"],
        "held": status["held"],
        "rehomes": status["rehomes"],
        "inputs": read.inputs,
        "fps": read.fps,
        "fps_paper": read.fps_paper,
        "response": read.response,
        "rtt": read.rtt,
    })))
}

/// Ends whatever keeps the display of an agent that is off: its keeper does so by itself, and is waited for.
///
/// # Errors
/// [`OpenError`].
pub async fn end(home: &Path, agent: &str) -> Result<(), OpenError> {
    let folder = folder(home, agent);
    let end = Instant::now() + SOON;
    // While it is held no other keeper begins.
    let _lock = loop {
        match keeper::lock(&folder) {
            Ok(Some(lock)) => break lock,
            Ok(None) if Instant::now() > end => return Err(OpenError::Stays),
            Ok(None) => tokio::time::sleep(LOOK).await,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(OpenError::Folder(error)),
        }
    };
    match proxy::Proxy::found(&folder).await {
        Ok(left) => Ok(left.end().await?),
        Err(ProxyError::None) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the sensors of an agent's display say: `inputs` in 10 s, `fps`, `fps_paper`, `response`, `unanswered`, `rtt` (units and
/// rules: [`sensors`]); the readings of processors and network are empty here. `None`: nobody looks at the agent by way of this
/// site, so that nothing is known. The windows begin anew when another site's display is shown.
///
/// It costs one question to a socket of this machine, and may be asked as often as is wished.
///
/// # Errors
/// [`ProxyError`], at the latest after some seconds.
pub async fn readings(home: &Path, agent: &str) -> Result<Option<Readings>, ProxyError> {
    match proxy::ask(&folder(home, agent), &json!({ "do": "status" })).await {
        Ok(status) => readings_of(&status).map(Some),
        Err(ProxyError::None) => Ok(None),
        Err(error) => Err(error),
    }
}

fn readings_of(status: &Value) -> Result<Readings, ProxyError> {
    serde_json::from_value(status["readings"].clone()).map_err(|_| ProxyError::Nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    use sensors::{Event, Input};
    use vmgl_proxy::display::Display;
    use vmgl_proxy::link::Means;
    use vmgl_proxy::tap::Tap;
    use vmgl_proxy::{Address, Hub, ctl};

    #[tokio::test]
    async fn readings_are_those_of_the_proxy_and_without_one_nothing_is_known() {
        let home = tempfile::tempdir().unwrap();
        assert!(readings(home.path(), "vm").await.unwrap().is_none());
        let folder = folder(home.path(), "vm");
        std::fs::create_dir_all(&folder).unwrap();
        let display = Display::new(vmgl_rfb::Framebuffer::new(8, 8).unwrap());
        let means = Means { display, tap: Tap::new(None).unwrap(), password: None, pull: false };
        let ways = Hub::start(Address::Unix(folder.join("nowhere")), means.clone());
        let doors = ctl::Doors { listening: "tcp:127.0.0.1:1".to_owned(), ..ctl::Doors::default() };
        let (tap, path) = (means.tap.clone(), folder.join(proxy::CTL));
        tokio::spawn(async move { ctl::serve(&path, doors, ways, means).await });
        let end = Instant::now() + Duration::from_secs(60);
        // A window speaks when it is 3 s old.
        let told = loop {
            tap.event(Event::Input(Input::Key { down: true }));
            if let Ok(Some(told)) = readings(home.path(), "vm").await
                && told.inputs.is_some()
            {
                break told;
            }
            assert!(Instant::now() < end, "no readings");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(told.inputs > Some(1.0) && told.span >= Duration::from_secs(3), "{told:?}");
        assert_eq!((told.fps, told.cpu), (None, None));
    }
}
