//! EGL without a window system: where contexts and the buffers that they draw in come from.
//!
//! Surfaceless first (Mesa on any driver, and in software), then a device, for other drivers. The library is looked
//! for when it is wanted: a desk without EGL is told so in a sentence, and runs everything else.

use std::rc::Rc;

use khronos_egl as egl;
use thiserror::Error;

use crate::gl::Gl;
use crate::system;

/// EGL's numbers that its core does not have.
const PLATFORM_SURFACELESS: egl::Enum = 0x31DD;
const PLATFORM_DEVICE: egl::Enum = 0x313F;
const CONTEXT_FLAGS: egl::Int = 0x30FC;
/// Samples that are asked for where there are to be several.
const SAMPLES: egl::Int = 4;
/// Of `GLX_CONTEXT_FLAGS`, those that mean the same here: debug, forward-compatible.
const FLAGS: u32 = 3;

type Library = egl::DynamicInstance<egl::EGL1_5>;

/// Why nothing can be drawn.
#[derive(Debug, Error)]
pub enum EglError {
    /// No library.
    #[error("there is no libEGL here; install libegl1 and a driver (on Debian libgl1-mesa-dri)")]
    NoLibrary(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No other than ours.
    #[error(
        "the only libEGL here is VMGL's own, in the place of the system's; install the system's and a driver (on Debian libegl1 and libgl1-mesa-dri)"
    )]
    OnlyOurs,
    /// No display of either kind.
    #[error("EGL has neither a surfaceless display nor a device's")]
    NoDisplay(#[source] egl::Error),
    /// No OpenGL.
    #[error("EGL gives no OpenGL with buffers off the screen")]
    NoConfig,
    /// A call failed.
    #[error("EGL: {0} failed")]
    Call(&'static str, #[source] egl::Error),
}

/// What a program asks of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// 0 compatibility profile, 1 core, 2 OpenGL ES 2 or 3, 3 OpenGL ES 1.
    pub api: u32,
    /// The version.
    pub version: (u32, u32),
    /// Bits of `GLX_CONTEXT_FLAGS`.
    pub flags: u32,
}

impl Wanted {
    /// The newest that there is, with all that was ever there.
    pub const NEWEST: Self = Self { api: 0, version: (0, 0), flags: 0 };
}

/// A context of EGL's; it ends when nobody has it any more.
#[derive(Debug)]
pub struct Context {
    egl: Rc<Egl>,
    raw: egl::Context,
}

/// A buffer that is drawn in; it ends when nobody has it any more.
#[derive(Debug)]
pub struct Buffer {
    egl: Rc<Egl>,
    raw: egl::Surface,
}

/// The display, and how its buffers are.
pub struct Egl {
    library: Library,
    display: egl::Display,
    config: egl::Config,
    /// Another whose buffers have several samples a pixel, and how many.
    multisampled: Option<(egl::Config, u32)>,
}

impl std::fmt::Debug for Egl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egl").finish_non_exhaustive()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _gone = self.egl.library.destroy_context(self.egl.display, self.raw);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _gone = self.egl.library.destroy_surface(self.egl.display, self.raw);
    }
}

impl Egl {
    /// Opens it.
    ///
    /// # Errors
    /// [`EglError`] says what is missing.
    pub fn open() -> Result<Rc<Self>, EglError> {
        let file = system::libegl().map_err(|_| EglError::OnlyOurs)?;
        // SAFETY: the system's libEGL; what it does when it is loaded is the system's choice.
        let library = unsafe { Library::load_required_from_filename(file) };
        let library = library.map_err(|e| EglError::NoLibrary(Box::new(e)))?;
        let display = Self::display(&library)?;
        let wanted = [
            egl::SURFACE_TYPE,
            egl::PBUFFER_BIT,
            egl::RENDERABLE_TYPE,
            egl::OPENGL_BIT | egl::OPENGL_ES2_BIT,
            egl::RED_SIZE,
            8,
            egl::GREEN_SIZE,
            8,
            egl::BLUE_SIZE,
            8,
            egl::ALPHA_SIZE,
            8,
            egl::DEPTH_SIZE,
            24,
            egl::STENCIL_SIZE,
            8,
            egl::NONE,
        ];
        let config = library.choose_first_config(display, &wanted);
        let config = config.map_err(|e| EglError::Call("choosing a configuration", e))?;
        let config = config.ok_or(EglError::NoConfig)?;
        let many = [&[egl::SAMPLE_BUFFERS, 1, egl::SAMPLES, SAMPLES][..], &wanted].concat();
        let multisampled = library.choose_first_config(display, &many).ok().flatten().and_then(|config| {
            let samples = library.get_config_attrib(display, config, egl::SAMPLES).ok()?;
            Some((config, u32::try_from(samples).ok().filter(|samples| *samples > 1)?))
        });
        Ok(Rc::new(Self { library, display, config, multisampled }))
    }

