//! What a renderer must be given that knows nothing of the program: objects of share groups ([`group`]), then the state of each
//! context ([`context`]), as differences from a context that has just been made ([`steps`]).
//!
//! Names stay what they are: the program's own, which renderers map.
//!
//! Invariant: the shadow is only read here.

mod context;
mod group;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use vmgl_gl_stream::Command;

pub(crate) use context::{arrays_on, context};
pub(crate) use group::{lists, objects, uniforms};

/// Where the commands go.
pub(crate) trait Sink {
    /// A command.
    fn put(&mut self, command: &Command<'_>);
    /// Commands that are encoded already.
    fn put_bytes(&mut self, commands: &[u8]);
    /// A number for a question.
    fn reply(&mut self) -> u32;
    /// A number for a question whose answer nobody looks for.
    fn unheard(&mut self) -> u32;
}

/// What could not be made anew: so many of each kind, and the first of them.
#[derive(Debug, Default)]
pub(crate) struct Lost(BTreeMap<&'static str, (usize, u32)>);

impl Lost {
    /// One more is lost; 0 is no name.
    pub(crate) fn note(&mut self, what: &'static str, name: u32) {
        self.0.entry(what).or_insert((0, name)).0 += 1;
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (what, (count, first))) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{what} of {count}")?;
            if *first != 0 {
                write!(f, " (the first is {first})")?;
            }
        }
        if self.0.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}
