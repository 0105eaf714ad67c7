//! The renderer's heap: what one picture needed is there for the next.
//!
//! glibc gives the top of its heap back to the system as soon as 128 KiB of it are free. Drivers that draw in software take some
//! megabytes for each picture and free them with it, so each picture had all of its pages anew: a thousand page faults and seven calls
//! for one of glmark2's refract, a tenth of what its first thread did (and none in the program itself, which has something above).

/// Less than this that is free at the top stays, in bytes: more than a picture of most programs takes.
const STAYS: i32 = 64 << 20;
/// What is larger than this is mapped, and unmapped, by itself: the most that glibc takes.
const MAPPED: i32 = 32 << 20;

/// Has freed memory stay. The process's limits bound it, as before ([`crate::sandbox`]).
pub(crate) fn keep() {
    #[cfg(target_env = "gnu")]
    // SAFETY: two numbers of the allocator's, which it takes at any time.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, STAYS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Pages that this process had to be given so far, without anything being read for them.
    fn faults() -> i64 {
        // SAFETY: all zero is a valid one.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: it is written to, and lives.
        assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
        usage.ru_minflt
    }

    #[test]
    fn memory_that_one_picture_needed_is_there_for_the_next() {
        keep();
        let picture = || {
            let parts: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 100 << 10]).collect();
            drop(std::hint::black_box(parts));
        };
        picture();
        let before = faults();
        (0..20).for_each(|_| picture());
        // One alone has 1600.
        assert!(faults() - before < 1600, "{}", faults() - before);
    }
}
