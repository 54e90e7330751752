//! Archives and compressed files.

pub mod gzip;
pub mod tar;
