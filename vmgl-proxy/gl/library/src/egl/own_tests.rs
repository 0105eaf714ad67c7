//! EGL as a program finds it without libglvnd: held to EGL's registry, and asked what libglvnd would answer itself.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::ffi::CString;

use super::*;
use crate::told::absent;

fn found(name: &str) -> *const () {
    let name = CString::new(name).unwrap();
    // SAFETY: a text with a NUL at its end.
    unsafe { eglGetProcAddress(name.as_ptr()) }
}

#[test]
fn every_function_of_1_5_and_of_what_is_told_without_a_display_is_found_by_its_name() {
    let there = |name: &str| !found(name).is_null();
    assert_eq!(absent(khronos_api::EGL_XML, (1, 5), CLIENT.1.to_str().unwrap(), there), [""; 0]);
    assert!(CLIENT.0.to_str().unwrap().starts_with("1.5 "));
    assert!(there("glDrawArrays") && !there("eglCreateStreamKHR") && !there(""));
}

#[test]
fn who_finds_a_function_by_name_gets_what_others_are_linked_with() {
    assert!(EXPORTED.iter().all(|(name, function)| found(name) == function.0));
    // Whose own of these a vendor is asked for, that knows nothing of what is current.
    for name in ["eglMakeCurrent", "eglQueryString", "eglReleaseThread"] {
        assert!(find(name).is_some_and(|vendors| vendors != found(name)), "{name}");
    }
}

#[test]
fn a_threads_api_and_what_is_current_in_it_are_kept_here() {
    const OPENVG: u32 = 0x30a1;
    // SAFETY: none of these takes memory of the program's.
    unsafe {
        assert_eq!((eglQueryAPI(), wants_es()), (OPENGL_ES, true));
        assert_eq!((eglBindAPI(OPENGL), eglQueryAPI(), wants_es()), (1, OPENGL, false));
        assert_eq!((eglBindAPI(OPENVG), eglGetError(), eglQueryAPI()), (0, BAD_PARAMETER, OPENGL));
        assert_eq!((eglReleaseThread(), eglQueryAPI(), eglGetError()), (1, OPENGL_ES, SUCCESS));
        assert!(eglGetCurrentContext().is_null() && eglGetCurrentDisplay().is_null());
        assert!(eglGetCurrentSurface(0x3059).is_null() && eglGetError() == SUCCESS);
        assert!(eglGetCurrentSurface(7).is_null() && eglGetError() == BAD_PARAMETER);
    }
}

#[test]
fn without_a_display_the_clients_extensions_are_told_and_nothing_else() {
    // SAFETY: what is told is a text with a NUL at its end.
    unsafe {
        assert_eq!(CStr::from_ptr(eglQueryString(NULL, 0x3055)), CLIENT.1);
        assert_eq!(CStr::from_ptr(eglQueryString(NULL, 0x3054)), CLIENT.0);
        assert!(eglQueryString(NULL, 0x3053).is_null() && eglGetError() == BAD_DISPLAY);
    }
}

#[test]
fn displays_of_others_are_refused_before_anybody_looks_into_them() {
    let mut others = [0_u64; 8];
    // SAFETY: that an address is another's is found out without following it.
    unsafe {
        assert!(eglGetDisplay((&raw mut others).cast()).is_null());
        assert!(eglGetDisplay(std::ptr::without_provenance_mut(16)).is_null());
        // Surfaceless, and Wayland's.
        for platform in [0x31dd, 0x31d8] {
            assert!(eglGetPlatformDisplay(platform, NULL).is_null() && eglGetError() == BAD_PARAMETER);
        }
    }
}

#[test]
fn what_is_not_there_of_1_5_fails_by_its_error() {
    // SAFETY: no address is followed.
    unsafe {
        let display = get_platform_display(X11, NULL, std::ptr::null());
        assert_eq!((eglCreateSync(display), eglGetError()), (Address::default(), BAD_ATTRIBUTE));
        assert_eq!((eglCreateImage(display), eglGetError()), (Address::default(), BAD_PARAMETER));
        assert_eq!((eglDestroySync(display), eglGetError()), (0, BAD_PARAMETER));
        assert_eq!((eglCreateSync(NULL), eglGetError()), (Address::default(), BAD_DISPLAY));
    }
}
