//! What the display proxy of an agent (`vmgl-proxy serve`) knows, for who decides where the agent runs.
//!
//! [`proxy`] asks it over the socket in the agent's folder.

use std::path::Path;

use sensors::Readings;
use serde_json::{Value, json};

use crate::control::folder;

pub mod proxy;

pub use proxy::ProxyError;

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
        let doors = ctl::Doors { listening: "tcp:127.0.0.1:1".to_owned(), browse: None };
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
