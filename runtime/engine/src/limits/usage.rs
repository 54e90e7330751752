use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a container uses: CPU time and memory over all its instances, past and present.
#[derive(Debug, Default)]
pub struct Usage {
    cpu_nanos: AtomicU64,
    memory: AtomicU64,
    peak: AtomicU64,
}

impl Usage {
    /// Nothing used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// CPU time in nanoseconds: the time spent polling the guests' futures.
    pub fn cpu_nanos(&self) -> u64 {
        self.cpu_nanos.load(Relaxed)
    }

    /// Bytes of memory held now.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// The most that was held at one time.
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub(crate) fn add_cpu(&self, nanos: u64) {
        self.cpu_nanos.fetch_add(nanos, Relaxed);
    }

    /// Takes `bytes` more if the sum stays within `limit`.
    pub(crate) fn take(&self, bytes: u64, limit: Option<u64>) -> bool {
        let taken = self.memory.fetch_update(Relaxed, Relaxed, |now| {
            let sum = now.checked_add(bytes)?;
            (sum <= limit.unwrap_or(u64::MAX)).then_some(sum)
        });
        match taken {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Relaxed);
    }
}
