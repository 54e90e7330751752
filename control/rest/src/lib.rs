//! Objects at rest: what nobody has asked for in a while is kept as what differs from another object of its kind, which takes a tenth of the
//! memory or less. Of a thousand Pods nearly all are in no one's mind.
//!
//! [`Text`] is an object as bytes, [`Kept`] one as a type; a [`Dictionary`] belongs to a kind. What of an object is in use all the time is small
//! otherwise: [`Pairs`] are its labels.

mod dictionary;
mod kept;
mod packed;
mod pairs;

pub use dictionary::{Dictionary, Text};
pub use kept::Kept;
pub use pairs::Pairs;
