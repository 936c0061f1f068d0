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
        let mut all = Vec::new();
        match self {
            CommandLine::Line(line) => all.extend(line.to_bytes()),
            CommandLine::Words(name, words) => {
                all.extend(name.to_bytes());
                for word in words.from(1).iter() {
                    all.push(b' ');
                    all.extend(word.to_bytes());
                }
            }
        }
        out.write_str(&command_line(&without_passwords_in(&all)))
    }
}
