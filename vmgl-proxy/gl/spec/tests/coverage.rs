//! The document that tells what is there is what the tables say.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::fs;
use std::path::Path;

use vmgl_gl_spec::{Registry, coverage};

#[test]
fn the_document_of_coverage_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/gl-coverage.md");
    let written = fs::read_to_string(path).unwrap();
    assert!(
        written == coverage::document(&Registry::load().unwrap()),
        "run: cargo run -p vmgl-gl-spec --example coverage > docs/gl-coverage.md"
    );
}
