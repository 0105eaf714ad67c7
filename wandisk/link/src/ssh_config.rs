//! The user's ssh settings for a host, as the `ssh` program itself resolves them (`ssh -G`); defaults without it.

#[cfg(feature = "ssh")]
use std::io;
use std::path::Path;
#[cfg(feature = "ssh")]
use std::path::PathBuf;
#[cfg(feature = "ssh")]
use std::process::Stdio;

use crate::address::SshHost;
#[cfg(feature = "ssh")]
use crate::error::DialError;
#[cfg(feature = "ssh")]
use crate::known_hosts::Filed;

/// What matters of the settings for a link.
#[cfg(feature = "ssh")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// Where the host's key is filed.
    pub(crate) filed: Filed,
    pub(crate) identities: Vec<PathBuf>,
    /// Of the agent's keys, only those that are also named as identities.
    pub(crate) identities_only: bool,
    pub(crate) agent: Agent,
    pub(crate) known_hosts: Vec<PathBuf>,
    /// A new host's key is noted and believed (`StrictHostKeyChecking accept-new` or `no`). A changed one never is.
    pub(crate) accept_new: bool,
    /// Something that only the `ssh` program can do.
    pub(crate) needs_program: bool,
    /// There is an `ssh` program.
    pub(crate) program: bool,
}

/// Where the agent is.
#[cfg(feature = "ssh")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Where `$SSH_AUTH_SOCK` says.
    Environment,
    At(PathBuf),
    None,
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

/// Options of the `ssh` program for a link: it asks nobody, opens nothing else, and notices a dead host. The settings
/// of a host that are meant for people at a terminal would spoil the stream.
const FOR_LINKS: [&str; 9] = [
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "RequestTTY=no",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "EscapeChar=none",
];

/// For a connection of its own: one that is shared with others is no wider for one more.
const OF_ITS_OWN: &str = "ControlPath=none";

/// The `ssh` program with everything, for what cannot be done from inside this process, or `by_program` for what should not.
pub(crate) fn program(
    host: &SshHost,
    far_command: &str,
    config: Option<&Path>,
    by_program: bool,
) -> Vec<String> {
    let mut words = program_words(config);
    let own = by_program.then_some(&OF_ITS_OWN);
    words.extend(FOR_LINKS.iter().chain(own).flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
    words.extend(["-a".to_owned(), "-x".to_owned()]);
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

/// Resolves the settings for a host. The configuration may run programs (`Match exec`): the caller limits the time.
#[cfg(feature = "ssh")]
pub(crate) async fn resolve(host: &SshHost, config: Option<&Path>) -> Result<Settings, DialError> {
    let words = program_words(config);
    let output = tokio::process::Command::new(&words[0])
        .args(&words[1..])
        .arg("-G")
        .args(host_words(host))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => Ok(parse(host, &String::from_utf8_lossy(&output.stdout))),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().last().unwrap_or_default().chars().take(400).collect();
            Err(DialError::Configuration { said })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(defaults(host)),
        Err(e) => Err(e.into()),
    }
}

#[cfg(feature = "ssh")]
fn defaults(host: &SshHost) -> Settings {
    let user =
        || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    let identity = |name: &str| home().join(".ssh").join(name);
    let port = host.port.unwrap_or(22);
    Settings {
        host: host.host.clone(),
        port,
        user: host.user.clone().unwrap_or_else(user),
        filed: Filed::new(&host.host, port, None),
        identities: ["id_ed25519", "id_ecdsa", "id_rsa"].map(identity).to_vec(),
        identities_only: false,
        agent: Agent::Environment,
        known_hosts: vec![identity("known_hosts"), PathBuf::from("/etc/ssh/ssh_known_hosts")],
        accept_new: false,
        needs_program: false,
        program: false,
    }
}

/// Settings that ask for something only the `ssh` program can do, unless their value is one of these.
#[cfg(feature = "ssh")]
const PROGRAM_ONLY: [(&str, &[&str]); 9] = [
    ("proxyjump", &["none"]),
    ("proxycommand", &["none"]),
    ("certificatefile", &["none"]),
    ("pkcs11provider", &["none"]),
    ("knownhostscommand", &["none"]),
    ("revokedhostkeys", &["none"]),
    ("bindaddress", &[]),
    ("bindinterface", &[]),
    ("addressfamily", &["any"]),
];

#[cfg(feature = "ssh")]
fn parse(host: &SshHost, text: &str) -> Settings {
    let mut settings =
        Settings { identities: Vec::new(), known_hosts: Vec::new(), program: true, ..defaults(host) };
    let mut alias = None;
    let mut global = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        match key {
            "hostname" => value.clone_into(&mut settings.host),
            "port" => settings.port = value.parse().unwrap_or(settings.port),
            "user" => value.clone_into(&mut settings.user),
            "hostkeyalias" => alias = Some(value),
            "identityfile" if value == "none" => {}
            "identityfile" => {
                // `ssh -G` leaves its tokens as they are.
                settings.needs_program |= value.contains('%') || value.contains("${");
                settings.identities.push(expand(value));
            }
            "identitiesonly" => settings.identities_only = value == "yes",
            "identityagent" => match value {
                "none" => settings.agent = Agent::None,
                "SSH_AUTH_SOCK" => {}
                _ if value.starts_with('$') || value.contains('%') => settings.needs_program = true,
                _ => settings.agent = Agent::At(expand(value)),
            },
            "pubkeyauthentication" => settings.needs_program |= value == "no",
            "userknownhostsfile" => settings.known_hosts.extend(value.split(' ').map(expand)),
            "globalknownhostsfile" => global.extend(value.split(' ').map(expand)),
            "stricthostkeychecking" => {
                settings.accept_new = matches!(value, "accept-new" | "no" | "off" | "false");
            }
            _ => {
                let odd = PROGRAM_ONLY.iter().any(|(k, fine)| *k == key && !fine.contains(&value));
                settings.needs_program |= odd;
            }
        }
    }
    // The user's come first: new hosts are noted in the first file.
    settings.known_hosts.extend(global);
    settings.filed = Filed::new(&settings.host, settings.port, alias);
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
                    globalknownhostsfile /c\nuserknownhostsfile /a /b\nproxycommand none\naddressfamily any\n\
                    stricthostkeychecking accept-new\nidentityagent /run/agent\n";
        let settings = parse(&host(), text);
        assert_eq!((settings.host.as_str(), settings.port, settings.user.as_str()), ("10.0.0.7", 2222, "me"));
        assert_eq!(settings.known_hosts, ["/a", "/b", "/c"].map(PathBuf::from));
        assert!(settings.identities_only && settings.accept_new && !settings.needs_program);
        assert_eq!(settings.filed.name, "[10.0.0.7]:2222");
        assert_eq!(settings.agent, Agent::At("/run/agent".into()));
    }

    #[test]
    fn an_alias_is_the_name_that_the_key_is_filed_under() {
        assert_eq!(
            parse(&host(), "hostname 10.0.0.7\nport 2222\nhostkeyalias big\n").filed.name,
            "big",
            "even where it is what the user typed"
        );
    }

    #[test]
    fn what_only_the_program_can_do_is_left_to_it() {
        for text in [
            "proxyjump bastion",
            "certificatefile ~/.ssh/c.pub",
            "identityfile ~/.ssh/%h",
            "identityagent $MINE",
            "bindaddress 10.0.0.1",
            "addressfamily inet6",
        ] {
            assert!(parse(&host(), &format!("{text}\n")).needs_program, "{text}");
        }
    }
}
