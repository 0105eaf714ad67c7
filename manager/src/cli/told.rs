//! What people and programs are told: results, news, failures with a hint.

use std::fmt;
use std::io::Write;

use anyhow::Result;
use serde_json::Value;

use super::news::News;
use crate::sites::SiteError;
use crate::wandisk::WandiskError;
use crate::words::with_causes;

/// A failure in a sentence, with what to do.
#[derive(Debug)]
pub(super) struct Told {
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Told {}

impl<E: std::error::Error + 'static> From<&E> for Told {
    fn from(error: &E) -> Told {
        Told::new(with_causes(error))
    }
}

impl Told {
    pub(super) fn new(message: impl Into<String>) -> Told {
        Told { message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Told {
        self.hint = Some(hint.into());
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn of_site(error: SiteError) -> Told {
        Told { hint: error.hint().map(str::to_owned), ..Told::from(&error) }
    }

    pub(super) fn of_wandisk(error: &WandiskError) -> Told {
        Told { hint: error.hint().map(str::to_owned), ..Told::from(error) }
    }
}

/// The hint that belongs to a failure, wherever it came from.
pub(super) fn hint_of(error: &anyhow::Error) -> Option<String> {
    use crate::control::AskError;
    if let Some(told) = error.downcast_ref::<Told>() {
        return told.hint.clone();
    }
    error.downcast_ref::<AskError>()?.hint()
}

/// Prints a result: JSON for programs, `text` for people.
pub(super) fn print(json: bool, value: &Value, text: impl FnOnce() -> String) -> Result<()> {
    let text = if json { value.to_string() } else { text() };
    if !text.is_empty() {
        writeln!(std::io::stdout().lock(), "{text}")?;
    }
    Ok(())
}

/// News of long work, on standard error.
pub(super) fn progress(json: bool, news: &Value) {
    News::new(json).show(news);
}
