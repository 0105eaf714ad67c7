//! Who we are, to the host: the agent's keys, then the key files.
//!
//! Servers count attempts (six, usually) and then hang up. So the keys that the settings name come first, wherever
//! they are kept, and the agent's other keys last.

use ssh2::{ErrorCode, Session};

use crate::deadline::Deadline;
use crate::error::DialError;
use crate::key_file::{Identity, Use};
use crate::ssh_config::{Agent, Settings};

/// Keys tried at most.
const TRIED_MAX: usize = 20;

/// Error codes of libssh2 that say that the connection is gone: a send, a receive, a disconnect.
const GONE: [i32; 3] = [-7, -43, -13];
/// "Unverified" is a signature that was not made, and, told apart by the words only, an answer that never came.
const UNVERIFIED: i32 = -19;
/// libssh2 ran out of time.
pub(crate) const TIMEOUT: i32 = -9;

/// How a login that was refused went.
struct Attempts<'a> {
    session: &'a Session,
    settings: &'a Settings,
    deadline: Deadline,
    tried: Vec<String>,
}

enum Outcome {
    In,
    No,
    /// No more can be tried.
    Over,
}

/// Logs in.
///
/// # Errors
/// [`DialError::LoginRefused`] with what was tried.
pub(crate) fn log_in(
    session: &Session,
    settings: &Settings,
    identities: &[Identity],
    deadline: Deadline,
) -> Result<(), DialError> {
    let mut attempts = Attempts { session, settings, deadline, tried: Vec::new() };
    let outcome = match attempts.all(identities)? {
        Outcome::No => attempts.ask()?,
        outcome => outcome,
    };
    match outcome {
        Outcome::In => Ok(()),
        Outcome::No => Err(attempts.refused("")),
        Outcome::Over => Err(attempts.refused("then it hung up")),
    }
}

impl Attempts<'_> {
    fn refused(&self, more: &str) -> DialError {
        let mut tried = self.tried.clone();
        if !more.is_empty() {
            tried.push(more.to_owned());
        }
        let tried = if tried.is_empty() { "there is none".to_owned() } else { tried.join(", ") };
        DialError::LoginRefused {
            user: self.settings.user.clone(),
            host: self.settings.host.clone(),
            tried: tried.chars().filter(|c| !c.is_control()).collect(),
        }
    }

    fn all(&mut self, identities: &[Identity]) -> Result<Outcome, DialError> {
        let named = |blob: &[u8]| identities.iter().any(|i| i.public.as_deref() == Some(blob));
        let agent = self.agent();
        let keys = agent.as_ref().and_then(|agent| agent.identities().ok()).unwrap_or_default();
        let (first, last): (Vec<_>, Vec<_>) = keys.iter().partition(|key| named(key.blob()));
        let by_agent = |key: &ssh2::PublicKey, user: &str| match &agent {
            Some(agent) => agent.userauth(user, key),
            None => Ok(()),
        };
        for key in &first {
            match self.attempt(format!("agent key {}", key.comment()), |_, user| by_agent(key, user))? {
                Outcome::No => {}
                done => return Ok(done),
            }
        }
        for identity in identities.iter().filter(|identity| identity.can == Use::Sign) {
            let of_agent = first.iter().any(|key| identity.public.as_deref() == Some(key.blob()));
            if of_agent {
                continue;
            }
            let file = |session: &Session, user: &str| {
                session.userauth_pubkey_file(user, None, &identity.path, None)
            };
            match self.attempt(identity.path.display().to_string(), file)? {
                Outcome::No => {}
                done => return Ok(done),
            }
        }
        for key in last.iter().filter(|_| !self.settings.identities_only) {
            match self.attempt(format!("agent key {}", key.comment()), |_, user| by_agent(key, user))? {
                Outcome::No => {}
                done => return Ok(done),
            }
        }
        Ok(Outcome::No)
    }

    /// Asks what it takes, which asks to be let in without any key; some servers do that. It comes last: it costs a round trip, and,
    /// after a key that was refused, one of the attempts that servers count.
    fn ask(&mut self) -> Result<Outcome, DialError> {
        self.session.set_timeout(self.deadline.left_ms()?);
        let methods = self.session.auth_methods(&self.settings.user).map(str::to_owned).unwrap_or_default();
        if self.session.authenticated() {
            return Ok(Outcome::In);
        }
        if methods.is_empty() || methods.split(',').any(|method| method == "publickey") {
            return Ok(Outcome::No);
        }
        self.tried.clear();
        Err(self.refused(&format!("none, for it takes only {methods}")))
    }

    /// The agent, if there is one, with its list of keys read.
    fn agent(&self) -> Option<ssh2::Agent> {
        let mut agent = self.session.agent().ok()?;
        match &self.settings.agent {
            Agent::None => return None,
            Agent::At(path) => agent.set_identity_path(path).ok()?,
            Agent::Environment => std::env::var_os("SSH_AUTH_SOCK").map(drop)?,
        }
        agent.connect().ok()?;
        agent.list_identities().ok()?;
        Some(agent)
    }

    fn attempt(
        &mut self,
        what: String,
        log_in: impl FnOnce(&Session, &str) -> Result<(), ssh2::Error>,
    ) -> Result<Outcome, DialError> {
        if self.tried.len() >= TRIED_MAX {
            return Ok(Outcome::Over);
        }
        self.session.set_timeout(self.deadline.left_ms()?);
        self.tried.push(what);
        match log_in(self.session, &self.settings.user) {
            Ok(()) if self.session.authenticated() => Ok(Outcome::In),
            Ok(()) => Ok(Outcome::No),
            Err(e) => match e.code() {
                ErrorCode::Session(TIMEOUT) => Err(self.deadline.passed()),
                ErrorCode::Session(code) if GONE.contains(&code) => Ok(Outcome::Over),
                ErrorCode::Session(UNVERIFIED) if e.message().starts_with("Waiting for") => Ok(Outcome::Over),
                _ => Ok(Outcome::No),
            },
        }
    }
}
