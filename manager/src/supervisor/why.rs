//! Why something failed, and what to do about it: as the hands say it, the rules pass it on and the journal keeps it.
//!
//! A sentence and a hint stay together until somebody reads them, at whichever site: what is to be done is known where it failed, and
//! nowhere else. What another site says comes with its name ([`Sentence::told_of`]).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agent::machine::MachineError;
use crate::ask_error::{AskError, said_at};
use crate::sites::SiteError;
use crate::wandisk::WandiskError;
use crate::words::{wants_room, with_causes};

/// In a sentence with all causes, and a hint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct Why {
    /// The sentence, without its end.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// As journals have it: earlier ones without a hint.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Sentence(String),
    Whole { message: String, hint: Option<String> },
}

impl From<Kept> for Why {
    fn from(kept: Kept) -> Why {
        match kept {
            Kept::Sentence(message) => message.into(),
            Kept::Whole { message, hint } => Why { message, hint },
        }
    }
}

impl From<String> for Why {
    fn from(message: String) -> Why {
        Why { message, hint: None }
    }
}

impl From<&str> for Why {
    fn from(message: &str) -> Why {
        message.to_owned().into()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Why {
    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Why {
        self.hint = Some(hint.into());
        self
    }

    /// An error, with its hint if it is one that has any.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Why {
        let hint = if let Some(error) = error.downcast_ref::<AskError>() {
            error.hint()
        } else if let Some(error) = error.downcast_ref::<WandiskError>() {
            error.hint().map(str::to_owned)
        } else if let Some(error) = error.downcast_ref::<SiteError>() {
            error.hint().map(str::to_owned)
        } else if wants_room(error) {
            Some("make room on the file system of the site's folder".to_owned())
        } else {
            error.downcast_ref::<MachineError>().and_then(MachineError::hint).map(str::to_owned)
        };
        Why { message: with_causes(error), hint }
    }
}

/// Turns any error into its sentence.
pub(super) trait Sentence<T> {
    fn told(self) -> Result<T, Why>;
}

impl<T, E: std::error::Error + 'static> Sentence<T> for Result<T, E> {
    fn told(self) -> Result<T, Why> {
        self.map_err(|error| Why::of(&error))
    }
}

/// The same of what another site was asked.
pub(super) trait SentenceOf<T> {
    fn told_of(self, site: &str) -> Result<T, Why>;
}

impl<T> SentenceOf<T> for Result<T, AskError> {
    fn told_of(self, site: &str) -> Result<T, Why> {
        self.map_err(|error| {
            let nameless = matches!(
                error,
                AskError::Io(_)
                    | AskError::Closed
                    | AskError::Late(_)
                    | AskError::Nonsense
                    | AskError::Start(_)
            );
            let why = Why::of(&error.at(site));
            if nameless { Why { message: said_at(site, &why.message), ..why } } else { why }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_keeps_its_hint_and_another_sites_its_name() {
        let refused = |hint: Option<&str>| AskError::Refused {
            message: "no QEMU".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let told = Err::<(), _>(refused(Some("install it"))).told_of("b").unwrap_err();
        assert_eq!(told, Why::from("at site \"b\", no QEMU").hint("install it"));
        let late = Err::<(), _>(AskError::Late(Duration::from_secs(9))).told_of("b").unwrap_err();
        assert_eq!(late.message, "at site \"b\", no answer within 9 s");
        let no_site = Err::<(), _>(SiteError::NoSite { name: "x".to_owned() }).told().unwrap_err();
        assert!(!no_site.message.starts_with("at site"), "{no_site}");
        let disk =
            WandiskError::Refused { message: "full".to_owned(), hint: Some("x".to_owned()), code: None };
        assert_eq!(Err::<(), _>(disk).told().unwrap_err(), Why::from("full").hint("x"));
        let full = Err::<(), _>(std::io::Error::from(std::io::ErrorKind::StorageFull)).told().unwrap_err();
        assert!(full.hint.is_some_and(|hint| hint.contains("make room")));
    }

    #[test]
    fn what_an_earlier_journal_says_is_read() {
        assert_eq!(serde_json::from_str::<Why>("\"it broke\"").unwrap(), Why::from("it broke"));
        let whole = Why::from("it broke").hint("mend it");
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Why>(&text).unwrap(), whole);
    }
}
