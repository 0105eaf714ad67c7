//! The table of GLX's functions against what is told of it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use super::{EXTENSIONS, FUNCTIONS, VERSION, VERSION_TEXT};
use crate::glx::config::{Visual, choose, of_screen};
use crate::told::absent;

/// What libglvnd answers itself, of what it knows of the current context.
const LIBGLVND: &[&str] = &[
    "glXGetCurrentContext",
    "glXGetCurrentDisplay",
    "glXGetCurrentDrawable",
    "glXGetCurrentReadDrawable",
    "glXGetProcAddress",
    "glXGetProcAddressARB",
    "glXQueryExtension",
];

#[test]
fn every_function_of_the_version_and_of_the_extensions_that_are_told_is_there() {
    let there = |name: &str| LIBGLVND.contains(&name) || FUNCTIONS.iter().any(|(known, _)| *known == name);
    assert_eq!(VERSION_TEXT.to_str().unwrap(), format!("{}.{}", VERSION.0, VERSION.1));
    assert_eq!(absent(khronos_api::GLX_XML, VERSION, EXTENSIONS.to_str().unwrap(), there), [""; 0]);
}

#[test]
fn no_configuration_says_that_pixmaps_can_be_drawn_on() {
    let configs = of_screen(0, &[Visual { id: 33, depth: 24 }, Visual { id: 80, depth: 32 }], 4);
    let pixmaps = [(0x8010, 0b010)];
    assert!(choose(&configs, &pixmaps).is_empty() && !choose(&configs, &[(0x8010, 0b101)]).is_empty());
}
