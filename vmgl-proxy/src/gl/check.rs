//! `gl check`: whether OpenGL programs of this machine draw by VMGL, found out by one that does (the probe), and what to do
//! where they do not. What is made of the probe's answer is pure.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use serde::Serialize;
use thiserror::Error;
use vmgl_gl_renderer::probe::{Report, Told};

/// What else can be done where libglvnd is missing.
const OWN: &str = "; or have VMGL's library in its place: `gl install --own-libgl`";

/// How a program gets OpenGL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// `libGL.so.1`.
    Glx,
    /// `libEGL.so.1`.
    Egl,
}

/// What was found of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Which.
    pub way: Way,
    /// VMGL answered, and what was drawn came back.
    pub is_vmgl: bool,
    /// Who answered, or why nobody did.
    pub who: String,
    /// What to do, where it is not VMGL.
    pub advice: Option<String>,
}

/// Why nothing is known.
#[derive(Debug, Error)]
pub enum CheckError {
    /// It could not be started.
    #[error("the probe cannot be started")]
    Start(#[source] io::Error),
    /// It ended badly.
    #[error("the probe ended with {status}, as any OpenGL program here would: {said}")]
    Ended {
        /// How.
        status: String,
        /// Its last words.
        said: String,
    },
}

/// Looks, with a process of this same program and `environment` on top of what there is.
///
/// # Errors
/// [`CheckError`] where not even a program that draws nothing else comes to its end.
pub fn check(program: &Path, environment: &[(String, String)]) -> Result<(Report, Vec<Found>), CheckError> {
    let mut command = Command::new(program);
    command.args(["gl", "probe"]).envs(environment.iter().map(|(name, value)| (name, value)));
    let Output { status, stdout, stderr } = command.output().map_err(CheckError::Start)?;
    let said = String::from_utf8_lossy(&stderr).trim().to_owned();
    let report: Option<Report> = serde_json::from_slice(&stdout).ok().filter(|_| status.success());
    let Some(report) = report else { return Err(CheckError::Ended { status: status.to_string(), said }) };
    let found = judge(&report, &said);
    Ok((report, found))
}

/// What a report says of both ways; `said` is what libraries wrote meanwhile.
#[must_use]
pub fn judge(report: &Report, said: &str) -> Vec<Found> {
    let ways = [(Way::Glx, &report.glx, &report.glx_error), (Way::Egl, &report.egl, &report.egl_error)];
    let mut all = Vec::new();
    for (way, told, error) in ways {
        // Without a renderer at the desk the library may still answer, and have all of it drawn here.
        let answers = told.as_ref().is_some_and(|told| told.vendor.starts_with("VMGL") && told.draws);
        let is_vmgl = answers && no_desk(said).is_none();
        let who = told.as_ref().map_or_else(|| error.clone().unwrap_or_default(), shown);
        let advice = (!is_vmgl).then(|| advice(way, told.as_ref(), error.as_deref(), report, said));
        all.push(Found { way, is_vmgl, who, advice });
    }
    all
}

/// The line in which the library says that it has found no renderer.
fn no_desk(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| line.contains("no renderer at"))?;
    Some(line.trim_start_matches("vmgl: "))
}

fn shown(told: &Told) -> String {
    format!("{}: {} {}", told.vendor, told.renderer, told.version)
}

