//! The virtio-serial port on which init speaks to xtask.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use guest_init::frame::PORT_NAME;

/// Opens the port. The kernel names ports a moment after it finds their device, so this looks again
/// until the port is there, for at most 30 s (a guest without KVM on a busy host is slow).
pub(crate) fn open() -> io::Result<File> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(device) = find()? {
            return File::options().write(true).open(device);
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the guest has no port to speak on"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn find() -> io::Result<Option<String>> {
    let ports = match std::fs::read_dir("/sys/class/virtio-ports") {
        Ok(ports) => ports,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for port in ports {
        let port = port?;
        let name = std::fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT_NAME {
            return Ok(Some(format!("/dev/{}", port.file_name().to_string_lossy())));
        }
    }
    Ok(None)
}
