//! What is drawn on: windows of the program's, which are looked at when they are first drawn on, pbuffers and pixmaps.

use vmgl_gl_stream::{Command, Control, DRAWABLE_SAMPLES, limits};

use super::abi::Display;
use super::config::{self, Config};
use super::font::Glyph;
use super::pixmap::Pixmap;
use super::x::{self, Change, Geometry, Server};
use crate::core::Program;

/// The swap interval of a new window: one, as GLX has it, but with `vblank_mode=0`, as with Mesa.
fn first_interval() -> u32 {
    u32::from(std::env::var("vblank_mode").is_ok_and(|mode| mode == "0")) ^ 1
}

/// What a drawable is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A window whose changes we hear of.
    Window,
    Pbuffer,
    Pixmap(Pixmap),
}

/// A drawable.
#[derive(Debug)]
pub(crate) struct Drawable {
    pub(crate) id: u32,
    pub(crate) size: Geometry,
    pub(crate) double: bool,
    pub(crate) samples: u8,
    pub(crate) interval: u32,
    pub(crate) config: i32,
    pub(super) kind: Kind,
    pub(super) bits: u32,
    serial: u32,
}

impl Drawable {
    pub(crate) fn is_window(&self) -> bool {
        matches!(self.kind, Kind::Window)
    }

    /// The pixmap of X's that it stands for.
    pub(super) fn pixmap(&self) -> Option<&Pixmap> {
        if let Kind::Pixmap(pixmap) = &self.kind { Some(pixmap) } else { None }
    }

    /// The command that makes it as it is now, by its X id; and its own.
    pub(crate) fn made(&self, xid: u64) -> (u32, Control<'static>) {
        let Geometry { width, height } = self.size;
        let (kind, window) = match self.kind {
            Kind::Window => (0, u32::try_from(xid).unwrap_or(0)),
            Kind::Pbuffer => (1, 0),
            Kind::Pixmap(_) => (2, 0),
        };
        let control =
            Control::CreateDrawable { drawable: self.id, kind, window, width, height, config: self.bits };
        (self.id, control)
    }
}

fn clamp(size: Geometry) -> Geometry {
    Geometry { width: size.width.clamp(1, limits::SIDE), height: size.height.clamp(1, limits::SIDE) }
}

impl Program {
    /// The connection to the program's X server.
    pub(super) fn server(&mut self, display: *mut Display) -> Option<&Server> {
        let name = x::display_name(display)?;
        if !self.servers.contains_key(&name) {
            let server = Server::connect(&name)?;
            self.servers.insert(name.clone(), server);
        }
        self.servers.get(&name)
    }

    /// The configurations of a screen, which keep their addresses.
    pub(crate) fn configs(&mut self, display: *mut Display, screen: i32) -> &'static [Config] {
        if let Some(configs) = self.configs.get(&screen) {
            return configs;
        }
        let visuals = self.server(display).map(|server| server.visuals(screen)).unwrap_or_default();
        let samples = self.caps.integers.get(&DRAWABLE_SAMPLES).and_then(|all| all.first());
        let samples = samples.and_then(|samples| u8::try_from(*samples).ok()).unwrap_or(0);
        // Programs hold their addresses for as long as they like.
        let mut configs = config::of_screen(screen, &visuals, samples);
        let server = self.server(display);
        for config in &mut configs {
            config.pixmaps = server.is_some_and(|server| server.has_pixmaps(config.depth));
        }
        let configs: &'static [Config] = Box::leak(configs.into_boxed_slice());
        self.configs.insert(screen, configs);
        configs
    }

    /// Letters of a font of the program's, on the display that it draws on.
    pub(super) fn glyphs(&mut self, font: u32, first: u32, count: u32) -> Option<Vec<Option<Glyph>>> {
        let display = std::ptr::with_exposed_provenance_mut(self.display);
        x::sync(display);
        self.server(display)?.glyphs(font, first, count)
    }

    /// Takes notice of what happened to windows.
    pub(crate) fn look(&mut self) {
        let changes: Vec<Change> = self.servers.values().flat_map(Server::changes).collect();
        for change in changes {
            match change {
                Change::Size(window, size) => self.resize(window, size),
                Change::Gone(window) => self.forget(window),
            }
        }
    }

    fn resize(&mut self, xid: u64, size: Geometry) {
        let size = clamp(size);
        let Some(it) = self.drawables.get_mut(&xid).filter(|it| it.size != size) else { return };
        it.size = size;
        let (drawable, Geometry { width, height }) = (it.id, size);
        self.wire.put(&Command::Control(Control::ResizeDrawable { drawable, width, height }));
    }

    /// A drawable ends.
    pub(crate) fn forget(&mut self, xid: u64) {
        if let Some(it) = self.drawables.remove(&xid) {
            self.wire.put(&Command::Control(Control::DestroyDrawable { drawable: it.id }));
            self.wire.link.forget(it.id);
        }
    }

    pub(crate) fn add(&mut self, xid: u64, kind: Kind, size: Geometry, config: Option<&Config>) -> u32 {
        self.last_drawable += 1;
        let drawable = self.last_drawable;
        let it = Drawable {
            id: drawable,
            size: clamp(size),
            double: config.is_none_or(|config| config.double),
            samples: config.map_or(0, |config| config.samples),
            interval: self.intervals.remove(&xid).unwrap_or_else(first_interval),
            config: config.map_or(1, |config| config.id),
            kind,
            bits: config.map_or(0b1111, Config::bits),
            serial: 0,
        };
        self.wire.put(&Command::Control(it.made(xid).1));
        self.drawables.insert(xid, it);
        drawable
    }

    /// The drawable of that X id: a window that is drawn on for the first time becomes one.
    pub(crate) fn drawable(&mut self, display: *mut Display, xid: u64, config: &Config) -> Option<u32> {
        if let Some(it) = self.drawables.get(&xid) {
            return Some(it.id);
        }
        x::sync(display);
        let (window, stream) = (u32::try_from(xid).ok()?, self.wire.link.id());
        let server = self.server(display)?;
        let (size, wants_watcher) = (server.watch(window, stream)?, server.wants_watcher());
        if wants_watcher && let Some(name) = x::display_name(display) {
            self.wire.link.start_watcher(name, false);
        }
        Some(self.add(xid, Kind::Window, size, Some(config)))
    }

    /// A pbuffer; its X id.
    pub(crate) fn pbuffer(&mut self, display: *mut Display, size: Geometry, config: &Config) -> Option<u64> {
        let xid = u64::from(self.server(display)?.fresh_id()?);
        self.add(xid, Kind::Pbuffer, size, Some(config));
        Some(xid)
    }

    /// A picture is complete, and sent. The drawable, for whoever then waits.
    pub(crate) fn swap(&mut self, xid: u64) -> Option<u32> {
        let it = self.drawables.get_mut(&xid).filter(|it| it.double && it.is_window())?;
        it.serial = it.serial.wrapping_add(1);
        let (drawable, serial, interval) = (it.id, it.serial, it.interval);
        self.wire.link.goes(drawable, serial);
        self.wire.put(&Command::Control(Control::Swap { drawable, serial, interval }));
        self.wire.flush();
        self.fresh = true;
        self.wire.pictures += 1;
        Some(drawable)
    }
}
