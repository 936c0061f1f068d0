//! SCHEDULE, as far as it is ours to judge.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::model::error::{Error, usage};

/// Five fields or one `@word`, with a blank between each. What they say is crontab's to judge, but
/// what it would not take for a schedule at all must not get so far.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn schedule(given: &OsStr) -> Result<Vec<u8>, Error> {
    let wrong = |what| {
        let given = given.to_string_lossy();
        Err(usage(format_args!("bad schedule: '{given}'; {what}")))
    };
    let given = given.as_bytes();
    if given.contains(&b'\n') {
        return wrong("a crontab line cannot hold a newline");
    }
    let fields: Vec<_> = given
        .split(|byte| b" \t".contains(byte))
        .filter(|field| !field.is_empty())
        .collect();
    match fields.first() {
        // The line would be a comment, or set a variable.
        Some([b'#', ..]) => return wrong("that is a comment"),
        _ if given.contains(&b'=') => return wrong("that is a variable"),
        Some([b'@', ..]) if fields.len() == 1 => {}
        // The fields behind it would be the command.
        Some([b'@', ..]) => return wrong("an @word stands alone"),
        _ if fields.len() == 5 => {}
        _ => return wrong("it takes five fields in quotes, such as '*/2 * * * *', or one @word"),
    }
    Ok(fields.join(&b' '))
}
