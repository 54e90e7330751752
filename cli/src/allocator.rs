//! The allocator of the program: mimalloc, which keeps what is alike together, so that what was forgotten leaves whole pages, and which is
//! fast; and the system for what is large, so that a list of ten thousand objects is gone as soon as it was sent. (In mimalloc's pages of some
//! megabytes one block that stays keeps the others.)

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;

use mimalloc::MiMalloc;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// From this size on an allocation is the system's.
const LARGE: usize = 32 << 10;
/// What the system aligns by, on every machine.
const PAGE: usize = 4096;

/// See above.
pub(crate) struct Allocator;

fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= PAGE
}

// SAFETY: which of the two has a block follows from its layout alone, and each keeps the contract.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            // What the system gives is zero.
            return map(layout.size());
        }
        // SAFETY: the caller's.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_large(layout.size(), layout.align()) {
            // SAFETY: the block was mapped by `map` or `mremap` with this length, and nobody has it any more. It can only fail where the
            // system cannot split a mapping in two; then the block stays.
            let _ = unsafe { munmap(at.cast(), layout.size()) };
            return;
        }
        // SAFETY: the caller's.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_large(layout.size(), layout.align()), is_large(size, layout.align())) {
            // SAFETY: the caller's.
            (false, false) => unsafe { MiMalloc.realloc(at, layout, size) },
            // SAFETY: the block is a mapping of this length; it may move, as blocks do.
            (true, true) => unsafe { mremap(at.cast(), layout.size(), size, MremapFlags::MAYMOVE) }.map_or(null_mut(), |moved| moved.cast()),
            _ => {
                // SAFETY: the caller has seen to it that the size, rounded up to the alignment, is no overflow.
                let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
                // SAFETY: neither size is zero; both blocks are as long as what is copied, and not the same; the old one is not used again.
                unsafe {
                    let to = self.alloc(new);
                    if !to.is_null() {
                        std::ptr::copy_nonoverlapping(at, to, layout.size().min(size));
                        self.dealloc(at, layout);
                    }
                    to
                }
            }
        }
    }
}

fn map(size: usize) -> *mut u8 {
    // SAFETY: a new mapping disturbs nobody.
    let mapped = unsafe { mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    mapped.map_or(null_mut(), |at| at.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_what_is_in_it_as_it_grows_and_shrinks() {
        let sizes = [1, 100, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE, 100 * LARGE, 3 * LARGE, LARGE, LARGE - 1, 7];
        for align in [1, 8, 64, PAGE, 2 * PAGE] {
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layouts are those of the block, which is freed once.
            unsafe {
                let mut at = Allocator.alloc_zeroed(layout(sizes[0]));
                at.write(42);
                for pair in sizes.windows(2) {
                    at = Allocator.realloc(at, layout(pair[0]), pair[1]);
                    assert_eq!((at.read(), at as usize % align), (42, 0), "{pair:?} at {align}");
                    if pair[1] > pair[0] {
                        at.add(pair[1] - 1).write(1);
                    }
                }
                Allocator.dealloc(at, layout(7));
                let zeroed = Allocator.alloc_zeroed(layout(3 * LARGE));
                assert!((0..3 * LARGE).all(|i| zeroed.add(i).read() == 0));
                Allocator.dealloc(zeroed, layout(3 * LARGE));
            }
        }
    }

    #[test]
    fn what_cannot_be_is_null() {
        let layout = Layout::from_size_align(isize::MAX as usize - PAGE, 8).unwrap();
        // SAFETY: the layout is valid.
        assert!(unsafe { Allocator.alloc(layout) }.is_null());
    }
}
