//! A bump allocator of 1.5 KB, so that an ordinary run never enters the C library's.
//!
//! The C library's allocator makes five system calls before its first byte (musl 1.2.5: brk twice,
//! mmap twice, munmap), a fifth of all that a run makes. A run needs some hundred bytes for some
//! microseconds. They come out of a fixed arena and are not taken back. What does not fit comes
//! from the C library.
//!
//! Where there is no more memory, the process ends here, with a message and the exit status for that:
//! what Rust does is to abort, and nothing that asks for memory could go on without it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::last_words;

/// Bytes in the arena: enough for all but long lines, and so few that all variables of the musl
/// build are in one page, which costs one page fault in place of three.
const SIZE: usize = 1536;

/// Memory that is handed out once, from its start on.
struct Arena {
    /// The bytes.
    memory: UnsafeCell<[u8; SIZE]>,
    /// How many of them are handed out.
    used: AtomicUsize,
}

// SAFETY: each byte of `memory` is handed out once, by an atomic step of `used`.
unsafe impl Sync for Arena {}

/// The one arena of the program, and its allocator.
#[global_allocator]
static ARENA: Arena = Arena {
    memory: UnsafeCell::new([0; SIZE]),
    used: AtomicUsize::new(0),
};

impl Arena {
    /// Its first byte.
    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// Takes `layout` out of the arena, or nothing where it does not fit.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let mut place = 0;
        let step = |used: usize| {
            let address = self.start().addr().checked_add(used)?;
            place = address.checked_next_multiple_of(layout.align())? - self.start().addr();
            place.checked_add(layout.size()).filter(|&end| end <= SIZE)
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()?;
        Some(self.start().wrapping_add(place))
    }

    /// Whether a block is a part of it.
    fn holds(&self, block: *mut u8) -> bool {
        (self.start().addr()..self.start().addr() + SIZE).contains(&block.addr())
    }
}

// SAFETY: a block is either a part of the arena that nothing else was given, aligned as asked, and
// never given again, or the system's own; each goes back to where it came from.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout).unwrap_or_else(|| {
            // SAFETY: the layout is the caller's, with the same promise about it.
            there(unsafe { System.alloc(layout) })
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !self.holds(block) {
            // SAFETY: not of the arena, so it is the system's, from `alloc` with this layout.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !self.holds(block) {
            // SAFETY: not of the arena, so it is the system's, from `alloc` with this layout.
            return there(unsafe { System.realloc(block, layout, new_size) });
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return there(ptr::null_mut());
        };
        // SAFETY: `new_size` is not zero, as the caller of `realloc` promises.
        let new_block = unsafe { self.alloc(new_layout) };
        let length = layout.size().min(new_size);
        // SAFETY: both blocks are at least `length` long, and the new one overlaps no other.
        unsafe { ptr::copy_nonoverlapping(block, new_block, length) };
        new_block
    }
}

/// The block, if there is one.
fn there(block: *mut u8) -> *mut u8 {
    match block.is_null() {
        true => last_words::end(b"nonoverlap: out of memory\n"),
        false => block,
    }
}
