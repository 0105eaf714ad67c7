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
mod deadline;
mod error;
#[cfg(test)]
mod fuzz;
#[cfg(feature = "ssh")]
mod host;
#[cfg(feature = "ssh")]
mod key_file;
#[cfg(feature = "ssh")]
mod known_hosts;
#[cfg(feature = "ssh")]
mod login;
#[cfg(feature = "ssh")]
mod pump;
#[cfg(feature = "ssh")]
mod ssh;
mod ssh_config;
mod stream;
mod tail;

pub use address::{Address, AddressError, SshHost};
pub use error::{DialError, FarEnd};
pub use stream::Stream;
pub use tail::Tail;

use std::path::PathBuf;
use std::time::Duration;

/// Time to reach the host and log in.
const DIAL: Duration = Duration::from_secs(15);

/// What runs at the far end, and how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// `--home` of the far wandisk; its default otherwise.
    pub remote_home: Option<String>,
    /// The far program; `wandisk` on its path otherwise.
    pub remote_wandisk: Option<String>,
    /// More arguments after `serve --stdio`. A `cmd:` that is a whole command does not get them.
    pub serve_args: Vec<String>,
    /// Another ssh configuration file than the user's; else the one that `$WANDISK_SSH_CONFIG` names.
    pub ssh_config: Option<PathBuf>,
    /// An `ssh://` link by the `ssh` program at once: for much at a time it takes half of what libssh2 takes of a
    /// processor, which encrypts 16 bytes a call.
    pub by_program: bool,
    /// Time to reach the host and log in; 15 s otherwise. A `cmd:` is only started, which takes none.
    pub timeout: Option<Duration>,
}

impl DialOptions {
    fn far_program(&self) -> &str {
        self.remote_wandisk.as_deref().unwrap_or("wandisk")
    }

    /// The words of the far command.
    fn far_command(&self) -> Vec<String> {
        let mut words = vec![self.far_program().to_owned()];
        if let Some(home) = &self.remote_home {
            words.extend(["--home".to_owned(), home.clone()]);
        }
        words.extend(["serve".to_owned(), "--stdio".to_owned()]);
        words.extend(self.serve_args.iter().cloned());
        words
    }
}

/// Opens a stream to a site.
///
/// Whether the far program is there shows only when the stream is read: where it ends at once, [`Tail::verdict`] of
/// [`Stream::stderr`] says why.
///
/// # Errors
/// [`DialError`]: which step failed, and what to do.
pub async fn dial(address: &Address, options: &DialOptions) -> Result<Stream, DialError> {
    match address {
        Address::Command(words) => {
            let own = words.first().filter(|_| command::is_whole(words)).map(String::as_str);
            let program = own.unwrap_or_else(|| options.far_program());
            command::start(&command::with_far_command(words, &options.far_command()), program)
        }
        Address::Ssh(host) => dial_ssh(host, options).await,
    }
}

async fn dial_ssh(host: &SshHost, options: &DialOptions) -> Result<Stream, DialError> {
    let far_command = shell_words::join(options.far_command());
    let of_environment = || std::env::var_os("WANDISK_SSH_CONFIG").map(PathBuf::from);
    let config = options.ssh_config.clone().or_else(of_environment);
    #[cfg(feature = "ssh")]
    if !options.by_program {
        let deadline = deadline::Deadline::after(options.timeout.unwrap_or(DIAL));
        let program = options.far_program();
        let dialled = ssh::dial(host, program, far_command.clone(), config.as_deref(), deadline).await?;
        if let ssh::Dialled::Stream(stream) = dialled {
            return Ok(*stream);
        }
    }
    let words = ssh_config::program(host, &far_command, config.as_deref(), options.by_program);
    command::start(&words, options.far_program())
}
