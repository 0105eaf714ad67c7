//! What a dynamically linked file wants of the machine that it is to run on, as `objdump -p` tells it (binutils, which the linker is of).

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A version of glibc, as its symbols have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Glibc(Vec<u32>);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        write!(f, "glibc {}", numbers.join("."))
    }
}

/// What has to be there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The newest version of which a symbol is wanted: older ones do not run it.
    pub(super) glibc: Glibc,
    /// Libraries that are loaded with it and are not glibc's own.
    pub(super) libraries: Vec<String>,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or newer", self.glibc)?;
        self.libraries.iter().try_for_each(|library| write!(f, ", {library}"))
    }
}

impl Needs {
    /// Of a file.
    pub(super) fn of(file: &Path) -> Result<Needs> {
        let said = process::output(Command::new("objdump").arg("-p").arg(file))?;
        Needs::read(&said).with_context(|| format!("what {} needs is not known", file.display()))
    }

    fn read(said: &str) -> Result<Needs> {
        let (mut newest, mut libraries, mut source) = (None, Vec::new(), String::new());
        for line in said.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["NEEDED", library] => libraries.push(library.to_owned()),
                ["required", "from", library] => library.trim_end_matches(':').clone_into(&mut source),
                [.., name] if !source.is_empty() && name.starts_with("GLIBC_") => {
                    let numbers = name.trim_start_matches("GLIBC_").split('.').map(str::parse);
                    let numbers: Result<Vec<u32>, _> = numbers.collect();
                    let version = Glibc(numbers.with_context(|| format!("{name} names no version"))?);
                    newest = newest.max(Some(version));
                    // A library with symbols of these versions is one of glibc's.
                    libraries.retain(|library| *library != source);
                }
                _ => {}
            }
        }
        Ok(Needs { glibc: newest.context("it wants no version of glibc's")?, libraries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
Dynamic Section:
  NEEDED               libgcc_s.so.1
  NEEDED               libc.so.6
  NEEDED               ld-linux-x86-64.so.2
  INIT                 0x0000000000001000

Version References:
  required from libgcc_s.so.1:
    0x0b792650 0x00 05 GCC_3.0
  required from libc.so.6:
    0x09691a75 0x00 03 GLIBC_2.2.5
    0x069691b4 0x00 02 GLIBC_2.34
    0x0d696919 0x00 08 GLIBC_2.9
  required from ld-linux-x86-64.so.2:
    0x0d696913 0x00 10 GLIBC_2.3
";

    #[test]
    fn the_newest_version_is_named_and_what_is_not_glibcs() {
        let needs = Needs::read(SAID).unwrap();
        assert_eq!(needs.to_string(), "glibc 2.34 or newer, libgcc_s.so.1");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(Glibc(vec![2, 9]) < Glibc(vec![2, 34]) && Glibc(vec![2, 2, 5]) < Glibc(vec![2, 3]));
    }

    #[test]
    fn a_mark_that_is_no_version_is_not_passed_over() {
        let odd = SAID.replace("GLIBC_2.9", "GLIBC_ABI_DT_RELR");
        assert!(Needs::read(&odd).is_err());
        assert!(Needs::read("").is_err());
    }
}
