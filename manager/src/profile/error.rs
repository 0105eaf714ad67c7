//! What is wrong with a profile, and where.

use std::ops::Range;

use thiserror::Error;

use crate::profile::Profile;
use crate::words::did_you_mean;

/// What is wrong with a profile.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProfileError {
    /// At a place in its text.
    #[error("line {line}, column {column}: {fault}")]
    At {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong, for people.
        fault: String,
    },
    /// As a whole.
    #[error("{0}")]
    Whole(String),
}

impl ProfileError {
    pub(super) fn at(text: &str, span: &Range<usize>, fault: impl Into<String>) -> ProfileError {
        let (line, column) = position(text, span.start);
        ProfileError::At { line, column, fault: fault.into() }
    }

    pub(super) fn no_such(name: &str) -> ProfileError {
        let known = Profile::EMBEDDED.iter().map(|(known, _)| *known);
        ProfileError::Whole(format!("no profile is called {name:?}{}", did_you_mean(name, known)))
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before: String = text.char_indices().take_while(|(at, _)| *at < byte).map(|(_, c)| c).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
