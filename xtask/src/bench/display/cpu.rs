//! What the proxy takes of a processor, beside TigerVNC's viewer on the same stream.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::bar::{Bar, median};
use super::fps::BYTES;
use super::stage::{Running, Stage};

const SIZE: &str = "640x480";
/// Until a viewer has connected and drawn the first picture.
const BEGINS: Duration = Duration::from_secs(2);

/// Each alone with the stream: the viewer at the server, the proxy between the two.
pub(super) fn measure(stage: &Stage, runs: usize, seconds: f64) -> Result<Vec<Bar>> {
    let mut bars = Vec::new();
    for bytes in [BYTES, 5 * BYTES] {
        let screen = stage.xvnc(SIZE)?;
        let _paints = stage.paint(&screen, bytes)?;
        let (_xvfb, display) = stage.xvfb(SIZE)?;
        let (mut viewers, mut proxies) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let viewer = stage.vncviewer(&display, &screen.server.at)?;
            viewers.push(used(&viewer, seconds)?);
            drop(viewer);
            let proxy = stage.proxy(&screen.server.at)?;
            let _viewer = stage.vncviewer(&display, proxy.at())?;
            proxies.push(used(&proxy.server.running, seconds)?);
        }
        let (viewer, proxy) = (median(viewers), median(proxies));
        println!(
            "\n60 frames a second of {} KB, seconds of a processor a second: vncviewer {viewer:.3}, proxy {proxy:.3}",
            bytes / 1000
        );
        bars.push(Bar::at_most(
            format!("{} KB a frame: CPU of the proxy by vncviewer's", bytes / 1000),
            proxy / viewer,
            "",
            1.2,
        ));
    }
    Ok(bars)
}

fn used(process: &Running, seconds: f64) -> Result<f64> {
    sleep(BEGINS);
    let before = process.cpu_seconds()?;
    sleep(Duration::from_secs_f64(seconds));
    Ok((process.cpu_seconds()? - before) / seconds)
}
