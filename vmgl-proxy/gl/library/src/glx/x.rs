//! The X server: what it says of visuals and windows, asked on a connection of our own, and the three functions of Xlib's
//! that the program's own connection needs.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::sync::OnceLock;

use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConnectionExt, EventMask, PropMode, VisualClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::abi::Display;
use super::config::Visual;
use super::font::{self, Glyph};
use super::pixmap::{self, Rows};

/// As Xlib has it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisualInfo {
    visual: *mut c_void,
    pub(crate) visual_id: c_ulong,
    pub(crate) screen: c_int,
    depth: c_int,
    class: c_int,
    red_mask: c_ulong,
    green_mask: c_ulong,
    blue_mask: c_ulong,
    colormap_size: c_int,
    bits_per_rgb: c_int,
}

struct Xlib {
    display_string: unsafe extern "C" fn(*mut Display) -> *const c_char,
    sync: unsafe extern "C" fn(*mut Display, c_int) -> c_int,
    get_visual_info:
        unsafe extern "C" fn(*mut Display, c_long, *mut VisualInfo, *mut c_int) -> *mut VisualInfo,
}

static XLIB: OnceLock<Option<Xlib>> = OnceLock::new();

fn xlib() -> Option<&'static Xlib> {
    let load = || {
        // SAFETY: the program has loaded Xlib, or it could not have called GLX; the names and types are Xlib's.
        unsafe {
            let library = libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_LAZY);
            if library.is_null() {
                return None;
            }
            let find = |name: &CStr| {
                let found = libc::dlsym(library, name.as_ptr());
                (!found.is_null()).then_some(found)
            };
            Some(Xlib {
                display_string: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut Display) -> *const c_char,
                >(find(c"XDisplayString")?),
                sync: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut Display, c_int) -> c_int>(
                    find(c"XSync")?,
                ),
                get_visual_info: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(
                        *mut Display,
                        c_long,
                        *mut VisualInfo,
                        *mut c_int,
                    ) -> *mut VisualInfo,
                >(find(c"XGetVisualInfo")?),
            })
        }
    };
    XLIB.get_or_init(load).as_ref()
}

/// The name of the program's display; of the usual one for null.
pub(crate) fn display_name(display: *mut Display) -> Option<String> {
    if display.is_null() {
        return std::env::var("DISPLAY").ok();
    }
    // SAFETY: the program gives an open connection.
    let name = unsafe { CStr::from_ptr((xlib()?.display_string)(display)) };
    Some(name.to_string_lossy().into_owned())
}

/// What the program asked of the server has been done: a window that it made is there for us, too.
pub(crate) fn sync(display: *mut Display) {
    if let Some(xlib) = xlib().filter(|_| !display.is_null()) {
        // SAFETY: the program gives an open connection.
        unsafe { (xlib.sync)(display, 0) };
    }
}

/// Xlib's description of a visual, which the program frees.
pub(crate) fn visual_info(display: *mut Display, screen: c_int, visual: u32) -> *mut VisualInfo {
    let Some(xlib) = xlib() else { return std::ptr::null_mut() };
    let mut wanted = VisualInfo {
        visual: std::ptr::null_mut(),
        visual_id: visual.into(),
        screen,
        depth: 0,
        class: 0,
        red_mask: 0,
        green_mask: 0,
        blue_mask: 0,
        colormap_size: 0,
        bits_per_rgb: 0,
    };
    let mut count = 0;
    // SAFETY: the program gives an open connection; id and screen are what the mask names.
    unsafe { (xlib.get_visual_info)(display, 0b11, &raw mut wanted, &raw mut count) }
}

/// What a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Something that happened to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Size(u64, Geometry),
    Gone(u64),
}

/// A connection to a server.
pub(crate) struct Server {
    connection: RustConnection,
    stream: u32,
    /// The selection that a watcher of its windows owns.
    watcher: u32,
    /// Whether there is one was asked.
    asked: Cell<bool>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn connect(name: &str) -> Option<Self> {
        let (connection, _) = x11rb::connect(Some(name)).ok()?;
        let atom = |name: &[u8]| Some(connection.intern_atom(false, name).ok()?.reply().ok()?.atom);
        let (stream, watcher) = (atom(b"_VMGL_STREAM")?, atom(b"_VMGL_WATCHER")?);
        Some(Self { connection, stream, watcher, asked: Cell::new(false) })
    }

