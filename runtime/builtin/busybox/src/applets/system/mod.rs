//! Commands about the machine, its processes and its clock.

pub mod date;
pub mod identity;
pub mod processes;
pub mod terminal;
