//! ublk front-end of WANDisk.
