//! Residency moves from one site to another: the rules, and both ends that carry them out.

pub(crate) mod apply;
pub mod give;
pub mod holding;
pub mod join;
pub mod lineage;
pub(crate) mod promise;
pub mod rules;
mod send;
pub(crate) use send::Ahead;
pub mod steps;
pub mod take;
pub mod takeover;
pub(crate) mod tries;
