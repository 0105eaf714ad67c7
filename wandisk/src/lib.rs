//! WANDisk.
