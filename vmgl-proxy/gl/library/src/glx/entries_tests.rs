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
fn a_configuration_says_that_pixmaps_can_be_drawn_on_where_their_pixels_are_of_four_bytes() {
    let mut configs = of_screen(0, &[Visual { id: 33, depth: 24 }, Visual { id: 80, depth: 32 }], 4);
    assert_eq!(choose(&configs, &[(0x8010, 0b111)]).len(), configs.len());
    configs.iter_mut().filter(|config| config.depth == 24).for_each(|config| config.pixmaps = false);
    let depths = |kinds| choose(&configs, &[(0x8010, kinds)]).iter().map(|config| config.depth).min();
    assert_eq!((depths(0b010), depths(0b101)), (Some(32), Some(24)));
}