    /// Samples of a pixel in buffers that have several; 0 if there are no such.
    pub fn samples(&self) -> u32 {
        self.multisampled.map_or(0, |(_, samples)| samples)
    }

    fn config(&self, multisampled: bool) -> egl::Config {
        self.multisampled.filter(|_| multisampled).map_or(self.config, |(config, _)| config)
    }

    fn display(library: &Library) -> Result<egl::Display, EglError> {
        let mut fault = egl::Error::NotInitialized;
        for platform in [PLATFORM_SURFACELESS, PLATFORM_DEVICE] {
            // SAFETY: the default display of a platform, which takes no pointer.
            let display =
                unsafe { library.get_platform_display(platform, egl::DEFAULT_DISPLAY, &[egl::ATTRIB_NONE]) };
            match display.and_then(|display| library.initialize(display).map(|_| display)) {
                Ok(display) => return Ok(display),
                Err(e) => fault = e,
            }
        }
        Err(EglError::NoDisplay(fault))
    }

    /// OpenGL's functions.
    pub(crate) fn functions(&self) -> Gl {
        Gl::load(|name| self.library.get_proc_address(name))
    }

    /// A context that shares objects with another, for buffers of that kind. What asks for no version gets the newest.
    ///
    /// # Errors
    /// What EGL says.
    pub fn context(
        self: &Rc<Self>,
        wanted: Wanted,
        share: Option<&Context>,
        multisampled: bool,
    ) -> Result<Context, EglError> {
        let number = |n: u32| egl::Int::try_from(n.min(100)).unwrap_or(0);
        let es = wanted.api >= 2;
        let api = if es { egl::OPENGL_ES_API } else { egl::OPENGL_API };
        self.library.bind_api(api).map_err(|e| EglError::Call("choosing the API", e))?;
        let mut words = Vec::new();
        let version = if wanted.api == 3 {
            (1, 1)
        } else if es {
            wanted.version.max((2, 0))
        } else {
            wanted.version
        };
        if version > (1, 1) || es {
            words.extend([egl::CONTEXT_MAJOR_VERSION, number(version.0)]);
            words.extend([egl::CONTEXT_MINOR_VERSION, number(version.1)]);
        }
        if !es && version >= (3, 2) {
            let bit = if wanted.api == 1 {
                egl::CONTEXT_OPENGL_CORE_PROFILE_BIT
            } else {
                egl::CONTEXT_OPENGL_COMPATIBILITY_PROFILE_BIT
            };
            words.extend([egl::CONTEXT_OPENGL_PROFILE_MASK, bit]);
        }
        if !es && wanted.flags & FLAGS != 0 && version >= (3, 0) {
            words.extend([CONTEXT_FLAGS, number(wanted.flags & FLAGS)]);
        }
        words.push(egl::NONE);
        let share = share.map(|context| context.raw);
        let raw = self.library.create_context(self.display, self.config(multisampled), share, &words);
        let raw = raw.map_err(|e| EglError::Call("making a context", e))?;
        Ok(Context { egl: Rc::clone(self), raw })
    }

    /// A buffer to draw in.
    ///
    /// # Errors
    /// What EGL says.
    pub fn buffer(self: &Rc<Self>, width: u16, height: u16, multisampled: bool) -> Result<Buffer, EglError> {
        let words = [egl::WIDTH, width.into(), egl::HEIGHT, height.into(), egl::NONE];
        let raw = self.library.create_pbuffer_surface(self.display, self.config(multisampled), &words);
        let raw = raw.map_err(|e| EglError::Call("making a buffer", e))?;
        Ok(Buffer { egl: Rc::clone(self), raw })
    }

    /// What follows is drawn by this context into the first buffer, and read from the second.
    ///
    /// # Errors
    /// What EGL says.
    pub fn make_current(&self, context: &Context, draw: &Buffer, read: &Buffer) -> Result<(), EglError> {
        let made = self.library.make_current(self.display, Some(draw.raw), Some(read.raw), Some(context.raw));
        made.map_err(|e| EglError::Call("making a context current", e))
    }

    /// No context is current.
    ///
    /// # Errors
    /// What EGL says.
    pub fn leave(&self) -> Result<(), EglError> {
        let left = self.library.make_current(self.display, None, None, None);
        left.map_err(|e| EglError::Call("leaving a context", e))
    }
}
