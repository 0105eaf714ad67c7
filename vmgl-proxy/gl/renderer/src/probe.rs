//! Looks which OpenGL a program of this machine gets, by being one: it loads the machine's `libGL.so.1` and `libEGL.so.1`,
//! draws a colour off the screen, reads it back, and says who answered.
//!
//! It is a process of its own (`vmgl-proxy gl probe`): a driver that crashes ends the probe, and not who asked.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a program is told of OpenGL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `GL_VENDOR`.
    pub vendor: String,
    /// `GL_RENDERER`.
    pub renderer: String,
    /// `GL_VERSION`.
    pub version: String,
    /// A colour that was drawn came back as it was meant.
    pub draws: bool,
}

/// Why there is no OpenGL that way.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// A library.
    #[error("{0} cannot be loaded")]
    Library(String),
    /// A function.
    #[error("{0} is not in it")]
    Function(String),
    /// A call.
    #[error("{0} gives nothing")]
    Call(&'static str),
}

/// What both ways say: an answer, or why there is none; and the vendors' libraries that were loaded for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// By GLX.
    pub glx: Option<Told>,
    /// Why not.
    pub glx_error: Option<String>,
    /// By EGL on X11.
    pub egl: Option<Told>,
    /// Why not.
    pub egl_error: Option<String>,
    /// Files.
    pub libraries: Vec<String>,
    /// libglvnd, which asks vendors' libraries, is there.
    pub has_libglvnd: bool,
}

type Pointer = *mut c_void;

fn library(name: &CStr) -> Result<Pointer, ProbeError> {
    // SAFETY: a library of the system's; what it does when it is loaded is the system's choice.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if library.is_null() {
        Err(ProbeError::Library(name.to_string_lossy().into_owned()))
    } else {
        Ok(library)
    }
}

/// A function of that type.
///
/// # Safety
/// `F` is the type that the library's function of that name has.
unsafe fn function<F: Copy>(library: Pointer, name: &CStr) -> Result<F, ProbeError> {
    // SAFETY: an open library and a text.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() || size_of::<F>() != size_of::<Pointer>() {
        return Err(ProbeError::Function(name.to_string_lossy().into_owned()));
    }
    // SAFETY: of the same size, and a function of that type, which the caller says.
    Ok(unsafe { std::mem::transmute_copy(&found) })
}

fn given(pointer: Pointer, call: &'static str) -> Result<Pointer, ProbeError> {
    if pointer.is_null() { Err(ProbeError::Call(call)) } else { Ok(pointer) }
}

