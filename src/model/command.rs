//! What a run becomes.

use std::ffi::CStr;
use std::fmt::{self, Display};

use crate::sys::Words;
use crate::text::escape::Escaped;

/// What this process becomes.
#[derive(Clone, Copy)]
pub enum CommandLine {
    /// Words as they were given: the program's name, and after it its arguments.
    Words(&'static CStr, Words),
    /// A command line for the shell.
    Line(&'static CStr),
}

impl Display for CommandLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandLine::Words(name, words) => {
                write!(out, "{}", Escaped(name.to_bytes()))?;
                words
                    .from(1)
                    .iter()
                    .try_for_each(|word| write!(out, " {}", Escaped(word.to_bytes())))
            }
            CommandLine::Line(line) => write!(out, "{}", Escaped(line.to_bytes())),
        }
    }
}
