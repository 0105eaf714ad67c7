//! Snowbird's manager: what decides where an agent runs.
//!
//! [`profile`] reads what a user wrote about an agent's phases; [`policy`] turns readings into decisions by it; [`replay`]
//! shows what a profile would have done with a recorded trace. All of it is pure: readings, time and the situation come
//! in, decisions with their reasons come out. [`cli`] is the program `snowbird`.

#![forbid(unsafe_code)]

pub mod cli;
pub mod condition;
pub mod policy;
pub mod profile;
pub mod replay;
mod words;

pub use words::duration;
