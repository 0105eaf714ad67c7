//! KVM where it really boots our kernel, emulation elsewhere.
//!
//! `/dev/kvm` says little: nested virtualisation may be there and not boot. So a short command is run
//! once with each kernel, and the answer kept until kernel, QEMU or machine change.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Options, boot, race};
use crate::setup::kernel::Kernel;
use crate::{process, workspace};

/// How the guest's instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// By the processor.
    Kvm,
    /// By translation, one thread a processor.
    Emulation,
}

impl Accelerator {
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }

    /// What its kernel is told besides.
    pub(super) fn parameters(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Emulation => race::PARAMETERS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "emulation",
        }
    }
}

/// Long enough for a boot under KVM, short enough to be waited for once.
const TRIAL: Duration = Duration::from_secs(15);

/// The kept answer, or a new one.
pub(super) fn choose(kernel: &Kernel) -> Result<Accelerator> {
    if std::fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accelerator::Emulation);
    }
    let version = process::output(Command::new("qemu-system-x86_64").arg("--version"))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let question =
        [kernel.release(), version.lines().next().unwrap_or_default(), host.trim(), boot_id.trim()];
    let question = question.join(" / ");
    let file = workspace::guest().join(format!("accelerator-{}", kernel.release()));
    if let Ok(kept) = std::fs::read_to_string(&file)
        && let Some((about, answer)) = kept.trim_end().rsplit_once(": ")
        && about == question
    {
        return Ok(if answer == Accelerator::Kvm.name() { Accelerator::Kvm } else { Accelerator::Emulation });
    }
    let options =
        Options { scratch_bytes: 0, memory_mib: 512, limit: TRIAL, shown: false, ..Options::default() };
    let answer = match boot(kernel, Accelerator::Kvm, &["true".to_owned()], &options) {
        Ok(0) => Accelerator::Kvm,
        Ok(_) | Err(_) => Accelerator::Emulation,
    };
    eprintln!("xtask: /dev/kvm tried: the guest runs by {}", answer.name());
    std::fs::write(&file, format!("{question}: {}\n", answer.name()))?;
    Ok(answer)
}