fn advice(way: Way, told: Option<&Told>, error: Option<&str>, report: &Report, said: &str) -> String {
    let (library, package) = match way {
        Way::Glx => ("libGLX_vmgl", "libgl1"),
        Way::Egl => ("libEGL_vmgl", "libegl1"),
    };
    let error = error.unwrap_or_default();
    if error.contains("cannot be loaded") {
        return format!("install libglvnd (on Debian: apt install {package} libx11-6){OWN}");
    }
    if error.contains("XOpenDisplay") {
        return "run it where programs have an X server: DISPLAY names none that can be reached".to_owned();
    }
    if let Some(line) = no_desk(said) {
        return format!(
            "{line}; start `vmgl-proxy serve --gl-listen` at the desk, or name its address with --to"
        );
    }
    if told.is_some_and(|told| told.vendor.starts_with("VMGL")) {
        return "VMGL answered, but what was drawn did not come back: see what the proxy at the desk says"
            .to_owned();
    }
    if !report.has_libglvnd {
        return format!(
            "the system's OpenGL is another than libglvnd's, which asks for VMGL: install that{OWN}"
        );
    }
    let loaded = report.libraries.iter().any(|path| path.contains(library) || path.contains("_vmgl"));
    if loaded {
        return format!(
            "VMGL was loaded and not taken: {}",
            said.lines().next().unwrap_or("it did not say why")
        );
    }
    match way {
        Way::Glx => {
            "VMGL was not asked: is __GLX_VENDOR_LIBRARY_NAME=vmgl in this session (log in again after \
                     `gl install`), and is libGL.so.1 that of libglvnd?"
                .to_owned()
        }
        Way::Egl => "VMGL was not asked: is 10_vmgl.json in /etc/glvnd/egl_vendor.d, or \
                     __EGL_VENDOR_LIBRARY_DIRS as env.sh sets it?"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::*;

    fn told(vendor: &str, draws: bool) -> Option<Told> {
        Some(Told { vendor: vendor.to_owned(), draws, ..Told::default() })
    }

    fn advice_of(report: &Report, said: &str) -> Vec<String> {
        judge(report, said).into_iter().filter_map(|found| found.advice).collect()
    }

    #[test]
    fn vmgl_is_in_use_where_it_answers_and_draws() {
        let report =
            Report { glx: told("VMGL, Mesa", true), egl: told("VMGL, Mesa", true), ..Report::default() };
        assert!(judge(&report, "").iter().all(|found| found.is_vmgl && found.advice.is_none()));
        let report = Report { glx: told("VMGL, Mesa", false), ..report };
        assert!(!judge(&report, "")[0].is_vmgl);
        assert!(advice_of(&report, "")[0].contains("did not come back"));
    }

    #[test]
    fn each_reason_has_its_advice() {
        let mesa = Report {
            glx: told("Mesa", true),
            egl: told("Mesa", true),
            has_libglvnd: true,
            ..Report::default()
        };
        assert!(advice_of(&mesa, "")[0].contains("__GLX_VENDOR_LIBRARY_NAME"));
        assert!(advice_of(&mesa, "")[1].contains("10_vmgl.json"));
        let said = "vmgl: no renderer at tcp:desk:1 (Connection refused): OpenGL is drawn in software here";
        assert!(advice_of(&mesa, said)[0].contains("--gl-listen"));
        let loaded = Report { libraries: vec!["/l/libGLX_vmgl.so.0".to_owned()], ..mesa };
        assert!(advice_of(&loaded, "odd")[0].contains("odd"));
        let error = |text: &str| Report { glx_error: Some(text.to_owned()), ..Report::default() };
        assert!(advice_of(&error("libGL.so.1 cannot be loaded"), "")[0].contains("libglvnd"));
        let old = Report { glx: told("Mesa", true), egl: told("Mesa", true), ..Report::default() };
        assert!(!old.has_libglvnd && advice_of(&old, "").iter().all(|it| it.contains("--own-libgl")));
        // In the place of the system's it answers without a desk, too.
        let soft =
            Report { glx: told("VMGL, Mesa", true), egl: told("VMGL, Mesa", true), ..Report::default() };
        assert!(judge(&soft, said).iter().all(|found| !found.is_vmgl));
        assert!(advice_of(&soft, said).iter().all(|it| it.contains("--gl-listen")));
        assert!(advice_of(&error("XOpenDisplay gives nothing"), "")[0].contains("DISPLAY"));
    }
}
