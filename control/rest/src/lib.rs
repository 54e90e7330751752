//! Objects at rest: what nobody has asked for in a while is kept as what differs from another object of its kind, which takes a tenth of the
//! memory or less. Of a thousand Pods nearly all are in no one's mind.
//!
//! [`Text`] is an object as bytes, [`Kept`] one as a type; a [`Dictionary`] belongs to a kind.

mod dictionary;
mod kept;
mod packed;

pub use dictionary::{Dictionary, Text};
pub use kept::Kept;
