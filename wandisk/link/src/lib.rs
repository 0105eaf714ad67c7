//! Byte streams to `wandisk serve --stdio` at other sites.
//!
//! Two kinds, one [`Stream`]: `cmd:` runs any program and uses its standard input and output; `ssh://` logs in from
//! inside this process with libssh2, and where that cannot do what the user's ssh configuration asks for (jump hosts,
//! certificates, hardware keys) runs the `ssh` program as a `cmd:` would.
//!
//! Invariant: only this crate starts programs for links and only it speaks SSH; nothing here knows of disks.
//! Invariant: a host whose key is not known, or has changed, is never talked to.
//! Fault model: the far side may be silent, close at any byte, or fill standard error for ever.

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "ssh"), allow(dead_code, reason = "only the in-process kind uses it"))]

mod address;
mod command;
mod error;
#[cfg(feature = "ssh")]
mod known_hosts;
#[cfg(feature = "ssh")]
mod ssh;
mod ssh_config;
mod stream;
mod tail;

pub use address::{Address, AddressError};
pub use error::DialError;
pub use stream::Stream;
pub use tail::Tail;

use std::path::PathBuf;
use std::time::Duration;

/// Time to reach the host and log in.
const DIAL: Duration = Duration::from_secs(15);

/// What runs at the far end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// `--home` of the far wandisk; its default otherwise.
    pub remote_home: Option<String>,
    /// The far program; `wandisk` on its path otherwise.
    pub remote_wandisk: Option<String>,
    /// Another ssh configuration file than the user's; else the one that `$WANDISK_SSH_CONFIG` names.
    pub ssh_config: Option<PathBuf>,
}

impl DialOptions {
    /// The words of the far command.
    fn far_command(&self) -> Vec<String> {
        let mut words = vec![self.remote_wandisk.clone().unwrap_or_else(|| "wandisk".to_owned())];
        if let Some(home) = &self.remote_home {
            words.extend(["--home".to_owned(), home.clone()]);
        }
        words.extend(["serve".to_owned(), "--stdio".to_owned()]);
        words
    }
}

/// Opens a stream to a site.
///
/// # Errors
/// [`DialError`]: which step failed, and what to do.
pub async fn dial(address: &Address, options: &DialOptions) -> Result<Stream, DialError> {
    match address {
        Address::Command(words) => command::start(&command::with_far_command(words, &options.far_command())),
        Address::Ssh(host) => {
            let far_command = shell_words::join(options.far_command());
            let config = options
                .ssh_config
                .clone()
                .or_else(|| std::env::var_os("WANDISK_SSH_CONFIG").map(PathBuf::from));
            dial_ssh(host.clone(), far_command, config).await
        }
    }
}

#[cfg(feature = "ssh")]
async fn dial_ssh(
    host: address::SshHost,
    far_command: String,
    config: Option<PathBuf>,
) -> Result<Stream, DialError> {
    let dialled = tokio::task::spawn_blocking(move || ssh::dial(&host, &far_command, config.as_deref()));
    match tokio::time::timeout(DIAL, dialled).await {
        Err(_) => Err(DialError::TimedOut { after: DIAL }),
        Ok(Err(_)) => Err(DialError::Ended),
        Ok(Ok(Ok(ssh::Dialled::Stream(stream)))) => Ok(*stream),
        Ok(Ok(Ok(ssh::Dialled::UseProgram(words)))) => command::start(&words),
        Ok(Ok(Err(e))) => Err(e),
    }
}

#[cfg(not(feature = "ssh"))]
async fn dial_ssh(
    host: address::SshHost,
    far_command: String,
    config: Option<PathBuf>,
) -> Result<Stream, DialError> {
    command::start(&ssh_config::program(&host, &far_command, config.as_deref()))
}
