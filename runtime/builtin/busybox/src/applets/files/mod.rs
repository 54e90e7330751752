//! Commands over files and folders.

pub mod copy;
pub mod dd;
pub mod find;
pub mod ls;
pub mod make;
pub mod names;
pub mod remove;
pub mod space;
pub mod stat;
