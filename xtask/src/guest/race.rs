//! A race of older QEMUs with a kernel that patches its own code, kept away from and recognised.
//!
//! Linux changes a branch of its code (a static key) by way of a breakpoint: other processors that meet it meanwhile wait. QEMU
//! before 8.1 reads the code that it translates before it locks its page ("accel/tcg: Always lock pages before translation"
//! ended that), so one processor may go on with a translation of the breakpoint that another has replaced since. There it
//! is an `int3` of nobody, and the kernel dies: in the scheduler's clock, mostly, which all processors read and which is
//! patched when the clock of a booting machine is found to be stable.
//!
//! So a translated guest boots with one processor, which cannot race with itself, and init brings up the others
//! (`processors.rs` there) when nearly all of that is done; and nothing watches the clock and patches it back later.
//! What is left is recognised.
//!
//! Invariant: a boot is begun again only if nothing of ours has run in it.

use guest_init::BEGUN;

/// For the kernel of a translated guest: one processor at first, without code for one only, which would have to be patched
/// when the second comes; its clock, which all processors share in QEMU, is not watched.
pub(super) const PARAMETERS: &str = "maxcpus=1 noreplace-smp tsc=reliable";

/// How the kernel calls a breakpoint that is nobody's.
const OOPS: &str = "int3: 0000 [#1]";

/// Has the kernel died of the race before its first process was there?
pub(super) fn lost(console: &str) -> bool {
    console.contains(OOPS) && !console.contains(BEGUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIED: &str = "\
[    2.151001] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI
[    2.151001] CPU: 1 UID: 0 PID: 0 Comm: swapper/1 Not tainted 6.12.94+deb12-amd64 #1  Debian 6.12.94-1~bpo12+1
[    2.151001] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
[    2.151001] RIP: 0010:sched_clock_cpu+0x6/0x1c0
[    2.151001] Kernel panic - not syncing: Fatal exception in interrupt
";

    #[test]
    fn a_kernel_that_met_a_breakpoint_of_nobody_at_its_boot_lost_the_race() {
        assert!(lost(DIED));
        assert!(lost(&DIED.replace("Oops: int3", "int3")), "as older kernels say it");
    }

    #[test]
    fn what_dies_after_init_has_begun_is_not_begun_again() {
        assert!(!lost(&format!("{BEGUN}\n{DIED}")));
    }

    #[test]
    fn other_deaths_are_not_the_race() {
        assert!(!lost(""));
        assert!(!lost(&DIED.replace("int3", "general protection fault")));
        assert!(!lost("[    1.0] Kernel panic - not syncing: No working init found."));
    }
}
