//! Talking with other sites.
//!
//! `frame`, `pieces` and `session` carry requests over a byte stream, within the bounds of `limits`; `message` and `rows` say what is asked; `dial`, `lobby` and `carry`
//! are the two ends of a link; `peers` keeps sessions and routes; `source` fetches chunks, in `parts`
//! where connections are many; `facts` learns.
//!
//! Invariant: nothing from a peer is used before it is checked against limits and for sense.

pub mod audit;
pub mod carry;
pub mod dial;
pub mod error;
pub mod facts;
pub mod frame;
pub mod handed;
pub mod limits;
pub mod lobby;
pub mod message;
pub mod packing;
pub mod parts;
mod peers;
pub mod permit;
pub mod pieces;
pub mod rows;
pub mod session;
pub mod source;

pub use peers::Peers;
