//! Why another site did not do what was asked.

use serde::{Deserialize, Serialize};

use super::limits::SENTENCE_MAX;

/// A failed request to another site.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeerError {
    /// No way there.
    #[error("site {site} cannot be reached: {why}")]
    Unreachable {
        /// Its name.
        site: String,
        /// The last thing that went wrong on the way.
        why: String,
    },
    /// It said no.
    #[error("site {site} refused: {}", refusal.message)]
    Refused {
        /// Its name.
        site: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The link was cut before an answer came.
    #[error("the link to site {site} broke: {why}")]
    Broken {
        /// Its name.
        site: String,
        /// How.
        why: String,
    },
    /// It answered something else.
    #[error("site {site} answered what was not asked")]
    Confused {
        /// Its name.
        site: String,
    },
}

impl PeerError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            PeerError::Unreachable { site, .. } => Some(format!("see `wandisk site check {site}`")),
            PeerError::Refused { refusal, .. } => refusal.hint.clone(),
            PeerError::Broken { .. } => {
                Some("run the same command again: it goes on where it was cut".to_owned())
            }
            PeerError::Confused { .. } => Some("use the same release of wandisk at both sites".to_owned()),
        }
    }

    /// The code of a refusal, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            PeerError::Refused { refusal, .. } => Some(refusal.code),
            _ => None,
        }
    }
}

/// What kind of no it was; programs look at this, people at the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The bytes asked for are not there.
    NotHeld,
    /// Asked of a site that is not the resident.
    NotResident,
    /// The relay knows no way on.
    NoRoute,
    /// The device is in use there.
    InUse,
    /// The request is against the rules (epochs, lineages, attempts).
    Rules,
    /// The attempt is not, or no longer, prepared there: its table is sent again.
    NotPrepared,
    /// The sites are in different lineages.
    Diverged,
    /// There is no such disk.
    NoDisk,
    /// Its store failed.
    Failed,
    /// Ask once more in a moment.
    Again,
    /// The request makes no sense.
    Senseless,
    /// The asker's key does not permit it.
    Forbidden,
    /// A code that this program does not know.
    #[serde(other)]
    Other,
}

/// A no, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// One full sentence.
    pub message: String,
    /// What to do, if something can be done.
    pub hint: Option<String>,
}

impl Refusal {
    /// A no of a kind.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: None }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    /// Of bounded length and fit for a terminal and a log: what a peer says is shown to people.
    #[must_use]
    pub fn tamed(self) -> Refusal {
        Refusal { code: self.code, message: tame(&self.message), hint: self.hint.as_deref().map(tame) }
    }

    /// From an error with its sources, joined; a peer's brings its hint.
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Refusal {
        let hint = error.downcast_ref::<PeerError>().and_then(PeerError::hint);
        Refusal { hint, ..Refusal::new(Code::Failed, chain(error)) }
    }
}

/// Foreign text for people: short, and without characters that steer a terminal or forge a line of a log.
#[must_use]
pub fn tame(text: &str) -> String {
    text.chars().take(SENTENCE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
