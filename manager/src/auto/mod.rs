//! Agents that move by themselves: a watcher at an agent's home feeds its profile's policy and has its decisions carried out.
//!
//! [`brain`] decides and is pure: what is seen and the time come in, what is to be done goes out. `watcher` is the loop around
//! it, in a detached process that is found by a lock ([`process`]); `follow` hears the agent wherever it is, `externals` are the
//! profile's own sensors. What is done and why goes to the agent's log ([`record`]); what was learnt is kept for the next
//! watcher ([`learnt`]).
//!
//! Invariant: a watcher moves nothing itself: it asks the agent's supervisor, as `snowbird migrate` does, and may die at any
//! moment. Fault model: a site that cannot be asked makes it rest, never guess.

pub mod brain;
mod externals;
mod follow;
pub mod learnt;
pub mod process;
pub mod record;
mod watcher;
