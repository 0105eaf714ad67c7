//! A program on an X screen that paints a stamped frame so many times a second, and little else.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, CreateWindowAux, ImageFormat, WindowClass};
use x11rb::wrapper::ConnectionExt as _;

use crate::stamp::{Stamp, WIDTH, now_us};

/// Paints in the upper left corner of the screen until X ends or for so long.
///
/// # Errors
/// When there is no such screen, or it goes away.
pub fn run(display: &str, hertz: u32, height: u16, most: Option<Duration>) -> Result<()> {
    let (x, screen) = x11rb::connect(Some(display)).with_context(|| format!("no X at {display}"))?;
    let screen = x.setup().roots.get(screen).context("X has no screen")?;
    let (window, context) = (x.generate_id()?, x.generate_id()?);
    let own = CreateWindowAux::new().override_redirect(1).background_pixel(screen.black_pixel);
    let class = WindowClass::INPUT_OUTPUT;
    x.create_window(screen.root_depth, window, screen.root, 0, 0, WIDTH, height, 0, class, 0, &own)?;
    x.create_gc(context, window, &CreateGCAux::new())?;
    x.map_window(window)?;
    x.sync()?;
    let mut random = fastrand::Rng::with_seed(1);
    let began = Instant::now();
    for number in 1.. {
        let at = Duration::from_secs_f64(f64::from(number) / f64::from(hertz.max(1)));
        if most.is_some_and(|most| at > most) {
            break;
        }
        sleep(at.saturating_sub(began.elapsed()));
        let frame = Stamp { number, made_us: now_us(), height }.frame(&mut random);
        let bytes: Vec<u8> = frame.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
        let format = ImageFormat::Z_PIXMAP;
        x.put_image(format, window, context, WIDTH, height, 0, 0, 0, screen.root_depth, &bytes)?;
        x.flush()?;
    }
    Ok(())
}
