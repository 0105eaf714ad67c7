//! The functions of EGL.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use super::abi::{native, wants_es};
use super::config;
use crate::core::{guard, with_program};
use crate::entries::Address;
use crate::glx::abi::Display;
use crate::glx::config::Config;
use crate::glx::context::Wishes;
use crate::glx::entries::{pairs, set_interval, swap};
use crate::glx::x::Geometry;
use crate::raw;

#[path = "own.rs"]
mod own;

const SUCCESS: c_int = 0x3000;
const BAD_ATTRIBUTE: c_int = 0x3004;
const BAD_CONFIG: c_int = 0x3005;
const BAD_CONTEXT: c_int = 0x3006;
const BAD_DISPLAY: c_int = 0x3008;
const BAD_MATCH: c_int = 0x3009;
const BAD_NATIVE_WINDOW: c_int = 0x300b;
const BAD_PARAMETER: c_int = 0x300c;
const BAD_SURFACE: c_int = 0x300d;
const BAD_NATIVE_PIXMAP: c_int = 0x300a;
/// Where a list of attributes ends.
const NONE: i32 = 0x3038;

/// The newest version whose functions are all there: of 1.5 there are neither syncs nor images.
const VERSION: (c_int, c_int) = (1, 4);
/// The version again, and what there is beyond it.
const TEXTS: (&CStr, &CStr) = (c"1.4 VMGL", c"EGL_KHR_create_context EGL_KHR_surfaceless_context");

thread_local! {
    static ERROR: Cell<c_int> = const { Cell::new(SUCCESS) };
}

/// Surfaces by their addresses: the X id of each, and whether it is a pbuffer of ours.
static SURFACES: Mutex<Option<HashMap<usize, (u64, bool)>>> = Mutex::new(None);

fn surface(address: *mut c_void) -> Option<(u64, bool)> {
    let surfaces = SURFACES.lock().unwrap_or_else(PoisonError::into_inner);
    surfaces.as_ref()?.get(&address.addr()).copied()
}

fn new_surface(xid: u64, pbuffer: bool) -> Address {
    let address = Box::into_raw(Box::new(xid));
    let mut surfaces = SURFACES.lock().unwrap_or_else(PoisonError::into_inner);
    surfaces.get_or_insert_default().insert(address.addr(), (xid, pbuffer));
    Address(address.cast_const().cast())
}

/// Says why a call fails.
fn fail<R: Default>(error: c_int) -> R {
    ERROR.set(error);
    R::default()
}

/// A call on a display: what it returns, and that it succeeded, unless it says otherwise.
fn on<R: Default>(display: *mut c_void, body: impl FnOnce(*mut Display) -> R) -> R {
    guard(|| {
        let Some(native) = native(display) else { return fail(BAD_DISPLAY) };
        ERROR.set(SUCCESS);
        body(native)
    })
}

fn configs(display: *mut Display) -> &'static [Config] {
    with_program(|program| program.configs(display, 0))
}

/// The configuration behind an address, if it is one of ours.
fn config_at(display: *mut Display, address: *mut c_void) -> Option<&'static Config> {
    configs(display).iter().find(|config| std::ptr::from_ref(*config).addr() == address.addr())
}

unsafe extern "C" fn initialize(display: *mut c_void, major: *mut c_int, minor: *mut c_int) -> u32 {
    on(display, |_| {
        // SAFETY: the program's.
        unsafe {
            raw::set(major, VERSION.0);
            raw::set(minor, VERSION.1);
        }
        1
    })
}

unsafe extern "C" fn terminate(display: *mut c_void) -> u32 {
    on(display, |_| 1)
}

