//! The scheduler: chooses a node for every Pod that has none, and binds it.
//!
//! | module | what it decides |
//! |---|---|
//! | [`pod`], [`node`] | what of a Pod and of a node matters here, and the sums of what runs where |
//! | [`framework`] | [`schedule`]: filters, scores, and the reasons when nothing fits; pure |
//! | [`plugins`] | one rule a file |
//! | [`preemption`] | who leaves when a more important Pod fits nowhere |
//! | [`surroundings`] | namespaces, disruption budgets, and the selectors of what Pods belong to |
//! | [`queue`] | which Pod is next; back-off; which change wakes which Pod |
//! | `run`, `report` | watching, assuming, binding; Events and conditions in Kubernetes' words |
//!
//! Architecture Invariant: this crate is a client of the API and nothing else. Deciding never waits for writing: a Pod
//! that was given a node counts there at once ("assumed"), and its binding is written beside the next decision.

pub mod framework;
mod labels;
pub mod node;
mod nominations;
pub mod plugins;
pub mod pod;
pub mod preemption;
pub mod queue;
mod report;
mod resources;
mod run;
pub mod surroundings;

pub use framework::{FitError, Plugin, schedule};
pub use node::{NodeInfo, Snapshot};
pub use pod::PodInfo;
pub use preemption::Preemption;
pub use resources::Resources;
pub use run::{Options, RunError, run};
