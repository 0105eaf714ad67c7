//! The processors that the kernel left out at its boot (`maxcpus=1`): they come up before anything looks how many there are.

use std::io;
use std::path::Path;

use crate::about;

/// Where each has a folder; the first one's has no switch.
const ALL: &str = "/sys/devices/system/cpu";

/// Brings them all up.
pub(crate) fn bring_up() -> io::Result<()> {
    for entry in std::fs::read_dir(ALL).map_err(|error| about("read", Path::new(ALL), error))? {
        let switch = entry?.path().join("online");
        let is_off = std::fs::read(&switch).is_ok_and(|state| state.starts_with(b"0"));
        if is_off {
            std::fs::write(&switch, "1").map_err(|error| about("write to", &switch, error))?;
        }
    }
    Ok(())
}
