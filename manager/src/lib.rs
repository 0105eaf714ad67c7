//! Snowbird's manager: what an agent is, what runs and moves it, and what decides where it runs.
//!
//! [`agent`] describes a virtual machine that may run at any of its sites; [`supervisor`] keeps one at one site and moves it to
//! another, by [`qmp`] and the program [`wandisk`]; [`sites`], [`control`], [`host`] and [`taking`] are how sites and processes ask
//! each other (commands share a login by `shared_login`); [`inventory`] is what a site has for agents, [`install`] brings these programs there; [`purge`] removes an agent; [`net`] is an agent's network, which stays whole while it moves. [`profile`] reads what a user wrote about an agent's phases; [`policy`] turns readings into decisions by it; [`replay`]
//! shows what a profile would have done with a recorded trace; [`auto`] does it with a running agent. [`reach`] finds an agent, `exchange` asks about many at once, and
//! [`facts`] are what is known of a site's host. What decides is pure: events, readings and time come in,
//! actions with their reasons come out. [`display`] is an agent's screen for who looks at it, and what its sensors say; [`dashboard`] is all of it as a live page. [`cli`] is the
//! program `snowbird`.

#![forbid(unsafe_code)]

pub mod agent;
mod ask_error;
pub mod auto;
pub mod cli;
pub mod condition;
pub mod control;
pub mod dashboard;
pub mod display;
pub(crate) mod exchange;
pub mod facts;
pub mod host;
pub mod install;
pub mod inventory;
pub mod lines;
pub mod net;
pub mod policy;
pub mod profile;
pub mod purge;
pub mod qmp;
pub mod reach;
pub mod replay;
pub(crate) mod seat;
mod shared_login;
pub mod sites;
pub mod supervisor;
pub mod taking;
pub mod wandisk;
mod words;

pub use words::duration;
