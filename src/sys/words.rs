//! The arguments, where the kernel laid them out.
//!
//! They are never copied: the command is executed with the very pointers that argv has, whatever
//! the number and the bytes of its arguments.

use std::ffi::{CStr, c_char, c_int};
use std::slice;

/// A run of arguments up to the end of argv.
#[derive(Clone, Copy)]
pub struct Words {
    /// Pointers to C strings that live as long as the process, and after them one null pointer.
    list: &'static [*const c_char],
}

impl Words {
    /// All of an argv.
    ///
    /// # Safety
    ///
    /// `argv` points to `argc` pointers to strings and one null pointer, all of which live and stay
    /// as they are until the last use of any part of this.
    pub unsafe fn new(argc: c_int, argv: *const *const c_char) -> Words {
        let count = usize::try_from(argc).unwrap_or(0);
        // SAFETY: by the contract above there are `argc` pointers and a null pointer after them,
        // never changed.
        let list = unsafe { slice::from_raw_parts(argv, count + 1) };
        Words { list }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.list.len().saturating_sub(1)
    }

    /// The one at `index`, counted from 0.
    pub fn get(self, index: usize) -> Option<&'static CStr> {
        let word = *self.list.get(index)?;
        if word.is_null() {
            return None;
        }
        // SAFETY: not null, so by the contract of `list` it is one of argv's strings, which end
        // with a zero byte and which nothing in this program changes or frees.
        Some(unsafe { CStr::from_ptr(word) })
    }

    /// All from the one at `index` on; none at all if there are not so many.
    pub fn from(self, index: usize) -> Words {
        let index = index.min(self.count());
        Words {
            list: self.list.get(index..).unwrap_or_default(),
        }
    }

    /// Each in turn.
    pub fn iter(self) -> impl Iterator<Item = &'static CStr> {
        (0..self.count()).map_while(move |index| self.get(index))
    }

    /// The pointers, with the null pointer after the last, as execve(2) wants them.
    pub fn pointers(self) -> &'static [*const c_char] {
        self.list
    }
}
