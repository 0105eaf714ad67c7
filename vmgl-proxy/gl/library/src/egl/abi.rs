//! The interface between libglvnd's `libEGL.so` and a vendor's library, version 0.1, and the one function it looks for.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::entries;
use crate::core;
use crate::entries::Address;
use crate::glx::abi::Display;
use crate::renderer::connected;

/// What libglvnd offers to vendors; only what is used is named.
#[repr(C)]
#[derive(Clone, Copy)]
struct Exports {
    thread_init: *const (),
    get_current_api: extern "C" fn() -> u32,
}

// SAFETY: addresses of functions that any thread may call.
unsafe impl Send for Exports {}
// SAFETY: as above.
unsafe impl Sync for Exports {}

/// What a vendor offers to libglvnd.
#[repr(C)]
#[derive(Debug)]
pub struct Imports {
    get_platform_display: Option<unsafe extern "C" fn(u32, *mut c_void, *const isize) -> *mut c_void>,
    get_supports_api: Option<extern "C" fn(u32) -> u32>,
    get_vendor_string: Option<extern "C" fn(c_int) -> *const c_char>,
    get_proc_address: Option<unsafe extern "C" fn(*const c_char) -> *const ()>,
    get_dispatch_address: Option<extern "C" fn(*const c_char) -> *const ()>,
    set_dispatch_index: Option<extern "C" fn(*const c_char, c_int)>,
    is_patch_supported: Option<extern "C" fn()>,
    initiate_patch: Option<extern "C" fn()>,
    release_patch: Option<extern "C" fn()>,
    patch_thread_attach: Option<extern "C" fn()>,
    find_native_display_platform: Option<extern "C" fn()>,
}

static EXPORTS: OnceLock<Exports> = OnceLock::new();
/// Displays by Xlib's connections: each has one address, which is all that EGL knows of it.
static DISPLAYS: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

/// The platform of Xlib's connections.
pub(super) const X11: u32 = 0x31d5;
/// Where no platform is told.
pub(super) const NO_PLATFORM: u32 = 0x3038;
pub(super) const OPENGL: u32 = 0x30a2;
pub(super) const OPENGL_ES: u32 = 0x30a0;

thread_local! {
    /// What the thread has said where no libglvnd keeps it; none if it has said nothing here.
    static API: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The API of the thread's next context, where no libglvnd keeps it.
pub(super) fn own_api() -> u32 {
    API.get().unwrap_or(OPENGL_ES)
}

/// The thread says which; none is as if it had never said.
pub(super) fn set_own_api(api: Option<u32>) {
    API.set(api);
}

/// Whether the thread wants OpenGL ES.
pub(super) fn wants_es() -> bool {
    // Who has said it here has called this library without libglvnd, which may have been loaded for others.
    let theirs = || EXPORTS.get().map(|exports| (exports.get_current_api)());
    API.get().or_else(theirs).unwrap_or(OPENGL_ES) != OPENGL
}

/// Xlib's connection behind an address that we gave; null where the usual display is meant.
pub(super) fn native(display: *mut c_void) -> Option<*mut Display> {
    let displays = DISPLAYS.lock().unwrap_or_else(PoisonError::into_inner);
    let all = displays.as_ref()?;
    let (native, _) = all.iter().find(|(_, address)| **address == display.addr())?;
    Some(std::ptr::with_exposed_provenance_mut(*native))
}

/// The display of a platform; null where that is not there.
///
/// # Safety
/// As EGL has it of `eglGetPlatformDisplay`.
pub(super) unsafe extern "C" fn get_platform_display(
    platform: u32,
    native: *mut c_void,
    _attributes: *const isize,
) -> *mut c_void {
    core::guard(|| {
        // X11 by Xlib; without a word the usual display, which must be there.
        let usual = platform == NO_PLATFORM && native.is_null() && std::env::var_os("DISPLAY").is_some();
        if platform != X11 && !usual {
            return Address::default();
        }
        let mut displays = DISPLAYS.lock().unwrap_or_else(PoisonError::into_inner);
        let all = displays.get_or_insert_default();
        let address =
            *all.entry(native.expose_provenance()).or_insert_with(|| Box::into_raw(Box::new(0_u64)).addr());
        Address(std::ptr::without_provenance(address))
    })
    .0
    .cast_mut()
    .cast()
}

extern "C" fn get_supports_api(api: u32) -> u32 {
    u32::from(matches!(api, OPENGL | OPENGL_ES))
}

extern "C" fn get_vendor_string(name: c_int) -> *const c_char {
    if name == 0 { c"EGL_EXT_platform_x11 EGL_KHR_platform_x11".as_ptr() } else { std::ptr::null() }
}

unsafe extern "C" fn get_proc_address(name: *const c_char) -> *const () {
    core::guard(|| {
        if name.is_null() {
            return Address::default();
        }
        // SAFETY: libglvnd gives a text with a NUL at its end.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default();
        Address(entries::find(name).or_else(|| crate::entries::find(name)).unwrap_or(std::ptr::null()))
    })
    .0
}

extern "C" fn get_dispatch_address(_name: *const c_char) -> *const () {
    std::ptr::null()
}

extern "C" fn set_dispatch_index(_name: *const c_char, _index: c_int) {}

/// Libglvnd's first call.
///
/// # Safety
/// As its header says: `exports` leads to a table that stays, `imports` to one to be filled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __egl_Main(
    version: u32,
    exports: *const c_void,
    vendor: *mut c_void,
    imports: *mut Imports,
) -> u32 {
    core::guard(|| {
        if version >> 16 != 0 || exports.is_null() || imports.is_null() {
            return 0;
        }
        if !connected() {
            // SAFETY: the caller's.
            return unsafe { crate::vendor::egl(version, exports, vendor, imports.cast()) };
        }
        // SAFETY: the caller's: the table is longer than what is read of it.
        let _first = EXPORTS.set(unsafe { *exports.cast::<Exports>() });
        let offered = Imports {
            get_platform_display: Some(get_platform_display),
            get_supports_api: Some(get_supports_api),
            get_vendor_string: Some(get_vendor_string),
            get_proc_address: Some(get_proc_address),
            get_dispatch_address: Some(get_dispatch_address),
            set_dispatch_index: Some(set_dispatch_index),
            is_patch_supported: None,
            initiate_patch: None,
            release_patch: None,
            patch_thread_attach: None,
            find_native_display_platform: None,
        };
        // SAFETY: the caller's.
        unsafe { imports.write(offered) };
        1
    })
}
