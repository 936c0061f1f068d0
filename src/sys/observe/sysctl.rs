//! What the kernel says by sysctl(3), on macOS and FreeBSD. On FreeBSD only type-checked, never run.

use std::ptr;

use libc::c_int;

/// Reads what has this name into `place`. Gives the bytes that were written; nothing if there is no
/// such thing, or it may not be read, or does not fit.
pub fn sysctl<'a>(name: &mut [c_int], place: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = place.len();
    // SAFETY: `name` has as many numbers as is said, `place` as many bytes, and no new value is
    // given.
    let result = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            name.len() as libc::c_uint,
            place.as_mut_ptr().cast(),
            &raw mut length,
            ptr::null_mut(),
            0,
        )
    };
    if result < 0 {
        None
    } else {
        place.get(..length)
    }
}

/// Room for the words of any command line, which are as long as this at the most.
pub fn room_for_arguments() -> Option<Vec<u8>> {
    let mut most = [0; size_of::<c_int>()];
    sysctl(&mut [libc::CTL_KERN, libc::KERN_ARGMAX], &mut most)?;
    Some(vec![0; usize::try_from(c_int::from_ne_bytes(most)).ok()?])
}
