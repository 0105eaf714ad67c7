//! EGL as a program finds it in a `libEGL.so.1`: where libglvnd is missing, this library is put in its place under that name.
//!
//! What libglvnd does for vendors is done here: connecting before a display is given, whose displays there are, a thread's API
//! and what is current in it, what is told without a display, finding functions by name. The functions themselves are those
//! that a vendor has ([`FUNCTIONS`]). Who draws where there is no renderer at the desk: [`crate::renderer::served`].
//!
//! All functions of EGL 1.5 are exported, as programs are linked with them; those of what is not there (syncs, images) fail by
//! the errors that EGL has for it.
//!
//! Invariant: a display is given only where somebody draws, so that no other call has to look for a renderer.

use std::cell::Cell;

use super::*;
use crate::egl::abi::{NO_PLATFORM, OPENGL, OPENGL_ES, X11, get_platform_display, own_api, set_own_api};
use crate::egl::xlib;
use crate::link::log;
use crate::renderer::served;

/// What is told without a display: that there are functions of 1.5, whatever the display's version is, as libglvnd tells it.
const CLIENT: (&CStr, &CStr) = (
    c"1.5 VMGL",
    c"EGL_EXT_client_extensions EGL_EXT_platform_base EGL_EXT_platform_x11 \
      EGL_KHR_client_get_all_proc_addresses EGL_KHR_platform_x11",
);

/// What a thread draws on and with.
#[derive(Debug, Clone, Copy)]
struct Current {
    display: *mut c_void,
    draw: *mut c_void,
    read: *mut c_void,
    context: *mut c_void,
}

const NULL: *mut c_void = std::ptr::null_mut();
const NOTHING: Current = Current { display: NULL, draw: NULL, read: NULL, context: NULL };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOTHING) };
}

/// The platform that `EGL_PLATFORM` names, as Mesa reads it, is X11's, or it names none.
fn is_x11_wished() -> bool {
    match std::env::var("EGL_PLATFORM") {
        Ok(platform) if !platform.is_empty() && platform != "x11" => {
            log(format_args!("EGL_PLATFORM={platform} is not there: of EGL there is what draws on X11"));
            false
        }
        _ => true,
    }
}

/// The display of a connection of Xlib's; null is the usual one.
fn display_of(native: *mut c_void) -> *mut c_void {
    if !native.is_null() && !xlib::is_connection(native) {
        log(format_args!("EGL is asked for a display that is not Xlib's: there is what draws on X11"));
        return NULL;
    }
    if !guard(served) {
        return NULL;
    }
    let platform = if native.is_null() { NO_PLATFORM } else { X11 };
    // SAFETY: null, or a connection of the program's.
    unsafe { get_platform_display(platform, native, std::ptr::null()) }
}

unsafe extern "C" fn get_display(native: *mut c_void) -> *mut c_void {
    ERROR.set(SUCCESS);
    guard(|| Address(if is_x11_wished() { display_of(native).cast_const().cast() } else { std::ptr::null() }))
        .0
        .cast_mut()
        .cast()
}

/// Attributes of displays (a screen's number) change nothing: what is drawn on says where it is.
unsafe extern "C" fn platform_display(platform: u32, native: *mut c_void) -> *mut c_void {
    let given = guard(|| {
        if platform != X11 {
            log(format_args!("EGL's platform {platform:#x} is not there: there is what draws on X11"));
            return fail(BAD_PARAMETER);
        }
        ERROR.set(SUCCESS);
        Address(display_of(native).cast_const().cast())
    });
    given.0.cast_mut().cast()
}

unsafe extern "C" fn bind_api(api: u32) -> u32 {
    if !matches!(api, OPENGL | OPENGL_ES) {
        return fail(BAD_PARAMETER);
    }
    ERROR.set(SUCCESS);
    set_own_api(Some(api));
    1
}

unsafe extern "C" fn query_api() -> u32 {
    own_api()
}

