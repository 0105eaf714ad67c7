//! The user's ssh settings for a host, as the `ssh` program itself resolves them (`ssh -G`); defaults without it.

#[cfg(feature = "ssh")]
use std::io;
use std::path::Path;
#[cfg(feature = "ssh")]
use std::path::PathBuf;
#[cfg(feature = "ssh")]
use std::process::{Command, Stdio};

use crate::address::SshHost;

/// What matters of the settings for a link.
#[cfg(feature = "ssh")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// The name under which the host's key is filed.
    pub(crate) key_name: String,
    pub(crate) identities: Vec<PathBuf>,
    pub(crate) identities_only: bool,
    pub(crate) known_hosts: Vec<PathBuf>,
    /// A new host's key is noted and believed (`StrictHostKeyChecking accept-new` or `no`).
    pub(crate) accept_new: bool,
    /// Something that only the `ssh` program can do.
    pub(crate) needs_program: bool,
    /// There is an `ssh` program.
    pub(crate) program: bool,
}

#[cfg(feature = "ssh")]
fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_default())
}

#[cfg(feature = "ssh")]
fn expand(path: &str) -> PathBuf {
    path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| home().join(rest))
}

/// The `ssh` program's first words, with the configuration that is to be used.
fn program_words(config: Option<&Path>) -> Vec<String> {
    let mut words = vec!["ssh".to_owned()];
    if let Some(config) = config {
        words.extend(["-F".to_owned(), config.display().to_string()]);
    }
    words
}

/// The `ssh` program with everything, for what cannot be done from inside this process.
pub(crate) fn program(host: &SshHost, far_command: &str, config: Option<&Path>) -> Vec<String> {
    let mut words = program_words(config);
    words.extend(["-o".to_owned(), "BatchMode=yes".to_owned()]);
    words.extend(host_words(host));
    words.push(far_command.to_owned());
    words
}

/// Words that name the host to the `ssh` program.
fn host_words(host: &SshHost) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(user) = &host.user {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = host.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), host.host.clone()]);
    words
}

/// Resolves the settings for a host.
#[cfg(feature = "ssh")]
pub(crate) fn resolve(host: &SshHost, config: Option<&Path>) -> io::Result<Settings> {
    let words = program_words(config);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg("-G")
        .args(host_words(host))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(parse(host, &String::from_utf8_lossy(&output.stdout))),
        Ok(_) => Err(io::Error::other("ssh -G does not understand the host or the ssh configuration")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(defaults(host)),
        Err(e) => Err(e),
    }
}

#[cfg(feature = "ssh")]
fn defaults(host: &SshHost) -> Settings {
    let user =
        || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    let identity = |name: &str| home().join(".ssh").join(name);
    Settings {
        host: host.host.clone(),
        port: host.port.unwrap_or(22),
        user: host.user.clone().unwrap_or_else(user),
        key_name: host.host.clone(),
        identities: ["id_ed25519", "id_ecdsa", "id_rsa"].map(identity).to_vec(),
        identities_only: false,
        known_hosts: vec![identity("known_hosts"), PathBuf::from("/etc/ssh/ssh_known_hosts")],
        accept_new: false,
        needs_program: false,
        program: false,
    }
}

#[cfg(feature = "ssh")]
fn parse(host: &SshHost, text: &str) -> Settings {
    let mut settings =
        Settings { identities: Vec::new(), known_hosts: Vec::new(), program: true, ..defaults(host) };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        match key {
            "hostname" => value.clone_into(&mut settings.host),
            "port" => settings.port = value.parse().unwrap_or(settings.port),
            "user" => value.clone_into(&mut settings.user),
            "hostkeyalias" => value.clone_into(&mut settings.key_name),
            "identityfile" => settings.identities.push(expand(value)),
            "identitiesonly" => settings.identities_only = value == "yes",
            "userknownhostsfile" => {
                // The user's come first: new hosts are noted in the first file.
                settings.known_hosts.splice(0..0, value.split(' ').map(expand));
            }
            "globalknownhostsfile" => settings.known_hosts.extend(value.split(' ').map(expand)),
            "stricthostkeychecking" => {
                settings.accept_new = matches!(value, "accept-new" | "no" | "off" | "false");
            }
            "proxyjump" | "proxycommand" | "certificatefile" | "pkcs11provider" => {
                settings.needs_program |= value != "none";
            }
            _ => {}
        }
    }
    if settings.key_name == host.host {
        settings.key_name.clone_from(&settings.host);
    }
    settings
}

#[cfg(all(test, feature = "ssh"))]
mod tests {
    use super::*;

    fn host() -> SshHost {
        SshHost { user: None, host: "big".to_owned(), port: None }
    }

    #[test]
    fn what_ssh_resolves_is_taken_over() {
        let text = "user me\nhostname 10.0.0.7\nport 2222\nidentityfile ~/.ssh/work\nidentitiesonly yes\n\
                    userknownhostsfile /a /b\nproxycommand none\nstricthostkeychecking accept-new\n";
        let settings = parse(&host(), text);
        assert_eq!((settings.host.as_str(), settings.port, settings.user.as_str()), ("10.0.0.7", 2222, "me"));
        assert_eq!(settings.known_hosts, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(settings.identities_only && settings.accept_new && !settings.needs_program);
        assert_eq!(settings.key_name, "10.0.0.7");
    }

    #[test]
    fn what_only_the_program_can_do_is_left_to_it() {
        assert!(parse(&host(), "proxyjump bastion\n").needs_program);
        assert!(parse(&host(), "certificatefile ~/.ssh/c.pub\n").needs_program);
    }
}
