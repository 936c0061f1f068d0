//! `--history`: the last runs that a log tells of, and what they come to.

mod json;
pub mod line;
mod marks;
mod reading;
pub mod run;
pub mod runs;
mod summary;
mod table;

use std::ffi::CStr;

use super::outcome::Answer;
use crate::model::error::Error;
use crate::model::request::Format;
use reading::LogFile;
use runs::History;
use summary::Summary;

/// How many runs are told of.
const MOST_RUNS: usize = 100;

/// The answer about the runs in this log.
///
/// # Errors
///
/// [`Error::ReadLog`].
pub fn report(path: &'static CStr, format: Format) -> Result<Answer, Error> {
    let cannot = |reason| Error::ReadLog(path, Some(reason));
    let log = LogFile::open(path)?;
    let part = log.last_starts(MOST_RUNS).map_err(cannot)?;
    let mut history = History::default();
    log.each_line(&part, |line, is_refusal| history.take(line, is_refusal))
        .map_err(cannot)?;
    let summary = Summary::of(&history, part.is_all);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match format {
        Format::Json => json::tell(&mut text, path, &history, &summary),
        Format::Text | Format::Quiet => table::tell(&mut text, path, &history, &summary),
    };
    Ok(Answer {
        text: text.into_bytes(),
        status: 0,
    })
}
