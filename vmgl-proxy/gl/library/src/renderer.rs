//! Who draws for this process, found out by its first call: the renderer at the desk, or one of the agent's own.
//!
//! Where libglvnd asks, a program without a renderer is handed over to Mesa's vendor library ([`crate::vendor`]), and nothing
//! of ours stays in its way: [`connected`]. Where this library stands in for `libGL.so.1` and `libEGL.so.1`, the program's calls
//! come here whatever there is, so they are carried out by a process beside it as they are when a desk goes away later:
//! [`served`]. That process takes the system's libEGL, and passes this library over where it stands in for that.
//!
//! Invariant: each place is tried once a process, and what came of it is said once.

use std::sync::OnceLock;

use vmgl_gl_stream::Verdict;

use crate::core;
use crate::link::{Link, LinkError, Place, log};

/// A place where no renderer answered.
#[derive(Debug)]
struct Away {
    place: Place,
    /// There was one, which wants no such program.
    refused: bool,
}

/// A place that is none has been said; there is nothing to be looked out for.
type Found = Result<(), Option<Away>>;

fn program_name() -> String {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = name.as_deref().and_then(std::path::Path::file_name);
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Connects to the renderer; without one the user is told why.
fn connect() -> Found {
    let text = std::env::var("VMGL_GL").ok();
    let Some(place) = Place::of(text.as_deref()) else {
        log(format_args!("VMGL_GL={} is neither unix:PATH nor tcp:HOST:PORT", text.unwrap_or_default()));
        return Err(None);
    };
    match Link::open(place.clone(), program_name()) {
        Ok((link, caps)) => {
            core::begin(link, caps);
            Ok(())
        }
        Err(error) => {
            log(format_args!("no renderer at {place} ({error}): OpenGL is drawn in software here"));
            let refused = matches!(error, LinkError::Verdict(Verdict::Refused | Verdict::OtherSpec));
            Err(Some(Away { place, refused }))
        }
    }
}

fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(connect)
}

/// Whether there is a renderer at the desk; the first call connects to it.
pub(crate) fn connected() -> bool {
    found().is_ok()
}

/// Has the program drawn for by a process beside it.
fn soften(away: Option<&Away>) -> bool {
    let Some(Away { place, refused }) = away else {
        log(format_args!("this program has no OpenGL"));
        return false;
    };
    match Link::open_soft(place.clone(), program_name(), *refused) {
        Ok((link, caps)) => {
            core::begin(link, caps);
            true
        }
        Err(error) => {
            log(format_args!(
                "nor is there a renderer here ({error}): this program has no OpenGL. It takes vmgl-proxy (in the PATH, or \
                 VMGL_PROXY) and a libEGL.so.1 of the system's, with a driver"
            ));
            false
        }
    }
}

/// Whether anybody draws for a program that nobody but this library can serve.
pub(crate) fn served() -> bool {
    static SOFTENED: OnceLock<bool> = OnceLock::new();
    match found() {
        Ok(()) => true,
        Err(away) => *SOFTENED.get_or_init(|| soften(away.as_ref())),
    }
}
