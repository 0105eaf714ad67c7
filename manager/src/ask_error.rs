//! Why a supervisor, or another site, gave no answer: in sentences that name the site which says so.

use std::io;
use std::time::Duration;

/// Why nothing was answered, or what was.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The stream broke.
    #[error("the connection to the agent's supervisor broke")]
    Io(#[from] io::Error),
    /// It ended before an answer.
    #[error("the agent's supervisor ended before it answered")]
    Closed,
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It said what cannot be understood.
    #[error("the answer cannot be understood")]
    Nonsense,
    /// It refused, or failed.
    #[error("{message}")]
    Refused {
        /// The sentence.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// No supervisor could be started.
    #[error("the agent's supervisor could not be started: {0}")]
    Start(String),
    /// The site cannot be reached.
    #[error("site {site:?} does not answer")]
    Unreachable {
        /// Its name.
        site: String,
        /// Why.
        source: Box<AskError>,
    },
    /// The site is not known, or its address leads nowhere.
    #[error(transparent)]
    Site(#[from] crate::sites::SiteError),
    /// Not in the list of agents.
    #[error(transparent)]
    Store(#[from] crate::agent::store::StoreError),
    /// What is written of the agent makes no sense.
    #[error("the agent's journal cannot be understood")]
    Journal(#[source] serde_json::Error),
    /// Each site names another one.
    #[error("the agent {agent:?} cannot be found: {hops} sites say that it is at another one")]
    Lost {
        /// Its name.
        agent: String,
        /// Sites that were asked.
        hops: usize,
    },
}

impl AskError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            AskError::Refused { hint, .. } => hint.clone(),
            AskError::Site(site) => site.hint().map(str::to_owned),
            AskError::Unreachable { site, .. } => {
                Some(format!("is snowbird installed there? `wandisk site check {site}` tests the link"))
            }
            AskError::Closed | AskError::Io(_) => Some("`snowbird status` tells how it stands".to_owned()),
            _ => None,
        }
    }

    /// What another site said of itself, said here: with its name, unless that is there already. (What it calls "here" is elsewhere for
    /// whoever reads it.) All else names the site already, or is of this one.
    #[must_use]
    pub fn at(self, site: &str) -> AskError {
        match self {
            AskError::Refused { message, hint } => {
                AskError::Refused { message: said_at(site, &message), hint }
            }
            other => other,
        }
    }
}

/// A sentence that was said at a site, with its name.
pub(crate) fn said_at(site: &str, message: &str) -> String {
    let at = format!("at site {site:?}, ");
    if message.starts_with(&at) { message.to_owned() } else { format!("{at}{message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_site_says_is_told_with_its_name_once_and_with_its_hint() {
        let refused =
            AskError::Refused { message: "there is no QEMU".to_owned(), hint: Some("install it".to_owned()) };
        let told = refused.at("b").at("b");
        assert_eq!(told.to_string(), "at site \"b\", there is no QEMU");
        assert_eq!(told.hint().as_deref(), Some("install it"));
    }
}
