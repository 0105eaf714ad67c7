//! Frames and sessions between two keepers.
