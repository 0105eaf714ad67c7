//! GLX as a program finds it in a `libGL.so.1`: where libglvnd is missing, this library is put in its place under that name.
//!
//! What libglvnd does for vendors is done here: connecting before the first call, finding functions by name, knowing what
//! is current. Without a renderer at the desk a process beside the program draws ([`crate::renderer::served`]): there is nobody
//! else whom the program's calls would reach. The same of EGL is in `egl/own.rs`.

use std::cell::Cell;
use std::ffi::CStr;

use super::*;
use crate::glx::abi::get_proc_address;
use crate::renderer::served;

/// What a thread draws on and with.
#[derive(Debug, Clone, Copy)]
struct Current {
    display: *mut Display,
    draw: c_ulong,
    read: c_ulong,
    context: *mut c_void,
}

const NOTHING: Current =
    Current { display: std::ptr::null_mut(), draw: 0, read: 0, context: std::ptr::null_mut() };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOTHING) };
}

fn begin() {
    // Where nobody draws, that has been said when somebody was looked for.
    let _is_there = guard(served);
}

macro_rules! exported {
    ($($name:ident $function:ident($($argument:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) $(-> $ret)? {
            begin();
            // SAFETY: the program gives what GLX asks of it.
            unsafe { $function($($argument),*) }
        }
    )*};
}

exported! {
    glXChooseFBConfig choose_fb_config(display: *mut Display, screen: c_int, list: *const c_int, count: *mut c_int) -> Address;
    glXChooseVisual choose_visual(display: *mut Display, screen: c_int, list: *const c_int) -> Address;
    glXCopyContext copy_context(a0: *mut Display, a1: *mut c_void, a2: *mut c_void, a3: c_ulong);
    glXCreateContext create_context(display: *mut Display, info: *const VisualInfo, share: *mut c_void, direct: c_int) -> Address;
    glXCreateContextAttribsARB create_context_attribs(display: *mut Display, config: *mut c_void, share: *mut c_void, direct: c_int, list: *const c_int) -> Address;
    glXCreateGLXPixmap create_glx_pixmap(display: *mut Display, info: *const VisualInfo, pixmap: c_ulong) -> c_ulong;
    glXCreateNewContext create_new_context(display: *mut Display, config: *mut c_void, kind: c_int, share: *mut c_void, direct: c_int) -> Address;
    glXCreatePbuffer create_pbuffer(display: *mut Display, config: *mut c_void, list: *const c_int) -> c_ulong;
    glXCreatePixmap create_pixmap(display: *mut Display, config: *mut c_void, pixmap: c_ulong, list: *const c_int) -> c_ulong;
    glXCreateWindow create_window(display: *mut Display, config: *mut c_void, window: c_ulong, list: *const c_int) -> c_ulong;
    glXDestroyContext destroy_context(display: *mut Display, context: *mut c_void);
    glXDestroyGLXPixmap destroy_pixmap(display: *mut Display, pixmap: c_ulong);
    glXDestroyPbuffer destroy_pbuffer(display: *mut Display, pbuffer: c_ulong);
    glXDestroyPixmap destroy_pixmap(display: *mut Display, pixmap: c_ulong);
    glXDestroyWindow destroy_window(display: *mut Display, window: c_ulong);
    glXGetClientString get_client_string(display: *mut Display, name: c_int) -> *const c_char;
    glXGetConfig get_config(display: *mut Display, info: *const VisualInfo, name: c_int, value: *mut c_int) -> c_int;
    glXGetFBConfigAttrib get_fb_config_attrib(display: *mut Display, config: *mut c_void, name: c_int, value: *mut c_int) -> c_int;
    glXGetFBConfigs get_fb_configs(display: *mut Display, screen: c_int, count: *mut c_int) -> Address;
    glXGetSelectedEvent get_selected_event(a0: *mut Display, a1: c_ulong, mask: *mut c_ulong);
    glXGetSwapIntervalMESA get_swap_interval_mesa() -> c_int;
    glXGetVisualFromFBConfig get_visual_from_fb_config(display: *mut Display, config: *mut c_void) -> Address;
    glXIsDirect is_direct(display: *mut Display, context: *mut c_void) -> c_int;
    glXQueryContext query_context(display: *mut Display, context: *mut c_void, name: c_int, value: *mut c_int) -> c_int;
    glXQueryDrawable query_drawable(display: *mut Display, drawable: c_ulong, name: c_int, value: *mut u32);
    glXQueryExtensionsString query_extensions_string(display: *mut Display, screen: c_int) -> *const c_char;
    glXQueryServerString query_server_string(a0: *mut Display, screen: c_int, name: c_int) -> *const c_char;
    glXQueryVersion query_version(a0: *mut Display, major: *mut c_int, minor: *mut c_int) -> c_int;
    glXSelectEvent select_event(a0: *mut Display, a1: c_ulong, a2: c_ulong);
    glXSwapBuffers swap_buffers(display: *mut Display, drawable: c_ulong);
    glXSwapIntervalEXT swap_interval_ext(display: *mut Display, drawable: c_ulong, interval: c_int);
    glXSwapIntervalMESA swap_interval_mesa(interval: u32) -> c_int;
    glXSwapIntervalSGI swap_interval_sgi(interval: c_int) -> c_int;
    glXUseXFont use_x_font(font: c_ulong, first: c_int, count: c_int, base: c_int);
    glXWaitGL wait_gl();
    glXWaitX wait_x();
}

fn keep(display: *mut Display, draw: c_ulong, read: c_ulong, context: *mut c_void, made: c_int) -> c_int {
    if made != 0 {
        let now = Current { display, draw, read, context };
        CURRENT.set(if context.is_null() { NOTHING } else { now });
    }
    made
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glXMakeCurrent(display: *mut Display, drawable: c_ulong, context: *mut c_void) -> c_int {
    begin();
    // SAFETY: the program gives what GLX asks of it.
    let made = unsafe { make_current(display, drawable, context) };
    keep(display, drawable, drawable, context, made)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glXMakeContextCurrent(
    display: *mut Display,
    draw: c_ulong,
    read: c_ulong,
    context: *mut c_void,
) -> c_int {
    begin();
    // SAFETY: as above.
    let made = unsafe { make_context_current(display, draw, read, context) };
    keep(display, draw, read, context, made)
}

#[unsafe(no_mangle)]
extern "C" fn glXGetCurrentContext() -> *mut c_void {
    CURRENT.get().context
}

#[unsafe(no_mangle)]
extern "C" fn glXGetCurrentDisplay() -> *mut Display {
    CURRENT.get().display
}

#[unsafe(no_mangle)]
extern "C" fn glXGetCurrentDrawable() -> c_ulong {
    CURRENT.get().draw
}

#[unsafe(no_mangle)]
extern "C" fn glXGetCurrentReadDrawable() -> c_ulong {
    CURRENT.get().read
}

/// The extension of the X server's is not needed: that there are no numbers of events and errors hurts nobody.
#[unsafe(no_mangle)]
unsafe extern "C" fn glXQueryExtension(_: *mut Display, error: *mut c_int, event: *mut c_int) -> c_int {
    begin();
    // SAFETY: the program's.
    unsafe {
        crate::raw::set(error, 0);
        crate::raw::set(event, 0);
    }
    c_int::from(guard(served))
}

/// What is answered here, and not by what a vendor has: programs that find all of GLX by name must get these.
const OWN: [(&CStr, Address); 9] = [
    (c"glXGetCurrentContext", Address(glXGetCurrentContext as *const ())),
    (c"glXGetCurrentDisplay", Address(glXGetCurrentDisplay as *const ())),
    (c"glXGetCurrentDrawable", Address(glXGetCurrentDrawable as *const ())),
    (c"glXGetCurrentReadDrawable", Address(glXGetCurrentReadDrawable as *const ())),
    (c"glXGetProcAddress", Address(glXGetProcAddress as *const ())),
    (c"glXGetProcAddressARB", Address(glXGetProcAddressARB as *const ())),
    (c"glXMakeContextCurrent", Address(glXMakeContextCurrent as *const ())),
    (c"glXMakeCurrent", Address(glXMakeCurrent as *const ())),
    (c"glXQueryExtension", Address(glXQueryExtension as *const ())),
];

#[unsafe(no_mangle)]
unsafe extern "C" fn glXGetProcAddressARB(name: *const c_char) -> *const () {
    if name.is_null() {
        return std::ptr::null();
    }
    // SAFETY: the program gives a text with a NUL at its end.
    let text = unsafe { CStr::from_ptr(name) };
    if let Some((_, own)) = OWN.iter().find(|(known, _)| *known == text) {
        return own.0;
    }
    begin();
    // SAFETY: as above.
    unsafe { get_proc_address(name) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glXGetProcAddress(name: *const c_char) -> *const () {
    // SAFETY: as above.
    unsafe { glXGetProcAddressARB(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_a_context_current_by_a_function_found_by_name_is_asked_for_it_here() {
        for (name, function) in OWN {
            // SAFETY: a text with a NUL at its end.
            assert_eq!(unsafe { glXGetProcAddress(name.as_ptr()) }, function.0, "{name:?}");
        }
        let made = keep(std::ptr::null_mut(), 7, 8, std::ptr::without_provenance_mut(9), 1);
        assert_eq!((made, glXGetCurrentDrawable(), glXGetCurrentReadDrawable()), (1, 7, 8));
        assert_eq!(glXGetCurrentContext().addr(), 9);
    }
}
