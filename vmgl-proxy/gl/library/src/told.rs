//! What a version and extensions promise by the registry, for tests that hold a table of functions to what is told of it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use roxmltree::{Document, Node};

/// The commands that a part of the registry requires.
fn commands<'a>(part: Node<'a, '_>) -> impl Iterator<Item = &'a str> {
    part.descendants().filter(|it| it.has_tag_name("command")).filter_map(|it| it.attribute("name"))
}

/// The version of a feature.
fn number(feature: &Node<'_, '_>) -> Option<(i32, i32)> {
    let (major, minor) = feature.attribute("number")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What is promised and not there; an extension that the registry does not know is promised in vain.
pub(crate) fn absent(
    registry: &[u8],
    version: (i32, i32),
    extensions: &str,
    is_there: impl Fn(&str) -> bool,
) -> Vec<String> {
    let document = Document::parse(std::str::from_utf8(registry).unwrap()).unwrap();
    let all = || document.descendants();
    let features = all().filter(|it| it.has_tag_name("feature") && number(it).unwrap() <= version);
    let mut promised: Vec<&str> = features.flat_map(commands).collect();
    assert!(promised.len() > 20, "the registry was read");
    for name in extensions.split_whitespace() {
        let known = all().find(|it| it.has_tag_name("extension") && it.attribute("name") == Some(name));
        match known {
            Some(extension) => promised.extend(commands(extension)),
            None => promised.push(name),
        }
    }
    promised.into_iter().filter(|name| !is_there(name)).map(str::to_owned).collect()
}
