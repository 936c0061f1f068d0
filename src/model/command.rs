//! What a run becomes.

use std::ffi::CStr;
use std::fmt::{self, Display};

use crate::sys::Words;
use crate::text::escape::command_line;
use crate::text::password::without_passwords_in;

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
        let shown = match self {
            CommandLine::Words(name, words) => {
                let words = [*name].into_iter().chain(words.from(1).iter());
                let words = words.map(|word| without_passwords_in(word.to_bytes()));
                command_line(words)
            }
            CommandLine::Line(line) => command_line([without_passwords_in(line.to_bytes())]),
        };
        out.write_str(&shown)
    }
}
