//! No unwinding and no back traces in the musl build, where a panic ends the program at once
//! (`panic = "abort"`) and a stripped program has no names to show.
//!
//! The standard library brings an unwinder all the same, and for back traces a reader of debug
//! information, a decompressor and a demangler: half of the program, and two of the page faults of
//! a start. A linker takes from a library only what is nowhere else. So what the standard library
//! calls of the unwinder is here, and does nothing; and as no back trace has a line, all that would
//! print one is left out as dead code. What a panic says, and where it was, is still printed.
//!
//! These ten are all that Rust 1.85 to 1.95 calls. If a later one calls another, the linker will
//! find some of them twice and say so; then that one belongs here, too (`library/unwind` in Rust's
//! source).
#![allow(clippy::missing_docs_in_private_items)] // The Itanium C++ ABI has them.

use std::ffi::{c_int, c_void};
use std::process::abort;

/// There are no more frames (the Itanium C++ ABI: `_URC_END_OF_STACK`).
const END_OF_STACK: c_int = 5;

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_step: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

// Called while a stack is unwound, which never begins.

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_exception: *mut c_void) -> ! {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIP(_context: *mut c_void) -> usize {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIPInfo(_context: *mut c_void, _before: *mut c_int) -> usize {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetIP(_context: *mut c_void, _value: usize) {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetGR(_context: *mut c_void, _register: c_int, _value: usize) {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetLanguageSpecificData(_context: *mut c_void) -> *mut c_void {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetRegionStart(_context: *mut c_void) -> usize {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetTextRelBase(_context: *mut c_void) -> usize {
    abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetDataRelBase(_context: *mut c_void) -> usize {
    abort()
}
