//! NBD front-end of WANDisk.