unsafe extern "C" fn become_current(
    display: *mut c_void,
    draw: *mut c_void,
    read: *mut c_void,
    context: *mut c_void,
) -> u32 {
    // SAFETY: the program gives what EGL asks of it.
    let made = unsafe { make_current(display, draw, read, context) };
    if made != 0 {
        let now = Current { display, draw, read, context };
        CURRENT.set(if context.is_null() { NOTHING } else { now });
    }
    made
}

unsafe extern "C" fn current_context() -> *mut c_void {
    CURRENT.get().context
}

unsafe extern "C" fn current_display() -> *mut c_void {
    CURRENT.get().display
}

unsafe extern "C" fn current_surface(which: c_int) -> *mut c_void {
    let Current { draw, read, .. } = CURRENT.get();
    match which {
        0x3059 => draw,
        0x305a => read,
        _ => {
            ERROR.set(BAD_PARAMETER);
            NULL
        }
    }
}

unsafe extern "C" fn leave_thread() -> u32 {
    // A context of GLX's is none of EGL's to let go.
    if !CURRENT.replace(NOTHING).context.is_null() {
        // SAFETY: it takes nothing of the program's.
        unsafe { release_thread() };
    }
    set_own_api(None);
    ERROR.set(SUCCESS);
    1
}

unsafe extern "C" fn string(display: *mut c_void, name: c_int) -> *const c_char {
    if !display.is_null() {
        // SAFETY: the program gives what EGL asks of it.
        return unsafe { query_string(display, name) };
    }
    let text = match name {
        0x3054 => CLIENT.0,
        0x3055 => CLIENT.1,
        _ => return fail::<Address>(BAD_DISPLAY).0.cast(),
    };
    ERROR.set(SUCCESS);
    text.as_ptr()
}

/// There are no syncs, and so no kind of them.
unsafe extern "C" fn no_sync(display: *mut c_void) -> Address {
    on(display, |_| fail(BAD_ATTRIBUTE))
}

/// Nothing can be made an image of.
unsafe extern "C" fn no_image(display: *mut c_void) -> Address {
    on(display, |_| fail(BAD_PARAMETER))
}

/// No sync and no image was ever made.
unsafe extern "C" fn none_such(display: *mut c_void) -> u32 {
    on(display, |_| fail(BAD_PARAMETER))
}

unsafe extern "C" fn function(name: *const c_char) -> *const () {
    guard(|| {
        if name.is_null() {
            return Address::default();
        }
        // SAFETY: the program gives a text with a NUL at its end.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default();
        // What is answered here comes first: a vendor's own knows nothing of what is current.
        let own = EXPORTED.iter().chain(UNDER_OLDER_NAMES).find(|(known, _)| *known == name);
        own.map_or_else(|| Address(crate::entries::find(name).unwrap_or(std::ptr::null())), |(_, own)| *own)
    })
    .0
}

/// Functions under the names by which programs are linked with them, and a table of them.
macro_rules! exported {
    ($($name:ident $function:ident($($argument:ident: $type:ty),*) -> $ret:ty;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> $ret {
                // SAFETY: the program gives what EGL asks of it.
                unsafe { $function($($argument),*) }
            }
        )*

        static EXPORTED: &[(&str, Address)] = &[$((stringify!($name), Address($name as *const ()))),*];
    };
}

