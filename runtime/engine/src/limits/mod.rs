//! Memory, CPU time and CPU quota of a container.
//!
//! CPU time is what passes while guests' futures are polled. An epoch every ten milliseconds interrupts a guest that
//! computes: over its quota, it sleeps; within it, it yields and is moved to threads of lower priority, so that
//! neighbours that answer quickly keep their speed.

mod batch;
mod cpu;
mod guest;
mod memory;
mod meter;
mod ticker;
mod usage;

pub(crate) use batch::Batch;
pub use cpu::CpuQuota;
pub(crate) use guest::{Guest, Lost};
pub(crate) use memory::Memory;
use meter::Metered;
pub(crate) use meter::{AtEpoch, Meter};
pub(crate) use ticker::Ticker;
pub use usage::Usage;
