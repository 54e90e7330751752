//! The `log` crate's sink.

use log::{LevelFilter, Log, Metadata, Record};

struct Host;

impl Log for Host {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        #[cfg(target_arch = "wasm32")]
        {
            use crate::bindings::wasi::logging::logging::{Level, log};
            let level = match record.level() {
                ::log::Level::Error => Level::Error,
                ::log::Level::Warn => Level::Warn,
                ::log::Level::Info => Level::Info,
                ::log::Level::Debug => Level::Debug,
                ::log::Level::Trace => Level::Trace,
            };
            log(level, record.target(), &message);
        }
        #[cfg(not(target_arch = "wasm32"))]
        eprintln!("{} {}: {message}", record.level(), record.target());
    }

    fn flush(&self) {}
}

/// Sends what is logged to the host, from now on. Where somebody set another logger before, that one stays.
pub(crate) fn begin() {
    if log::set_logger(&Host).is_ok() {
        let wanted = crate::config::get("log-level").ok().flatten();
        log::set_max_level(wanted.and_then(|w| w.parse().ok()).unwrap_or(LevelFilter::Info));
    }
}
