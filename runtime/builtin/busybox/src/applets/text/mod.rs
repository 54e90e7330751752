//! Commands over lines and bytes.

pub mod awk;
pub mod base64;
pub mod compare;
pub mod cut;
pub mod digest;
pub mod dump;
pub mod ends;
pub mod expr;
pub mod grep;
pub mod lines;
pub mod sed;
pub mod seq;
pub mod sort;
pub mod tr;
pub mod wc;
pub mod xargs;
