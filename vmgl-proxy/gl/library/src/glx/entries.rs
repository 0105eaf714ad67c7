//! The functions of GLX, and those of extensions whose vendor libglvnd must be helped to find.

use std::ffi::{c_char, c_int, c_ulong, c_void};

use super::abi::{By, Display, dispatch, mapped};
use super::config::{self, Config};
use super::context::Wishes;
use super::font;
use super::pixmap;
use super::x::{self, Geometry, VisualInfo};
use crate::core::{guard, with_program};
use crate::entries::Address;
use crate::link::{Link, log};

#[path = "own.rs"]
mod own;

const BAD_ATTRIBUTE: c_int = 2;
const BAD_VISUAL: c_int = 4;

/// Pairs of a list of attributes up to its end.
pub(crate) unsafe fn pairs(list: *const c_int, end: c_int) -> Vec<(i32, i32)> {
    let mut pairs = Vec::new();
    if list.is_null() {
        return pairs;
    }
    // Nobody has so many wishes; a list without its end is not followed for ever.
    for index in 0..128 {
        // SAFETY: the caller's: the list has its end.
        let (name, value) = unsafe {
            let name = list.add(index * 2).read();
            if name == end {
                break;
            }
            (name, list.add(index * 2 + 1).read())
        };
        pairs.push((name, value));
    }
    pairs
}

/// The list of `glXChooseVisual`: some of its attributes stand alone.
unsafe fn visual_wishes(list: *const c_int) -> Vec<(i32, i32)> {
    let mut wishes = Vec::new();
    let mut at = list;
    while !at.is_null() && wishes.len() < 128 {
        // SAFETY: the caller's: the list has its end.
        let name = unsafe { at.read() };
        let alone = matches!(name, 1 | 4 | 5 | 6);
        if name == 0 {
            break;
        }
        // SAFETY: as above: an attribute that does not stand alone has a value behind it.
        let value = if alone { 1 } else { unsafe { at.add(1).read() } };
        wishes.push((name, value));
        at = at.wrapping_add(if alone { 1 } else { 2 });
    }
    wishes
}

/// The configuration behind an address that we gave.
unsafe fn config_at(address: *mut c_void) -> Option<&'static Config> {
    // SAFETY: the program has it of us; configurations stay for ever.
    unsafe { address.cast::<Config>().as_ref() }
}

fn address_of(config: &'static Config) -> *mut c_void {
    std::ptr::from_ref(config).cast_mut().cast()
}

/// The configuration that a visual stands for.
unsafe fn config_of(display: *mut Display, info: *const VisualInfo) -> Option<&'static Config> {
    // SAFETY: the caller's.
    let info = unsafe { info.as_ref() }?;
    let configs = with_program(|program| program.configs(display, info.screen));
    let visual = u32::try_from(info.visual_id).ok()?;
    // A visual of the server's that none is made of is drawn on with two buffers.
    configs.iter().find(|config| config.visual == visual).or_else(|| configs.first())
}

unsafe extern "C" fn choose_visual(display: *mut Display, screen: c_int, list: *const c_int) -> Address {
    guard(|| {
        // SAFETY: the program's.
        let wishes = unsafe { visual_wishes(list) };
        let configs = with_program(|program| program.configs(display, screen));
        let chosen = config::choose_visual(configs, &wishes);
        let info = chosen.map(|config| x::visual_info(display, screen, config.visual));
        Address(info.unwrap_or(std::ptr::null_mut()).cast_const().cast())
    })
}

