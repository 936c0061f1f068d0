//! Numbers as the C library reads them.

use std::ffi::CStr;
#[cfg(not(miri))]
use std::ptr;

/// The number that a text is, as strtod(3) reads it, which is how util-linux's flock reads a time:
/// blanks before it, fractions, exponents, `0x`, `inf` and `nan`. Nothing if that is not all of it.
#[cfg(not(miri))]
pub fn strtod(text: &CStr) -> Option<f64> {
    let mut end = ptr::null_mut();
    // SAFETY: the text ends with a NUL, and `end` is a place for a pointer into it.
    let number = unsafe { libc::strtod(text.as_ptr(), &raw mut end) };
    let length = end.addr().wrapping_sub(text.as_ptr().addr());
    (!text.is_empty() && length == text.count_bytes()).then_some(number)
}

/// Miri has no strtod(3).
#[cfg(miri)]
pub fn strtod(text: &CStr) -> Option<f64> {
    text.to_str().ok()?.parse().ok()
}