unsafe fn give(chosen: &[&'static Config], list: *mut *mut c_void, room: c_int, count: *mut c_int) -> u32 {
    if count.is_null() {
        return fail(BAD_PARAMETER);
    }
    let room = if list.is_null() { 0 } else { usize::try_from(room).unwrap_or(0).min(chosen.len()) };
    let told = if list.is_null() { chosen.len() } else { room };
    let addresses = chosen.iter().take(room).map(|config| std::ptr::from_ref(*config).cast_mut().cast());
    // SAFETY: the caller's.
    unsafe {
        raw::set_all(list, addresses);
        raw::set(count, c_int::try_from(told).unwrap_or(0));
    }
    1
}

unsafe extern "C" fn get_configs(
    display: *mut c_void,
    list: *mut *mut c_void,
    room: c_int,
    count: *mut c_int,
) -> u32 {
    // SAFETY: the program's.
    on(display, |native| unsafe { give(&config::choose(configs(native), &[]), list, room, count) })
}

unsafe extern "C" fn choose_config(
    display: *mut c_void,
    wishes: *const c_int,
    list: *mut *mut c_void,
    room: c_int,
    count: *mut c_int,
) -> u32 {
    on(display, |native| {
        // SAFETY: the program's.
        unsafe { give(&config::choose(configs(native), &pairs(wishes, NONE)), list, room, count) }
    })
}

unsafe extern "C" fn get_config_attrib(
    display: *mut c_void,
    config: *mut c_void,
    name: c_int,
    value: *mut c_int,
) -> u32 {
    on(display, |native| {
        let Some(config) = config_at(native, config) else { return fail(BAD_CONFIG) };
        let Some(is) = config::get(config, name) else { return fail(BAD_ATTRIBUTE) };
        // SAFETY: the program's.
        unsafe { raw::set(value, is) };
        1
    })
}

unsafe extern "C" fn create_context(
    display: *mut c_void,
    config: *mut c_void,
    share: *mut c_void,
    list: *const c_int,
) -> Address {
    on(display, |native| {
        // A context without a configuration fits any.
        let config = config_at(native, config).or_else(|| configs(native).first());
        let Some(config) = config else { return fail(BAD_CONFIG) };
        let mut wishes = Wishes { major: 1, es: wants_es(), ..Wishes::default() };
        let mut profile = 1;
        // SAFETY: the program's.
        for (name, value) in unsafe { pairs(list, NONE) } {
            match name {
                0x3098 => wishes.major = value.cast_unsigned(),
                0x30fb => wishes.minor = value.cast_unsigned(),
                0x30fc => wishes.flags = value.cast_unsigned(),
                0x30fd => profile = value,
                _ => {}
            }
        }
        wishes.core = profile == 1 && !wishes.es;
        let made = with_program(|program| Address(program.create(config, share, wishes).cast_const().cast()));
        if made == Address::default() { fail(BAD_MATCH) } else { made }
    })
}

unsafe extern "C" fn destroy_context(display: *mut c_void, context: *mut c_void) -> u32 {
    on(display, |_| {
        with_program(|program| program.destroy(context));
        1
    })
}

unsafe extern "C" fn make_current(
    display: *mut c_void,
    draw: *mut c_void,
    read: *mut c_void,
    context: *mut c_void,
) -> u32 {
    on(display, |native| {
        let find = |address: *mut c_void| {
            if address.is_null() { Some(0) } else { surface(address).map(|(xid, _)| xid) }
        };
        let (Some(draw), Some(read)) = (find(draw), find(read)) else { return fail(BAD_SURFACE) };
        if with_program(|program| program.make_current(native, draw, read, context)) {
            1
        } else {
            fail(BAD_CONTEXT)
        }
    })
}

unsafe extern "C" fn query_context(
    display: *mut c_void,
    context: *mut c_void,
    name: c_int,
    value: *mut c_int,
) -> u32 {
    on(display, |_| {
        let is = with_program(|program| {
            let handle = program.handles.get(&context.addr())?;
            let state = &program.contexts.get(&handle.context)?.state;
            match name {
                0x3028 => Some(handle.config.id),
                0x3097 => Some(if state.api == 2 { 0x30a0 } else { 0x30a2 }),
                0x3098 => c_int::try_from(state.strings.version.0).ok(),
                // The back buffer.
                0x3086 => Some(0x3084),
                _ => None,
            }
        });
        let Some(is) = is else { return fail(BAD_ATTRIBUTE) };
        // SAFETY: the program's.
        unsafe { raw::set(value, is) };
        1
    })
}

fn window_surface(native: *mut Display, config: *mut c_void, window: u64) -> Address {
    let Some(config) = config_at(native, config) else { return fail(BAD_CONFIG) };
    if with_program(|program| program.drawable(native, window, config)).is_none() {
        return fail(BAD_NATIVE_WINDOW);
    }
    new_surface(window, false)
}

unsafe extern "C" fn create_window_surface(
    display: *mut c_void,
    config: *mut c_void,
    window: u64,
    _list: *const c_int,
) -> Address {
    on(display, |native| window_surface(native, config, window))
}

unsafe extern "C" fn create_platform_window_surface(
    display: *mut c_void,
    config: *mut c_void,
    window: *const u64,
    _list: *const isize,
) -> Address {
    on(display, |native| {
        // SAFETY: the program's: on X11 it gives the place of the window's id.
        match unsafe { window.as_ref() } {
            Some(window) => window_surface(native, config, *window),
            None => fail(BAD_NATIVE_WINDOW),
        }
    })
}

unsafe extern "C" fn create_pbuffer_surface(
    display: *mut c_void,
    config: *mut c_void,
    list: *const c_int,
) -> Address {
    on(display, |native| {
        let Some(config) = config_at(native, config) else { return fail(BAD_CONFIG) };
        // SAFETY: the program's.
        let wishes = unsafe { pairs(list, NONE) };
        let side = |name| {
            let wish = wishes.iter().find(|(wish, _)| *wish == name);
            wish.map_or(1, |(_, side)| u32::try_from(*side).unwrap_or(1))
        };
        let size = Geometry { width: side(0x3057), height: side(0x3056) };
        match with_program(|program| program.pbuffer(native, size, config)) {
            Some(xid) => new_surface(xid, true),
            None => fail(BAD_MATCH),
        }
    })
}

unsafe extern "C" fn no_surface(display: *mut c_void) -> Address {
    on(display, |_| fail(BAD_MATCH))
}

unsafe extern "C" fn destroy_surface(display: *mut c_void, address: *mut c_void) -> u32 {
    on(display, |_| {
        let mut surfaces = SURFACES.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((xid, pbuffer)) = surfaces.as_mut().and_then(|all| all.remove(&address.addr())) else {
            return fail(BAD_SURFACE);
        };
        drop(surfaces);
        // SAFETY: it was made by `new_surface` from a box, and nobody has it any more.
        drop(unsafe { Box::from_raw(address.cast::<u64>()) });
        if pbuffer {
            with_program(|program| program.forget(xid));
        }
        1
    })
}

unsafe extern "C" fn query_surface(
    display: *mut c_void,
    address: *mut c_void,
    name: c_int,
    value: *mut c_int,
) -> u32 {
    on(display, |_| {
        let Some((xid, _)) = surface(address) else { return fail(BAD_SURFACE) };
        let is = with_program(|program| {
            program.look();
            let it = program.drawables.get(&xid)?;
            match name {
                0x3057 => c_int::try_from(it.size.width).ok(),
                0x3056 => c_int::try_from(it.size.height).ok(),
                0x3028 => Some(it.config),
                0x3086 => Some(0x3084),
                0x3031 => Some(it.samples.into()),
                0x3032 => Some(i32::from(it.samples > 0)),
                // What was drawn is gone after a swap.
                0x3093 => Some(0x3095),
                _ => Some(0),
            }
        });
        let Some(is) = is else { return fail(BAD_SURFACE) };
        // SAFETY: the program's.
        unsafe { raw::set(value, is) };
        1
    })
}

unsafe extern "C" fn swap_buffers(display: *mut c_void, address: *mut c_void) -> u32 {
    on(display, |_| {
        let Some((xid, _)) = surface(address) else { return fail(BAD_SURFACE) };
        swap(xid);
        1
    })
}

unsafe extern "C" fn swap_interval(display: *mut c_void, interval: c_int) -> u32 {
    on(display, |_| {
        set_interval(None, interval.max(0));
        1
    })
}

/// Of surfaces nothing can be set that would change anything here.
unsafe extern "C" fn accept(display: *mut c_void) -> u32 {
    on(display, |_| 1)
}

unsafe extern "C" fn refuse(display: *mut c_void) -> u32 {
    on(display, |_| fail(BAD_MATCH))
}

/// No configuration's pixmaps can be drawn on, and nothing is copied to one.
unsafe extern "C" fn copy_buffers(display: *mut c_void) -> u32 {
    on(display, |_| fail(BAD_NATIVE_PIXMAP))
}

unsafe extern "C" fn query_string(display: *mut c_void, name: c_int) -> *const c_char {
    let text = on(display, |_| {
        let text = match name {
            0x3053 => c"VMGL",
            0x3054 => TEXTS.0,
            0x3055 => TEXTS.1,
            0x308d => c"OpenGL OpenGL_ES",
            _ => return fail(BAD_PARAMETER),
        };
        Address(text.as_ptr().cast())
    });
    text.0.cast()
}

unsafe extern "C" fn wait_client() -> u32 {
    crate::core::enter(|cx| cx.wire.flush());
    1
}

unsafe extern "C" fn wait_native(_engine: c_int) -> u32 {
    1
}

unsafe extern "C" fn get_error() -> c_int {
    ERROR.replace(SUCCESS)
}

unsafe extern "C" fn release_thread() -> u32 {
    with_program(|program| program.make_current(std::ptr::null_mut(), 0, 0, std::ptr::null_mut()));
    1
}

static FUNCTIONS: &[(&str, Address)] = &[
    ("eglBindTexImage", Address(refuse as *const ())),
    ("eglChooseConfig", Address(choose_config as *const ())),
    ("eglCopyBuffers", Address(copy_buffers as *const ())),
    ("eglCreateContext", Address(create_context as *const ())),
    ("eglCreatePbufferFromClientBuffer", Address(no_surface as *const ())),
    ("eglCreatePbufferSurface", Address(create_pbuffer_surface as *const ())),
    ("eglCreatePixmapSurface", Address(no_surface as *const ())),
    ("eglCreatePlatformPixmapSurface", Address(no_surface as *const ())),
    ("eglCreatePlatformWindowSurface", Address(create_platform_window_surface as *const ())),
    ("eglCreateWindowSurface", Address(create_window_surface as *const ())),
    ("eglDestroyContext", Address(destroy_context as *const ())),
    ("eglDestroySurface", Address(destroy_surface as *const ())),
    ("eglGetConfigAttrib", Address(get_config_attrib as *const ())),
    ("eglGetConfigs", Address(get_configs as *const ())),
    ("eglGetError", Address(get_error as *const ())),
    ("eglInitialize", Address(initialize as *const ())),
    ("eglMakeCurrent", Address(make_current as *const ())),
    ("eglQueryContext", Address(query_context as *const ())),
    ("eglQueryString", Address(query_string as *const ())),
    ("eglQuerySurface", Address(query_surface as *const ())),
    ("eglReleaseTexImage", Address(refuse as *const ())),
    ("eglReleaseThread", Address(release_thread as *const ())),
    ("eglSurfaceAttrib", Address(accept as *const ())),
    ("eglSwapBuffers", Address(swap_buffers as *const ())),
    ("eglSwapInterval", Address(swap_interval as *const ())),
    ("eglTerminate", Address(terminate as *const ())),
    ("eglWaitClient", Address(wait_client as *const ())),
    ("eglWaitGL", Address(wait_client as *const ())),
    ("eglWaitNative", Address(wait_native as *const ())),
];

/// The function of EGL of that name.
pub(super) fn find(name: &str) -> Option<*const ()> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, address)| address.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{FUNCTIONS, TEXTS, VERSION};
    use crate::told::absent;

    /// What libglvnd answers itself, of what it knows of displays and of the current context.
    const LIBGLVND: &[&str] = &[
        "eglBindAPI",
        "eglGetCurrentContext",
        "eglGetCurrentDisplay",
        "eglGetCurrentSurface",
        "eglGetDisplay",
        "eglGetProcAddress",
        "eglQueryAPI",
    ];

    #[test]
    fn every_function_of_the_version_and_of_the_extensions_that_are_told_is_there() {
        let there =
            |name: &str| LIBGLVND.contains(&name) || FUNCTIONS.iter().any(|(known, _)| *known == name);
        let (version, extensions) = (TEXTS.0.to_str().unwrap(), TEXTS.1.to_str().unwrap());
        assert!(version.starts_with(&format!("{}.{} ", VERSION.0, VERSION.1)));
        assert_eq!(absent(khronos_api::EGL_XML, VERSION, extensions, there), [""; 0]);
        assert!(!absent(khronos_api::EGL_XML, (1, 5), "", there).is_empty(), "1.5 may be told, too");
    }
}
