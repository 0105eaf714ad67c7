//! Residency moves from one site to another: the rules, and both ends that carry them out.

pub mod give;
pub mod rules;
pub mod take;
