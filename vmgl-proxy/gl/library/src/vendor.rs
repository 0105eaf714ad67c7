//! Without a renderer from the start: the program is handed over to Mesa's vendor library, which draws in software here. Libglvnd
//! asks this library and gets Mesa's answers; nothing of ours is in the way afterwards.

use std::ffi::{CStr, c_int, c_void};

use crate::link::log;

type Main<R> = unsafe extern "C" fn(u32, *const c_void, *mut c_void, *mut c_void) -> R;

/// The function of a library that then stays loaded.
fn find(library: &CStr, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the names end with a NUL; what a library does when it is loaded is the system's choice.
    let found = unsafe {
        let loaded = libc::dlopen(library.as_ptr(), libc::RTLD_NOW);
        if loaded.is_null() { loaded } else { libc::dlsym(loaded, name.as_ptr()) }
    };
    if found.is_null() {
        log(format_args!("there is no {} either", library.to_string_lossy()));
        return None;
    }
    Some(found)
}

/// Libglvnd's first call, made to Mesa's GLX.
///
/// # Safety
/// As `__glx_Main`.
pub(crate) unsafe fn glx(
    version: u32,
    exports: *const c_void,
    vendor: *mut c_void,
    imports: *mut c_void,
) -> c_int {
    // SAFETY: the function of that name has these arguments; they are the caller's.
    find(c"libGLX_mesa.so.0", c"__glx_Main").map_or(0, |main| unsafe {
        std::mem::transmute::<*mut c_void, Main<c_int>>(main)(version, exports, vendor, imports)
    })
}

/// Libglvnd's first call, made to Mesa's EGL.
///
/// # Safety
/// As `__egl_Main`.
pub(crate) unsafe fn egl(
    version: u32,
    exports: *const c_void,
    vendor: *mut c_void,
    imports: *mut c_void,
) -> u32 {
    // SAFETY: the function of that name has these arguments; they are the caller's.
    find(c"libEGL_mesa.so.0", c"__egl_Main").map_or(0, |main| unsafe {
        std::mem::transmute::<*mut c_void, Main<u32>>(main)(version, exports, vendor, imports)
    })
}
