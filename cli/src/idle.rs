//! A process that has nothing to do gives back the memory that it does not use: what the allocator keeps of what was freed, and the pages
//! of the program that were read in order to start, or for work that is done. What is needed again comes back page by page.

use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// A time is quiet in which less than this part of one core was used,
const QUIET: f64 = 0.1;
/// and worth it when so much was done before.
const WORK: Duration = Duration::from_millis(50);

/// Looks after the process, for ever.
pub(crate) async fn keep() {
    let (mut last, mut work) = (processor_time(), WORK);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = processor_time();
        let used = now.saturating_sub(last);
        last = now;
        work += used;
        if used < EVERY.mul_f64(QUIET) && work >= WORK {
            work = Duration::ZERO;
            let _ = tokio::task::spawn_blocking(give_back).await;
        }
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn give_back() {
    // SAFETY: it may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
    for (start, length) in read_only_segments() {
        // SAFETY: the pages are the program's file as it is: nobody can have written to them, so they read the same when they come back.
        let done = unsafe { rustix::mm::madvise(start as *mut _, length, rustix::mm::Advice::LinuxDontNeed) };
        if let Err(error) = done {
            tracing::debug!(%error, "the program's pages stay");
        }
    }
}

/// Where this program's code and constants are in memory, in whole pages.
fn read_only_segments() -> Vec<(usize, usize)> {
    extern "C" fn note(info: *mut libc::dl_phdr_info, _: usize, into: *mut libc::c_void) -> i32 {
        // SAFETY: both pointers are what `dl_iterate_phdr` was given or gives, for the time of this call.
        let (info, into) = unsafe { (&*info, &mut *into.cast::<Vec<(usize, usize)>>()) };
        // SAFETY: so says the same function.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        // SAFETY: it may always be asked.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            let end = (start + header.p_filesz as usize) & !(page - 1);
            let start = start.next_multiple_of(page);
            if start < end {
                into.push((start, end - start));
            }
        }
        1 // The first is the program itself.
    }
    let mut segments: Vec<(usize, usize)> = Vec::new();
    // SAFETY: `note` keeps nothing of what it is given.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut segments).cast()) };
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_without_its_pages() {
        let here = read_only_segments as *const () as usize;
        let segments = read_only_segments();
        assert!(segments.iter().any(|(start, length)| (*start..start + length).contains(&here)), "{here:#x} is not in {segments:#x?}");
        let before = super::super::say::error as *const () as usize;
        give_back();
        assert_eq!(read_only_segments(), segments);
        assert_eq!(before, super::super::say::error as *const () as usize);
        assert!(processor_time() > Duration::ZERO);
    }
}
