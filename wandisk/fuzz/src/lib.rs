//! Fuzz targets that are tests.
//!
//! A target is a function of bytes that panics when a promise is broken. As a plain test it is run over its kept inputs
//! (`corpus/NAME/` beside the crate's manifest), over its seeds, and over a fixed number of mutations of both: the same ones
//! each time, by a seed that is printed. `WANDISK_FUZZ_SEED` takes another seed, `WANDISK_FUZZ_EXECUTIONS` another number,
//! `WANDISK_FUZZ_KEEP=1` writes the seeds to the folder of kept inputs. Under `cargo bolero` the same function is run by a
//! fuzzer that sees which branches were taken.
//!
//! An input that breaks a promise is written to the system's temporary folder; put into `corpus/NAME/` it stays a test.

#![forbid(unsafe_code)]

mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use bolero;
pub use mutate::Mutator;

/// Kept inputs are no longer than this: they are looked at by people.
const KEPT_MAX: usize = 64 << 10;

/// A test named `$name` that runs `$target` (bytes to nothing) from `$seeds` (`Vec<Vec<u8>>`), `$executions` times.
#[macro_export]
macro_rules! target {
    ($name:ident, $executions:expr, $seeds:expr, $target:expr) => {
        #[test]
        fn $name() {
            let target = $target;
            if cfg!(fuzzing) {
                $crate::bolero::check!().for_each(|bytes: &[u8]| target(bytes));
            } else {
                let kept = ::std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
                $crate::run(&kept, stringify!($name), $executions, $seeds, target);
            }
        }
    };
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Kept inputs, in the order of their names.
fn kept(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files.into_iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

/// Runs a target; see the crate's description.
///
/// # Panics
/// When the target does, after writing the input to a file.
#[expect(clippy::print_stderr, reason = "a test tells how much it did")]
pub fn run(folder: &Path, name: &str, executions: u64, seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    let folder = folder.join(name);
    if number("WANDISK_FUZZ_KEEP").is_some() {
        keep(&folder, &seeds);
    }
    let seed = number("WANDISK_FUZZ_SEED").unwrap_or(1);
    let executions = number("WANDISK_FUZZ_EXECUTIONS").unwrap_or(executions);
    let mut inputs = kept(&folder);
    inputs.extend(seeds);
    let (began, mut done) = (Instant::now(), 0u64);
    let mut execute = |bytes: &[u8]| {
        done += 1;
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) else { return };
        let file = std::env::temp_dir().join(format!("fuzz-{name}-{seed}-{done}"));
        let written = std::fs::write(&file, bytes);
        eprintln!(
            "fuzz {name}: seed {seed}, execution {done}, {} bytes in {} ({written:?})",
            bytes.len(),
            file.display()
        );
        resume_unwind(panic);
    };
    inputs.iter().for_each(|input| execute(input));
    execute(&[]);
    let mut mutator = Mutator::new(seed);
    for _ in 0..executions {
        execute(&mutator.next(&inputs));
    }
    let kept = inputs.len();
    eprintln!(
        "fuzz {name}: {done} executions from {kept} inputs, seed {seed}, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

fn keep(folder: &Path, seeds: &[Vec<u8>]) {
    std::fs::create_dir_all(folder).ok();
    for (i, seed) in seeds.iter().enumerate().filter(|(_, s)| s.len() <= KEPT_MAX) {
        std::fs::write(folder.join(format!("seed-{i:02}")), seed).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = || {
            let seen = RefCell::new(Vec::new());
            run(Path::new("/nowhere"), "same", 200, vec![b"hello world".to_vec(), vec![0; 64]], |b| {
                seen.borrow_mut().push(b.to_vec());
            });
            seen.into_inner()
        };
        let (once, again) = (inputs(), inputs());
        assert_eq!(once, again);
        let mut different = once;
        different.sort();
        different.dedup();
        assert!(different.len() > 150, "{} inputs differ", different.len());
    }

    /// A target with a fault four bytes deep: what is known of the input leads there.
    #[test]
    fn a_fault_behind_a_length_is_found() {
        let seeds = vec![b"LEN:\x04\0\0\0abcd".to_vec()];
        let faulty = |bytes: &[u8]| {
            let Some(rest) = bytes.strip_prefix(b"LEN:") else { return };
            let Some((len, rest)) = rest.split_first_chunk::<4>() else { return };
            assert!(u32::from_le_bytes(*len) as usize <= rest.len() + 1000, "believed the length");
        };
        let found = catch_unwind(|| run(Path::new("/nowhere"), "length", 5000, seeds, faulty));
        assert!(found.is_err());
    }
}
