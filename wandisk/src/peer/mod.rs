//! Talking with other sites.

pub mod message;
pub mod rows;
