//! Reads what the server answers about itself and about the lock.

use crate::age::Age;
use crate::failure::Failure;
use crate::holder::{Holder, Holders};
use crate::sys::Row;
use crate::words::unsuitable;

/// What the server is, and who has the lock there.
pub struct Look {
    /// Those who have it, and how old the server is, where it can hold such a lock.
    pub lock: Result<(Holders, Age), Failure>,
    /// Which server it is, and as whom we are there.
    pub place: String,
}

/// Who has the lock, and how old the server is, in the rows of [`crate::statements::look`].
///
/// # Errors
///
/// [`Failure::Unsuitable`].
pub fn read(rows: &[Row]) -> Result<(Holders, Age), Failure> {
    let row = rows.first().cloned().unwrap_or_default();
    if let Some(why) = why_not(&row) {
        return Err(unsuitable(why));
    }
    let Some(age) = Age::read(field(&row, 1)) else {
        return Err(unsuitable("it does not report when it started"));
    };
    let mut holders = Holders::default();
    for row in rows {
        if let Some(process) = row.get(4).and_then(Option::as_ref) {
            holders.add(Holder::new(process, field(row, 5), field(row, 6)));
        }
    }
    Ok((holders, age))
}

/// Why the server cannot hold the lock, by the first word of its answer.
pub fn why_not(row: &Row) -> Option<&'static str> {
    match field(row, 0) {
        "standby" => Some("it is a standby, and no other server knows its locks"),
        "pooler" => Some(
            "there is a pooler in between, which gives one session to several clients: connect to \
             the server itself",
        ),
        _ => None,
    }
}

/// What stands there; nothing for null.
pub fn field(row: &Row, index: usize) -> &str {
    row.get(index).and_then(Option::as_deref).unwrap_or("")
}
