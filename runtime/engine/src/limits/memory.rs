use super::{Meter, Usage};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Elements that one table may have.
const MAX_TABLE: usize = 100_000;

/// One store's part of its container's memory. What it took is given back when the store goes.
pub(crate) struct Memory {
    usage: Arc<Usage>,
    limit: Option<u64>,
    taken: u64,
    meter: Arc<Meter>,
}

impl Memory {
    pub(crate) fn new(usage: Arc<Usage>, limit: Option<u64>, meter: Arc<Meter>) -> Self {
        Self { usage, limit, taken: 0, meter }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let ok = self.usage.take(bytes as u64, self.limit);
        if ok {
            self.taken += bytes as u64;
        } else {
            self.meter.refuse_memory();
        }
        ok
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|m| desired > m) {
            return Ok(false);
        }
        Ok(self.take(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE || maximum.is_some_and(|m| desired > m) {
            return Ok(false);
        }
        Ok(self.take(desired.saturating_sub(current) * size_of::<usize>()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.usage.give_back(self.taken);
    }
}
