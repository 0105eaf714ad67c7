//! The interface between libglvnd's `libGLX.so` and a vendor's library, version 1.0, and the one function it looks for.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use super::entries;
use crate::core;
use crate::renderer::connected;

/// Xlib's connection; only Xlib looks into it.
pub(crate) type Display = c_void;
/// Libglvnd's own of a vendor.
type Vendor = c_void;

/// What libglvnd offers to vendors.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    get_dyn_dispatch: extern "C" fn(*mut Display, c_int) -> *mut Vendor,
    get_current_dyn_dispatch: extern "C" fn() -> *mut Vendor,
    fetch_dispatch_entry: extern "C" fn(*mut Vendor, c_int) -> *const (),
    get_current_context: *const (),
    add_vendor_context_mapping: extern "C" fn(*mut Display, *mut c_void, *mut Vendor) -> c_int,
    remove_vendor_context_mapping: *const (),
    vendor_from_context: *const (),
    add_vendor_fb_config_mapping: *const (),
    remove_vendor_fb_config_mapping: *const (),
    vendor_from_fb_config: extern "C" fn(*mut Display, *mut c_void) -> *mut Vendor,
    add_vendor_drawable_mapping: *const (),
    remove_vendor_drawable_mapping: *const (),
    vendor_from_drawable: extern "C" fn(*mut Display, u64) -> *mut Vendor,
}

// SAFETY: addresses of functions that any thread may call.
unsafe impl Send for Exports {}
// SAFETY: as above.
unsafe impl Sync for Exports {}

/// What a vendor offers to libglvnd.
#[repr(C)]
#[derive(Debug)]
pub struct Imports {
    is_screen_supported: Option<extern "C" fn(*mut Display, c_int) -> c_int>,
    get_proc_address: Option<unsafe extern "C" fn(*const c_char) -> *const ()>,
    get_dispatch_address: Option<unsafe extern "C" fn(*const c_char) -> *const ()>,
    set_dispatch_index: Option<unsafe extern "C" fn(*const c_char, c_int)>,
    notify_error: Option<extern "C" fn()>,
    is_patch_supported: Option<extern "C" fn()>,
    initiate_patch: Option<extern "C" fn()>,
    release_patch: Option<extern "C" fn()>,
    patch_thread_attach: Option<extern "C" fn()>,
}

static EXPORTS: OnceLock<Exports> = OnceLock::new();
/// Libglvnd's numbers of functions of extensions, in the order of [`entries::DISPATCHED`].
static INDICES: [AtomicI32; entries::DISPATCHED.len()] =
    [const { AtomicI32::new(-1) }; entries::DISPATCHED.len()];

/// Who serves a call of an extension's function.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// The vendor of the drawable.
    Drawable(*mut Display, u64),
    /// The vendor of the configuration.
    Config(*mut Display, *mut c_void),
    /// The vendor of the current context.
    Current,
}

/// The function that serves a call, of whatever vendor.
pub(crate) fn dispatch(place: usize, by: By) -> Option<*const ()> {
    let exports = EXPORTS.get()?;
    let vendor = match by {
        By::Drawable(display, drawable) => (exports.vendor_from_drawable)(display, drawable),
        By::Config(display, config) => (exports.vendor_from_fb_config)(display, config),
        By::Current => (exports.get_current_dyn_dispatch)(),
    };
    let index = INDICES.get(place)?.load(Ordering::Relaxed);
    if vendor.is_null() || index < 0 {
        return None;
    }
    let function = (exports.fetch_dispatch_entry)(vendor, index);
    (!function.is_null()).then_some(function)
}

/// A context was made by a function that libglvnd did not see.
pub(crate) fn mapped(display: *mut Display, config: *mut c_void, context: *mut c_void) -> bool {
    let Some(exports) = EXPORTS.get() else { return false };
    let vendor = (exports.vendor_from_fb_config)(display, config);
    !vendor.is_null() && (exports.add_vendor_context_mapping)(display, context, vendor) == 0
}

extern "C" fn is_screen_supported(_display: *mut Display, _screen: c_int) -> c_int {
    1
}

unsafe fn name<'n>(name: *const c_char) -> &'n str {
    if name.is_null() {
        return "";
    }
    // SAFETY: libglvnd gives a text with a NUL at its end.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default()
}

pub(super) unsafe extern "C" fn get_proc_address(asked: *const c_char) -> *const () {
    core::guard(|| {
        // SAFETY: libglvnd's.
        let asked = unsafe { name(asked) };
        let found = entries::find(asked).or_else(|| crate::entries::find(asked));
        crate::entries::Address(found.unwrap_or(std::ptr::null()))
    })
    .0
}

unsafe extern "C" fn get_dispatch_address(asked: *const c_char) -> *const () {
    core::guard(|| {
        // SAFETY: libglvnd's.
        let asked = unsafe { name(asked) };
        let it = entries::DISPATCHED.iter().find(|(known, _)| *known == asked);
        it.map(|(_, address)| *address).unwrap_or_default()
    })
    .0
}

unsafe extern "C" fn set_dispatch_index(asked: *const c_char, index: c_int) {
    // SAFETY: libglvnd's.
    let asked = unsafe { name(asked) };
    if let Some(place) = entries::DISPATCHED.iter().position(|(known, _)| *known == asked) {
        INDICES[place].store(index, Ordering::Relaxed);
    }
}

/// Libglvnd's first call.
///
/// # Safety
/// As its header says: `exports` leads to a table that stays, `imports` to one to be filled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __glx_Main(
    version: u32,
    exports: *const c_void,
    vendor: *mut c_void,
    imports: *mut Imports,
) -> c_int {
    core::guard(|| {
        if version >> 16 != 1 || exports.is_null() || imports.is_null() {
            return 0;
        }
        if !connected() {
            // SAFETY: the caller's.
            return unsafe { crate::vendor::glx(version, exports, vendor, imports.cast()) };
        }
        // SAFETY: the caller's.
        let exports = unsafe { *exports.cast::<Exports>() };
        let _first = EXPORTS.set(exports);
        let offered = Imports {
            is_screen_supported: Some(is_screen_supported),
            get_proc_address: Some(get_proc_address),
            get_dispatch_address: Some(get_dispatch_address),
            set_dispatch_index: Some(set_dispatch_index),
            notify_error: None,
            is_patch_supported: None,
            initiate_patch: None,
            release_patch: None,
            patch_thread_attach: None,
        };
        // SAFETY: the caller's.
        unsafe { imports.write(offered) };
        1
    })
}