/// Looks both ways.
#[must_use]
pub fn look() -> Report {
    let mut report = Report::default();
    match by_glx() {
        Ok(told) => report.glx = Some(told),
        Err(why) => report.glx_error = Some(why.to_string()),
    }
    match by_egl() {
        Ok(told) => report.egl = Some(told),
        Err(why) => report.egl_error = Some(why.to_string()),
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    report.has_libglvnd = paths.clone().any(|path| path.contains("/libGLdispatch.so"));
    let vendors = paths.filter(|path| path.contains("/libGLX_") || path.contains("/libEGL_"));
    report.libraries = vendors.map(str::to_owned).collect();
    report.libraries.sort_unstable();
    report.libraries.dedup();
    report
}

/// The connection to the X server.
fn display() -> Result<Pointer, ProbeError> {
    let x = library(c"libX11.so.6")?;
    // SAFETY: as Xlib has it.
    let open: unsafe extern "C" fn(*const c_char) -> Pointer = unsafe { function(x, c"XOpenDisplay") }?;
    // SAFETY: no name is the usual display.
    given(unsafe { open(std::ptr::null()) }, "XOpenDisplay (is DISPLAY right?)")
}

fn by_glx() -> Result<Told, ProbeError> {
    type Choose = unsafe extern "C" fn(Pointer, c_int, *const c_int, *mut c_int) -> *mut Pointer;
    type Pbuffer = unsafe extern "C" fn(Pointer, Pointer, *const c_int) -> c_ulong;
    type Context = unsafe extern "C" fn(Pointer, Pointer, c_int, Pointer, c_int) -> Pointer;
    type Current = unsafe extern "C" fn(Pointer, c_ulong, c_ulong, Pointer) -> c_int;
    let gl = library(c"libGL.so.1")?;
    let display = display()?;
    // SAFETY: these are the types of GLX 1.3.
    let (choose, pbuffer, context, current) = unsafe {
        (
            function::<Choose>(gl, c"glXChooseFBConfig")?,
            function::<Pbuffer>(gl, c"glXCreatePbuffer")?,
            function::<Context>(gl, c"glXCreateNewContext")?,
            function::<Current>(gl, c"glXMakeContextCurrent")?,
        )
    };
    // Drawable to pbuffers, RGBA, eight bits of red; width and height of sixteen.
    let (wishes, size) = ([0x8010, 4, 0x8011, 1, 8, 8, 0], [0x8041, 16, 0x8040, 16, 0]);
    let mut count = 0;
    // SAFETY: an open display, and lists with their ends; the first configuration is there if any is.
    unsafe {
        let configs = choose(display, 0, wishes.as_ptr(), &raw mut count);
        if configs.is_null() || count < 1 {
            return Err(ProbeError::Call("glXChooseFBConfig"));
        }
        let config = configs.read();
        let drawable = pbuffer(display, config, size.as_ptr());
        let context =
            given(context(display, config, 0x8014, std::ptr::null_mut(), 1), "glXCreateNewContext")?;
        if drawable == 0 || current(display, drawable, drawable, context) == 0 {
            return Err(ProbeError::Call("glXMakeContextCurrent"));
        }
    }
    let told = ask(gl);
    // A thread that has one of GLX gets no context of EGL.
    // SAFETY: an open display.
    unsafe { current(display, 0, 0, std::ptr::null_mut()) };
    told
}

fn by_egl() -> Result<Told, ProbeError> {
    type Display = unsafe extern "C" fn(Pointer) -> Pointer;
    type Initialize = unsafe extern "C" fn(Pointer, *mut c_int, *mut c_int) -> u32;
    type Bind = unsafe extern "C" fn(u32) -> u32;
    type Choose = unsafe extern "C" fn(Pointer, *const c_int, *mut Pointer, c_int, *mut c_int) -> u32;
    type Pbuffer = unsafe extern "C" fn(Pointer, Pointer, *const c_int) -> Pointer;
    type Context = unsafe extern "C" fn(Pointer, Pointer, Pointer, *const c_int) -> Pointer;
    type Current = unsafe extern "C" fn(Pointer, Pointer, Pointer, Pointer) -> u32;
    let (egl, gl) = (library(c"libEGL.so.1")?, library(c"libGL.so.1")?);
    let native = display()?;
    // SAFETY: these are the types of EGL 1.4.
    let (display, initialize, bind, choose) = unsafe {
        (
            function::<Display>(egl, c"eglGetDisplay")?,
            function::<Initialize>(egl, c"eglInitialize")?,
            function::<Bind>(egl, c"eglBindAPI")?,
            function::<Choose>(egl, c"eglChooseConfig")?,
        )
    };
    // SAFETY: as above.
    let (pbuffer, context, current) = unsafe {
        (
            function::<Pbuffer>(egl, c"eglCreatePbufferSurface")?,
            function::<Context>(egl, c"eglCreateContext")?,
            function::<Current>(egl, c"eglMakeCurrent")?,
        )
    };
    // A pbuffer, OpenGL, eight bits of red; width and height of sixteen.
    let (wishes, size) = ([0x3033, 1, 0x3040, 8, 0x3024, 8, 0x3038], [0x3057, 16, 0x3056, 16, 0x3038]);
    let (mut config, mut count) = (std::ptr::null_mut(), 0);
    // SAFETY: an open display, lists with their ends, and room for one configuration.
    unsafe {
        let display = given(display(native), "eglGetDisplay")?;
        if initialize(display, std::ptr::null_mut(), std::ptr::null_mut()) == 0 {
            return Err(ProbeError::Call("eglInitialize"));
        }
        bind(0x30a2);
        choose(display, wishes.as_ptr(), &raw mut config, 1, &raw mut count);
        if count < 1 {
            return Err(ProbeError::Call("eglChooseConfig"));
        }
        let surface = given(pbuffer(display, config, size.as_ptr()), "eglCreatePbufferSurface")?;
        let none = std::ptr::null_mut();
        let context = given(context(display, config, none, std::ptr::null()), "eglCreateContext")?;
        if current(display, surface, surface, context) == 0 {
            return Err(ProbeError::Call("eglMakeCurrent"));
        }
    }
    ask(gl)
}

/// Asks the current context, and draws with it.
fn ask(gl: Pointer) -> Result<Told, ProbeError> {
    type Text = unsafe extern "C" fn(u32) -> *const c_char;
    type Colour = unsafe extern "C" fn(f32, f32, f32, f32);
    type Clear = unsafe extern "C" fn(u32);
    type Read = unsafe extern "C" fn(c_int, c_int, c_int, c_int, u32, u32, *mut u8);
    // SAFETY: these are the types of OpenGL 1.1.
    let (text, colour, clear, read) = unsafe {
        (
            function::<Text>(gl, c"glGetString")?,
            function::<Colour>(gl, c"glClearColor")?,
            function::<Clear>(gl, c"glClear")?,
            function::<Read>(gl, c"glReadPixels")?,
        )
    };
    let told = |name: u32| {
        // SAFETY: a context is current; what it gives is a text with a NUL at its end, or null.
        unsafe {
            let text = text(name);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    };
    let mut pixel = [0; 4];
    // SAFETY: a context is current, and there is room for the one pixel that is read.
    unsafe {
        colour(1.0, 0.0, 1.0, 1.0);
        clear(0x4000);
        read(3, 3, 1, 1, 0x1908, 0x1401, pixel.as_mut_ptr());
    }
    let draws = pixel[..3] == [255, 0, 255];
    Ok(Told { vendor: told(0x1f00), renderer: told(0x1f01), version: told(0x1f02), draws })
}
