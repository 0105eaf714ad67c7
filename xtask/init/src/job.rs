//! What the guest is asked to do, as a file in its initramfs.
//!
//! Format: `name=value` entries, each ended by a NUL byte. Lists repeat the name. Values hold no NUL,
//! which is no loss: neither arguments, variables nor paths can.

use std::io;

/// Where the job lies in the initramfs.
pub const PATH: &str = "/job";

/// One run of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Variables of the command, `NAME=value`, on top of a fixed small environment.
    pub env: Vec<String>,
    /// The folder the command starts in.
    pub cwd: String,
    /// The guest's host name.
    pub hostname: String,
    /// The folder with the kernel's modules, as the host sees it; shown in the guest as
    /// `/lib/modules/RELEASE`.
    pub modules: String,
    /// Mount the first virtio disk, formatted as ext4 outside, at `/scratch`.
    pub scratch: bool,
    /// Run the command on the console instead of sending its output as frames.
    pub interactive: bool,
}

impl Job {
    /// The file's bytes.
    ///
    /// # Errors
    /// `InvalidInput` when a value holds a NUL.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut put = |name: &str, value: &str| {
            if value.contains('\0') {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a value of the guest's job holds a NUL",
                ));
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
            Ok(())
        };
        for value in &self.argv {
            put("argv", value)?;
        }
        for value in &self.env {
            put("env", value)?;
        }
        put("cwd", &self.cwd)?;
        put("hostname", &self.hostname)?;
        put("modules", &self.modules)?;
        put("scratch", flag(self.scratch))?;
        put("interactive", flag(self.interactive))?;
        Ok(bytes)
    }

    /// The job in the file's bytes.
    ///
    /// # Errors
    /// `InvalidData` for bytes that are no job.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the guest's job cannot be read");
        let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
        let mut job = Self::default();
        for entry in text.split_terminator('\0') {
            let (name, value) = entry.split_once('=').ok_or_else(bad)?;
            let value = value.to_owned();
            match name {
                "argv" => job.argv.push(value),
                "env" => job.env.push(value),
                "cwd" => job.cwd = value,
                "hostname" => job.hostname = value,
                "modules" => job.modules = value,
                "scratch" => job.scratch = value == flag(true),
                "interactive" => job.interactive = value == flag(true),
                _ => return Err(bad()),
            }
        }
        if job.argv.is_empty() { Err(bad()) } else { Ok(job) }
    }
}

fn flag(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back_as_it_was_written() {
        let job = Job {
            argv: vec!["sh".into(), "-c".into(), "echo a=b\n".into(), String::new()],
            env: vec!["A=1=2".into()],
            cwd: "/somewhere".into(),
            hostname: "guest".into(),
            modules: "/m".into(),
            scratch: true,
            interactive: false,
        };
        assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), job);
    }

    #[test]
    fn nul_and_garbage_are_refused() {
        assert!(Job { argv: vec!["a\0b".into()], ..Job::default() }.encode().is_err());
        assert!(Job::decode(b"").is_err());
        assert!(Job::decode(b"argv").is_err());
        assert!(Job::decode(b"what=ever\0").is_err());
    }
}
