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

/// So many bytes of a command line are more than is shown, also without passwords.
const ENOUGH: usize = 8192;

impl Display for CommandLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut start = Vec::new();
        match self {
            CommandLine::Line(line) => start.extend(line.to_bytes().iter().take(ENOUGH)),
            CommandLine::Words(name, words) => {
                start.extend(name.to_bytes());
                for word in words.from(1).iter() {
                    if start.len() > ENOUGH {
                        break;
                    }
                    start.push(b' ');
                    start.extend(word.to_bytes());
                }
            }
        }
        out.write_str(&command_line(&without_passwords_in(&start)))
    }
}
