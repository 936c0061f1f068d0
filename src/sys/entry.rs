//! The C `main`, which main.rs asks for by `entry_point!`.
//!
//! Under `#![no_main]` `std::env::args` works on glibc only by an extension of its loader and is
//! empty on musl, so the arguments are argc and argv.

/// The C `main`, which hands argv to a function of the program.
macro_rules! entry_point {
    ($program:ident) => {
        /// What the C library calls when it has set itself up.
        ///
        /// # Safety
        ///
        /// `argv` points to `argc` pointers to strings and one null pointer, all of which live as
        /// long as the process (C17 5.1.2.2.1). That is what every C library passes here, and
        /// nobody else calls it.
        #[allow(unsafe_code)]
        mod c_main {
            use std::ffi::{c_char, c_int};

            #[cfg_attr(not(test), unsafe(no_mangle))]
            unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
                // SAFETY: by the contract above, and it is used no longer than the process lives.
                let words = unsafe { crate::sys::Words::new(argc, argv) };
                c_int::from(super::$program(words))
            }
        }
    };
}
pub(crate) use entry_point;
