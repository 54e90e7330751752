//! What machine the node is.

use std::path::Path;

use crate::world::downward::Allocatable;

/// Facts of the machine that do not change while the node runs.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Thousandths of a CPU.
    pub cpu_millis: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of the disk that the node's folder is on.
    pub disk: i64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Of this boot.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_image: String,
    /// As Go names it: `amd64`, `arm64`.
    pub arch: &'static str,
}

impl Machine {
    /// This one.
    pub fn here(data_dir: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
        let release = read("/etc/os-release");
        let pretty = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|v| v.trim_matches('"').to_owned());
        let machine_id = read("/etc/machine-id");
        Self {
            cpu_millis: std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1)) * 1000,
            memory: memory(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max")),
            disk: disk(data_dir).map_or(0, |(size, _)| size),
            machine_id,
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel: read("/proc/sys/kernel/osrelease"),
            os_image: pretty.unwrap_or_else(|| "Linux".to_owned()),
            arch: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        }
    }

    /// What Pods can have of it.
    pub fn allocatable(&self, max_pods: u32) -> Allocatable {
        Allocatable { cpu_millis: self.cpu_millis, memory: self.memory, ephemeral_storage: self.disk, pods: i64::from(max_pods) }
    }
}

/// The machine's memory, or the control group's if that is less.
fn memory(meminfo: &str, cgroup: &str) -> i64 {
    let kib = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<i64>().ok());
    let all = kib.unwrap_or(0) * 1024;
    cgroup.parse::<i64>().map_or(all, |limit| limit.min(all))
}

/// Size of the file system that `path` is on, and what is free: bytes.
pub(super) fn disk(path: &Path) -> Option<(i64, i64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    Some((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_smaller() {
        let meminfo = "MemTotal:       16316412 kB\nMemFree: 1 kB\n";
        assert_eq!(memory(meminfo, "max"), 16_316_412 * 1024);
        assert_eq!(memory(meminfo, "1073741824"), 1 << 30);
        assert_eq!(memory(meminfo, ""), 16_316_412 * 1024);
    }
}