exported! {
    eglBindAPI bind_api(api: u32) -> u32;
    eglBindTexImage refuse(display: *mut c_void) -> u32;
    eglChooseConfig choose_config(display: *mut c_void, wishes: *const c_int, list: *mut *mut c_void, room: c_int, count: *mut c_int) -> u32;
    eglClientWaitSync none_such(display: *mut c_void) -> u32;
    eglCopyBuffers copy_buffers(display: *mut c_void) -> u32;
    eglCreateContext create_context(display: *mut c_void, config: *mut c_void, share: *mut c_void, list: *const c_int) -> Address;
    eglCreateImage no_image(display: *mut c_void) -> Address;
    eglCreatePbufferFromClientBuffer no_surface(display: *mut c_void) -> Address;
    eglCreatePbufferSurface create_pbuffer_surface(display: *mut c_void, config: *mut c_void, list: *const c_int) -> Address;
    eglCreatePixmapSurface no_surface(display: *mut c_void) -> Address;
    eglCreatePlatformPixmapSurface no_surface(display: *mut c_void) -> Address;
    eglCreatePlatformWindowSurface create_platform_window_surface(display: *mut c_void, config: *mut c_void, window: *const u64, list: *const isize) -> Address;
    eglCreateSync no_sync(display: *mut c_void) -> Address;
    eglCreateWindowSurface create_window_surface(display: *mut c_void, config: *mut c_void, window: u64, list: *const c_int) -> Address;
    eglDestroyContext destroy_context(display: *mut c_void, context: *mut c_void) -> u32;
    eglDestroyImage none_such(display: *mut c_void) -> u32;
    eglDestroySurface destroy_surface(display: *mut c_void, address: *mut c_void) -> u32;
    eglDestroySync none_such(display: *mut c_void) -> u32;
    eglGetConfigAttrib get_config_attrib(display: *mut c_void, config: *mut c_void, name: c_int, value: *mut c_int) -> u32;
    eglGetConfigs get_configs(display: *mut c_void, list: *mut *mut c_void, room: c_int, count: *mut c_int) -> u32;
    eglGetCurrentContext current_context() -> *mut c_void;
    eglGetCurrentDisplay current_display() -> *mut c_void;
    eglGetCurrentSurface current_surface(which: c_int) -> *mut c_void;
    eglGetDisplay get_display(native: *mut c_void) -> *mut c_void;
    eglGetError get_error() -> c_int;
    eglGetPlatformDisplay platform_display(platform: u32, native: *mut c_void) -> *mut c_void;
    eglGetProcAddress function(name: *const c_char) -> *const ();
    eglGetSyncAttrib none_such(display: *mut c_void) -> u32;
    eglInitialize initialize(display: *mut c_void, major: *mut c_int, minor: *mut c_int) -> u32;
    eglMakeCurrent become_current(display: *mut c_void, draw: *mut c_void, read: *mut c_void, context: *mut c_void) -> u32;
    eglQueryAPI query_api() -> u32;
    eglQueryContext query_context(display: *mut c_void, context: *mut c_void, name: c_int, value: *mut c_int) -> u32;
    eglQueryString string(display: *mut c_void, name: c_int) -> *const c_char;
    eglQuerySurface query_surface(display: *mut c_void, address: *mut c_void, name: c_int, value: *mut c_int) -> u32;
    eglReleaseTexImage refuse(display: *mut c_void) -> u32;
    eglReleaseThread leave_thread() -> u32;
    eglSurfaceAttrib accept(display: *mut c_void) -> u32;
    eglSwapBuffers swap_buffers(display: *mut c_void, address: *mut c_void) -> u32;
    eglSwapInterval swap_interval(display: *mut c_void, interval: c_int) -> u32;
    eglTerminate terminate(display: *mut c_void) -> u32;
    eglWaitClient wait_client() -> u32;
    eglWaitGL wait_client() -> u32;
    eglWaitNative wait_native(engine: c_int) -> u32;
    eglWaitSync none_such(display: *mut c_void) -> u32;
}

/// What of 1.5 had been an extension: it is found by name only.
static UNDER_OLDER_NAMES: &[(&str, Address)] = &[
    ("eglCreatePlatformPixmapSurfaceEXT", Address(no_surface as *const ())),
    ("eglCreatePlatformWindowSurfaceEXT", Address(create_platform_window_surface as *const ())),
    ("eglGetPlatformDisplayEXT", Address(platform_display as *const ())),
];

/// By this a renderer knows this library where it looks for the system's libEGL, and passes it over.
#[unsafe(no_mangle)]
extern "C" fn vmgl_stands_in() -> c_int {
    1
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
