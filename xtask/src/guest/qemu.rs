//! The guest's QEMU command line.

use std::process::Command;

use anyhow::{Context, Result};
use guest_init::frame::PORT_NAME;

use super::accelerator::Accelerator;
use super::run_folder::RunFolder;
use super::{Options, stream};
use crate::image::Image;
use crate::process;
use crate::setup::kernel::Kernel;

/// The whole command. QEMU is started through `setpriv`, which has the kernel kill it when this process
/// dies, however that happens.
pub(super) fn command(
    kernel: &Kernel,
    accelerator: Accelerator,
    options: &Options,
    folder: &RunFolder,
    disks: &[Image],
) -> Result<Command> {
    let qemu =
        process::find("qemu-system-x86_64").context("qemu-system-x86_64 is missing: cargo xtask setup")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35"]);
    command.args(accelerator.arguments());
    command.args(["-m", &format!("{}M", options.memory_mib), "-smp", &options.processors.to_string()]);

    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(folder.path("initramfs"));
    // A kernel that oopses stops the test instead of going on half dead: panic, then -no-reboot.
    let more = accelerator.parameters();
    let parameters = format!("console=ttyS0 loglevel=5 panic=-1 oops=panic rdinit=/init {more}");
    command.args(["-append", parameters.trim_end()]);
    command.arg("-serial").arg(format!("file:{}", plain(&folder.path("serial"))?));

    command.args(["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]);
    share(&mut command, "host", "/", true);
    share(&mut command, "share", &plain(&options.share)?, false);
    for (place, disk) in disks.iter().enumerate() {
        // The disks die with the run: no need to wait for the host's own disk.
        let file = plain(disk.path())?;
        command.arg("-drive").arg(format!(
            "if=none,id=disk{place},file={file},format=raw,cache=unsafe,discard=unmap,aio=threads"
        ));
        command.args(["-device", &format!("virtio-blk-pci,drive=disk{place}")]);
    }

    command.args(["-device", "virtio-serial-pci"]);
    if options.interactive {
        command.args(["-chardev", "stdio,id=console,signal=off", "-device", "virtconsole,chardev=console"]);
        let frames = plain(&folder.path(stream::FRAMES))?;
        command.arg("-chardev").arg(format!("file,id=frames,path={frames}"));
    } else {
        command.args(["-chardev", "stdio,id=frames,signal=off"]);
    }
    command.args(["-device", &format!("virtserialport,chardev=frames,name={PORT_NAME}")]);
    command.args(&options.qemu);
    Ok(command)
}

fn share(command: &mut Command, tag: &str, path: &str, read_only: bool) {
    let read_only = if read_only { ",readonly=on" } else { "" };
    let options = format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{read_only}");
    command.args(["-virtfs", &options]);
}

/// A path as a part of an option of QEMU's, where a comma stands as two.
fn plain(path: &std::path::Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?.replace(',', ",,"))
}