/// Addresses of configurations in memory that the program frees.
fn list_of(configs: &[&'static Config], count: *mut c_int) -> Address {
    let bytes = std::mem::size_of::<*mut c_void>() * configs.len().max(1);
    // SAFETY: the program's; and what `malloc` gives is as large as was asked for.
    unsafe {
        crate::raw::set(count, c_int::try_from(configs.len()).unwrap_or(0));
        if configs.is_empty() {
            return Address::default();
        }
        let list = libc::malloc(bytes).cast::<*mut c_void>();
        if !list.is_null() {
            for (index, config) in configs.iter().enumerate() {
                list.add(index).write(address_of(config));
            }
        }
        Address(list.cast_const().cast())
    }
}

unsafe extern "C" fn choose_fb_config(
    display: *mut Display,
    screen: c_int,
    list: *const c_int,
    count: *mut c_int,
) -> Address {
    guard(|| {
        // SAFETY: the program's.
        let wishes = unsafe { pairs(list, 0) };
        let configs = with_program(|program| program.configs(display, screen));
        list_of(&config::choose(configs, &wishes), count)
    })
}

unsafe extern "C" fn get_fb_configs(display: *mut Display, screen: c_int, count: *mut c_int) -> Address {
    guard(|| {
        let configs = with_program(|program| program.configs(display, screen));
        list_of(&configs.iter().collect::<Vec<_>>(), count)
    })
}

unsafe fn attribute(config: Option<&Config>, attribute: c_int, value: *mut c_int, absent: c_int) -> c_int {
    let Some(config) = config else { return absent };
    match config.get(attribute) {
        Some(is) => {
            // SAFETY: the program's.
            unsafe { crate::raw::set(value, is) };
            0
        }
        None => BAD_ATTRIBUTE,
    }
}

unsafe extern "C" fn get_fb_config_attrib(
    _display: *mut Display,
    config: *mut c_void,
    name: c_int,
    value: *mut c_int,
) -> c_int {
    // SAFETY: the program's.
    guard(|| unsafe { attribute(config_at(config), name, value, BAD_ATTRIBUTE) })
}

unsafe extern "C" fn get_config(
    display: *mut Display,
    info: *const VisualInfo,
    name: c_int,
    value: *mut c_int,
) -> c_int {
    guard(|| {
        // SAFETY: the program's.
        let info = unsafe { info.as_ref() };
        let Some(info) = info else { return BAD_VISUAL };
        let configs = with_program(|program| program.configs(display, info.screen));
        let config = configs.iter().find(|config| u64::from(config.visual) == info.visual_id);
        if config.is_none() && name == 1 {
            // Other visuals cannot be drawn with.
            // SAFETY: the program's.
            unsafe { crate::raw::set(value, 0) };
            return 0;
        }
        // SAFETY: the program's.
        unsafe { attribute(config, name, value, BAD_VISUAL) }
    })
}

unsafe extern "C" fn get_visual_from_fb_config(display: *mut Display, config: *mut c_void) -> Address {
    guard(|| {
        // SAFETY: the program's.
        let Some(config) = (unsafe { config_at(config) }) else { return Address::default() };
        Address(x::visual_info(display, config.screen, config.visual).cast_const().cast())
    })
}

fn create(config: Option<&'static Config>, share: *mut c_void, wishes: Wishes) -> Address {
    let Some(config) = config else { return Address::default() };
    with_program(|program| Address(program.create(config, share, wishes).cast_const().cast()))
}

unsafe extern "C" fn create_context(
    display: *mut Display,
    info: *const VisualInfo,
    share: *mut c_void,
    _direct: c_int,
) -> Address {
    // SAFETY: the program's.
    guard(|| create(unsafe { config_of(display, info) }, share, Wishes::default()))
}

unsafe extern "C" fn create_new_context(
    _display: *mut Display,
    config: *mut c_void,
    _kind: c_int,
    share: *mut c_void,
    _direct: c_int,
) -> Address {
    // SAFETY: the program's.
    guard(|| create(unsafe { config_at(config) }, share, Wishes::default()))
}

unsafe extern "C" fn create_context_attribs(
    _display: *mut Display,
    config: *mut c_void,
    share: *mut c_void,
    _direct: c_int,
    list: *const c_int,
) -> Address {
    guard(|| {
        let mut wishes = Wishes { major: 1, ..Wishes::default() };
        let mut profile = 1;
        // SAFETY: the program's.
        for (name, value) in unsafe { pairs(list, 0) } {
            match name {
                0x2091 => wishes.major = value.cast_unsigned(),
                0x2092 => wishes.minor = value.cast_unsigned(),
                0x2094 => wishes.flags = value.cast_unsigned(),
                0x9126 => profile = value,
                _ => {}
            }
        }
        // Profiles of OpenGL ES are EGL's.
        if profile & !3 != 0 {
            return Address::default();
        }
        wishes.core = profile == 1;
        // SAFETY: the program's.
        create(unsafe { config_at(config) }, share, wishes)
    })
}

unsafe extern "C" fn destroy_context(_display: *mut Display, context: *mut c_void) {
    with_program(|program| program.destroy(context));
}

unsafe extern "C" fn copy_context(_: *mut Display, _: *mut c_void, _: *mut c_void, _: c_ulong) {
    log(format_args!("glXCopyContext is not there; the program calls it"));
}

unsafe extern "C" fn is_direct(_display: *mut Display, _context: *mut c_void) -> c_int {
    1
}

unsafe extern "C" fn make_context_current(
    display: *mut Display,
    draw: c_ulong,
    read: c_ulong,
    context: *mut c_void,
) -> c_int {
    pixmap::finish();
    with_program(|program| c_int::from(program.make_current(display, draw, read, context)))
}

unsafe extern "C" fn make_current(display: *mut Display, drawable: c_ulong, context: *mut c_void) -> c_int {
    pixmap::finish();
    with_program(|program| c_int::from(program.make_current(display, drawable, drawable, context)))
}

unsafe extern "C" fn query_context(
    _display: *mut Display,
    context: *mut c_void,
    name: c_int,
    value: *mut c_int,
) -> c_int {
    guard(|| {
        let config = with_program(|program| program.handles.get(&context.addr()).map(|it| it.config));
        // SAFETY: the program's.
        unsafe { attribute(config, name, value, BAD_ATTRIBUTE) }
    })
}

unsafe extern "C" fn swap_buffers(_display: *mut Display, drawable: c_ulong) {
    swap(drawable);
}

/// A picture of a drawable is complete: sends it, and waits if enough are on their way.
pub(crate) fn swap(drawable: u64) {
    // Who waits here keeps nobody else from working.
    let sent: Option<(Link, u32)> =
        with_program(|program| program.swap(drawable).map(|drawable| (program.wire.link.clone(), drawable)));
    if let Some((link, drawable)) = sent {
        return guard(|| link.swap(drawable));
    }
    pixmap::swap(drawable);
}

unsafe extern "C" fn create_window(
    _display: *mut Display,
    _config: *mut c_void,
    window: c_ulong,
    _list: *const c_int,
) -> c_ulong {
    // The window itself is what is drawn on.
    window
}

unsafe extern "C" fn destroy_window(_display: *mut Display, _window: c_ulong) {}

unsafe extern "C" fn create_pbuffer(
    display: *mut Display,
    config: *mut c_void,
    list: *const c_int,
) -> c_ulong {
    guard(|| {
        // SAFETY: the program's.
        let (wishes, config) = unsafe { (pairs(list, 0), config_at(config)) };
        let side = |name| {
            let wish = wishes.iter().find(|(wish, _)| *wish == name);
            wish.map_or(1, |(_, side)| u32::try_from(*side).unwrap_or(1))
        };
        let size = Geometry { width: side(0x8041), height: side(0x8040) };
        config.and_then(|config| with_program(|program| program.pbuffer(display, size, config))).unwrap_or(0)
    })
}

unsafe extern "C" fn destroy_pbuffer(_display: *mut Display, pbuffer: c_ulong) {
    with_program(|program| program.forget(pbuffer));
}

unsafe extern "C" fn create_pixmap(
    display: *mut Display,
    config: *mut c_void,
    pixmap: c_ulong,
    _list: *const c_int,
) -> c_ulong {
    guard(|| {
        // SAFETY: the program's.
        let config = unsafe { config_at(config) };
        config.and_then(|config| with_program(|program| program.pixmap(display, pixmap, config))).unwrap_or(0)
    })
}

unsafe extern "C" fn create_glx_pixmap(
    display: *mut Display,
    info: *const VisualInfo,
    pixmap: c_ulong,
) -> c_ulong {
    guard(|| {
        // SAFETY: the program's.
        let config = unsafe { config_of(display, info) };
        config.and_then(|config| with_program(|program| program.pixmap(display, pixmap, config))).unwrap_or(0)
    })
}

unsafe extern "C" fn destroy_pixmap(_display: *mut Display, pixmap: c_ulong) {
    with_program(|program| program.forget(pixmap));
}

unsafe extern "C" fn query_drawable(display: *mut Display, drawable: c_ulong, name: c_int, value: *mut u32) {
    let is: Option<u32> = with_program(|program| {
        program.look();
        if let Some(it) = program.drawables.get(&drawable) {
            return match name {
                0x801d => Some(it.size.width),
                0x801e => Some(it.size.height),
                0x8013 => Some(it.config.cast_unsigned()),
                0x801b | 0x801c => Some(0),
                0x20f1 => Some(it.interval),
                0x20f2 => Some(60),
                _ => None,
            };
        }
        let size = program.server(display)?.size(u32::try_from(drawable).ok()?)?;
        match name {
            0x801d => Some(size.width),
            0x801e => Some(size.height),
            _ => None,
        }
    });
    if let Some(is) = is {
        // SAFETY: the program's.
        unsafe { crate::raw::set(value, is) };
    }
}

unsafe extern "C" fn get_selected_event(_: *mut Display, _: c_ulong, mask: *mut c_ulong) {
    // SAFETY: the program's.
    unsafe { crate::raw::set(mask, 0) };
}

/// Pbuffers are never lost: there is no event to be told of.
unsafe extern "C" fn select_event(_: *mut Display, _: c_ulong, _: c_ulong) {}

/// The version.
const VERSION: (c_int, c_int) = (1, 4);
const VERSION_TEXT: &std::ffi::CStr = c"1.4";
/// That of several samples a pixel is in the version, too; who does not find its name takes a visual of many for one of one.
const EXTENSIONS: &std::ffi::CStr =
    c"GLX_ARB_create_context GLX_ARB_create_context_profile GLX_ARB_get_proc_address GLX_ARB_multisample \
      GLX_EXT_swap_control GLX_MESA_swap_control GLX_SGI_swap_control";

unsafe extern "C" fn query_extensions_string(_display: *mut Display, _screen: c_int) -> *const c_char {
    EXTENSIONS.as_ptr()
}

fn string(name: c_int) -> *const c_char {
    match name {
        1 => c"VMGL".as_ptr(),
        2 => VERSION_TEXT.as_ptr(),
        3 => EXTENSIONS.as_ptr(),
        _ => std::ptr::null(),
    }
}

unsafe extern "C" fn query_server_string(_: *mut Display, _screen: c_int, name: c_int) -> *const c_char {
    string(name)
}

unsafe extern "C" fn get_client_string(_display: *mut Display, name: c_int) -> *const c_char {
    string(name)
}

unsafe extern "C" fn query_version(_: *mut Display, major: *mut c_int, minor: *mut c_int) -> c_int {
    // SAFETY: the program's.
    unsafe {
        crate::raw::set(major, VERSION.0);
        crate::raw::set(minor, VERSION.1);
    }
    1
}

unsafe extern "C" fn use_x_font(font: c_ulong, first: c_int, count: c_int, base: c_int) {
    guard(|| {
        let (Ok(font), Ok(first), Ok(count)) =
            (u32::try_from(font), u32::try_from(first), u32::try_from(count))
        else {
            return;
        };
        match with_program(|program| program.glyphs(font, first, count)) {
            Some(glyphs) => crate::core::enter(|cx| font::record(cx, base.cast_unsigned(), &glyphs)),
            None => log(format_args!("glXUseXFont: the X server gives nothing of the font {font:#x}")),
        }
    });
}

unsafe extern "C" fn wait_gl() {
    pixmap::finish();
}

/// What X draws is drawn in the agent: there is nothing to wait for.
unsafe extern "C" fn wait_x() {}

/// Most windows whose interval is kept until they are drawn on.
const EARLY: usize = 256;

/// The interval of a window, or of the one that the thread draws on.
pub(crate) fn set_interval(drawable: Option<c_ulong>, interval: c_int) -> c_int {
    let context = crate::core::current();
    with_program(|program| {
        let current = program.contexts.get(&context).map(|it| it.draw);
        let interval = interval.unsigned_abs();
        if let Some(window) = drawable.filter(|window| !program.drawables.contains_key(window))
            && program.intervals.len() < EARLY
        {
            program.intervals.insert(window, interval);
        }
        for (xid, it) in &mut program.drawables {
            if drawable.map_or(Some(it.id) == current, |drawable| drawable == *xid) {
                it.interval = interval;
            }
        }
    });
    0
}

unsafe extern "C" fn swap_interval_ext(_display: *mut Display, drawable: c_ulong, interval: c_int) {
    set_interval(Some(drawable), interval);
}

unsafe extern "C" fn swap_interval_sgi(interval: c_int) -> c_int {
    // Of SGI's extension nought is no interval.
    if interval <= 0 { 6 } else { set_interval(None, interval) }
}

unsafe extern "C" fn swap_interval_mesa(interval: u32) -> c_int {
    set_interval(None, c_int::try_from(interval).unwrap_or(c_int::MAX))
}

unsafe extern "C" fn get_swap_interval_mesa() -> c_int {
    let context = crate::core::current();
    with_program(|program| {
        let current = program.contexts.get(&context).map(|it| it.draw);
        let it = program.drawables.values().find(|it| Some(it.id) == current);
        it.map_or(0, |it| c_int::try_from(it.interval).unwrap_or(0))
    })
}

macro_rules! call {
    ($place:expr, $by:expr, $type:ty, $($argument:expr),*) => {
        // SAFETY: libglvnd gives the function of that name, whose type this is.
        dispatch($place, $by).map(|function| unsafe {
            std::mem::transmute::<*const (), $type>(function)($($argument),*)
        })
    };
}

unsafe extern "C" fn dispatch_create(
    display: *mut Display,
    config: *mut c_void,
    share: *mut c_void,
    direct: c_int,
    list: *const c_int,
) -> *mut c_void {
    type Create =
        unsafe extern "C" fn(*mut Display, *mut c_void, *mut c_void, c_int, *const c_int) -> *mut c_void;
    let made = call!(0, By::Config(display, config), Create, display, config, share, direct, list);
    match made {
        Some(context) if !context.is_null() && mapped(display, config, context) => context,
        _ => std::ptr::null_mut(),
    }
}

unsafe extern "C" fn dispatch_interval_ext(display: *mut Display, drawable: c_ulong, interval: c_int) {
    type Set = unsafe extern "C" fn(*mut Display, c_ulong, c_int);
    let _done = call!(1, By::Drawable(display, drawable), Set, display, drawable, interval);
}

unsafe extern "C" fn dispatch_interval_sgi(interval: c_int) -> c_int {
    call!(2, By::Current, unsafe extern "C" fn(c_int) -> c_int, interval).unwrap_or(5)
}

unsafe extern "C" fn dispatch_interval_mesa(interval: u32) -> c_int {
    call!(3, By::Current, unsafe extern "C" fn(u32) -> c_int, interval).unwrap_or(5)
}

unsafe extern "C" fn dispatch_get_interval_mesa() -> c_int {
    call!(4, By::Current, unsafe extern "C" fn() -> c_int,).unwrap_or(0)
}

/// Functions of extensions: libglvnd calls these, which find the vendor.
pub(super) static DISPATCHED: [(&str, Address); 5] = [
    ("glXCreateContextAttribsARB", Address(dispatch_create as *const ())),
    ("glXSwapIntervalEXT", Address(dispatch_interval_ext as *const ())),
    ("glXSwapIntervalSGI", Address(dispatch_interval_sgi as *const ())),
    ("glXSwapIntervalMESA", Address(dispatch_interval_mesa as *const ())),
    ("glXGetSwapIntervalMESA", Address(dispatch_get_interval_mesa as *const ())),
];

static FUNCTIONS: &[(&str, Address)] = &[
    ("glXChooseFBConfig", Address(choose_fb_config as *const ())),
    ("glXChooseVisual", Address(choose_visual as *const ())),
    ("glXCopyContext", Address(copy_context as *const ())),
    ("glXCreateContext", Address(create_context as *const ())),
    ("glXCreateContextAttribsARB", Address(create_context_attribs as *const ())),
    ("glXCreateGLXPixmap", Address(create_glx_pixmap as *const ())),
    ("glXCreateNewContext", Address(create_new_context as *const ())),
    ("glXCreatePbuffer", Address(create_pbuffer as *const ())),
    ("glXCreatePixmap", Address(create_pixmap as *const ())),
    ("glXCreateWindow", Address(create_window as *const ())),
    ("glXDestroyContext", Address(destroy_context as *const ())),
    ("glXDestroyGLXPixmap", Address(destroy_pixmap as *const ())),
    ("glXDestroyPbuffer", Address(destroy_pbuffer as *const ())),
    ("glXDestroyPixmap", Address(destroy_pixmap as *const ())),
    ("glXDestroyWindow", Address(destroy_window as *const ())),
    ("glXGetClientString", Address(get_client_string as *const ())),
    ("glXGetConfig", Address(get_config as *const ())),
    ("glXGetFBConfigAttrib", Address(get_fb_config_attrib as *const ())),
    ("glXGetFBConfigs", Address(get_fb_configs as *const ())),
    ("glXGetSelectedEvent", Address(get_selected_event as *const ())),
    ("glXGetSwapIntervalMESA", Address(get_swap_interval_mesa as *const ())),
    ("glXGetVisualFromFBConfig", Address(get_visual_from_fb_config as *const ())),
    ("glXIsDirect", Address(is_direct as *const ())),
    ("glXMakeContextCurrent", Address(make_context_current as *const ())),
    ("glXMakeCurrent", Address(make_current as *const ())),
    ("glXQueryContext", Address(query_context as *const ())),
    ("glXQueryDrawable", Address(query_drawable as *const ())),
    ("glXQueryExtensionsString", Address(query_extensions_string as *const ())),
    ("glXQueryServerString", Address(query_server_string as *const ())),
    ("glXQueryVersion", Address(query_version as *const ())),
    ("glXSelectEvent", Address(select_event as *const ())),
    ("glXSwapBuffers", Address(swap_buffers as *const ())),
    ("glXSwapIntervalEXT", Address(swap_interval_ext as *const ())),
    ("glXSwapIntervalMESA", Address(swap_interval_mesa as *const ())),
    ("glXSwapIntervalSGI", Address(swap_interval_sgi as *const ())),
    ("glXUseXFont", Address(use_x_font as *const ())),
    ("glXWaitGL", Address(wait_gl as *const ())),
    ("glXWaitX", Address(wait_x as *const ())),
];

/// The function of GLX of that name.
pub(super) fn find(name: &str) -> Option<*const ()> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, address)| address.0)
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