    /// An id that no client of the server has.
    pub(crate) fn fresh_id(&self) -> Option<u32> {
        self.connection.generate_id().ok()
    }

    /// The visuals of a screen with eight bits a colour.
    pub(crate) fn visuals(&self, screen: c_int) -> Vec<Visual> {
        let roots = &self.connection.setup().roots;
        let Some(screen) = usize::try_from(screen).ok().and_then(|screen| roots.get(screen)) else {
            return Vec::new();
        };
        let mut visuals = Vec::new();
        for depth in &screen.allowed_depths {
            for visual in &depth.visuals {
                if visual.class == VisualClass::TRUE_COLOR && visual.bits_per_rgb_value == 8 {
                    visuals.push(Visual { id: visual.visual_id, depth: depth.depth });
                }
            }
        }
        // The root's own first: a window of that visual needs no colormap of its own.
        visuals.sort_by_key(|visual| visual.id != screen.root_visual);
        visuals
    }

    /// A window's size; from now on we hear of its changes, and whoever looks at the window knows whose it is.
    pub(crate) fn watch(&self, window: u32, stream: [u32; 2]) -> Option<Geometry> {
        let wishes = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        self.connection.change_window_attributes(window, &wishes).ok()?.check().ok()?;
        let told = self.connection.change_property32(
            PropMode::REPLACE,
            window,
            self.stream,
            AtomEnum::CARDINAL,
            &stream,
        );
        told.ok()?.check().ok()?;
        self.size(window)
    }

    /// Nobody tells where windows are seen, and this is the first time that it is asked.
    pub(super) fn wants_watcher(&self) -> bool {
        if self.asked.replace(true) {
            return false;
        }
        let asked = self.connection.get_selection_owner(self.watcher).ok().and_then(|it| it.reply().ok());
        asked.is_some_and(|it| it.owner == x11rb::NONE)
    }

    /// Letters of a font of some client's.
    pub(super) fn glyphs(&self, font: u32, first: u32, count: u32) -> Option<Vec<Option<Glyph>>> {
        font::glyphs(&self.connection, font, first, count).ok()
    }

    /// A pixmap's size and depth.
    pub(super) fn pixmap(&self, id: u32) -> Option<(Geometry, u8)> {
        pixmap::look(&self.connection, id).ok()
    }

    /// Whether pixmaps of that depth can be drawn on: their pixels are of four bytes.
    pub(super) fn has_pixmaps(&self, depth: u8) -> bool {
        pixmap::is_plain(&self.connection, depth)
    }

    /// Puts rows into a pixmap of some depth; whether they are there.
    pub(super) fn put(&self, pixmap: (u32, u8), rows: Rows, pixels: Vec<u8>) -> bool {
        pixmap::put(&self.connection, pixmap, rows, pixels).is_ok()
    }

    /// Rows that a pixmap has.
    pub(super) fn pixels(&self, pixmap: u32, rows: Rows) -> Option<Vec<u8>> {
        pixmap::get(&self.connection, pixmap, rows).ok()
    }

    /// A drawable's size.
    pub(crate) fn size(&self, drawable: u32) -> Option<Geometry> {
        let it = self.connection.get_geometry(drawable).ok()?.reply().ok()?;
        Some(Geometry { width: it.width.max(1).into(), height: it.height.max(1).into() })
    }

    /// Whoever draws in a window is told to do it again. It may be gone, or another server's.
    pub(crate) fn expose(&self, window: u64) {
        if let Ok(window) = u32::try_from(window)
            && let Ok(asked) = self.connection.clear_area(true, window, 0, 0, 0, 0)
        {
            asked.ignore_error();
            let _flushed = self.connection.flush();
        }
    }

    /// What happened since.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok(Some(event)) = self.connection.poll_for_event() {
            match event {
                Event::ConfigureNotify(it) => {
                    let size = Geometry { width: it.width.max(1).into(), height: it.height.max(1).into() };
                    changes.push(Change::Size(it.window.into(), size));
                }
                Event::DestroyNotify(it) => changes.push(Change::Gone(it.window.into())),
                _ => {}
            }
        }
        changes
    }
}
