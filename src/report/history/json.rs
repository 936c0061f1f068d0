//! The history as JSON: an object for each run and one for what they come to. The manual documents the
//! fields.

use std::ffi::CStr;
use std::fmt::{self, Display, Write};

use super::run::{End, Ending, Run};
use super::runs::History;
use super::summary::Summary;
use crate::text::json::{Json, JsonOption};
use crate::text::stamp::JsonStamp;

/// The runs, a line each, and the summary.
pub fn tell(out: &mut String, path: &CStr, history: &History, summary: &Summary) -> fmt::Result {
    for run in &history.runs {
        tell_run(out, history.lock(run), run)?;
    }
    object(
        out,
        &[
            ("log", &Json(path.to_bytes())),
            ("complete", &summary.is_all),
            ("runs", &history.runs.len()),
            ("runs_per_hour", &JsonOption(summary.runs_per_hour.as_ref())),
            ("not_executed", &summary.not_executed),
            ("refused", &history.refused),
            (
                "refused_per_run",
                &JsonOption(summary.refused_per_run.as_ref()),
            ),
            ("refused_otherwise", &history.refused_otherwise),
            ("known", &summary.known()),
            ("shortest", &JsonOption(summary.shortest())),
            ("median", &JsonOption(summary.median())),
            ("longest", &JsonOption(summary.longest())),
            ("longest_at_least", &JsonOption(summary.longest_at_least)),
        ],
    )
}

/// A run.
fn tell_run(out: &mut String, lock: &[u8], run: &Run) -> fmt::Result {
    let (mut status, mut signal, mut ended_by, mut error) = (None, None, None, None);
    match &run.end {
        End::Ended { how, .. } => match how {
            Some(Ending::Status(number)) => status = Some(*number),
            Some(Ending::Signal(number)) => signal = Some(*number),
            Some(Ending::By(option)) => ended_by = Some(Json(option.as_bytes())),
            None => {}
        },
        End::NotExecuted(reason) => error = Some(Json(reason)),
        End::Unknown | End::Contradicted => {}
    }
    object(
        out,
        &[
            ("path", &Json(lock)),
            ("pid", &run.pid),
            ("began", &JsonStamp(run.began)),
            ("lasted", &JsonOption(run.lasted())),
            ("at_least", &JsonOption(run.at_least())),
            ("status", &JsonOption(status)),
            ("signal", &JsonOption(signal)),
            ("ended_by", &JsonOption(ended_by)),
            ("error", &JsonOption(error)),
            ("refused", &run.refused),
            ("command", &Json(&run.command)),
        ],
    )
}

/// A JSON object in a line.
fn object(out: &mut String, fields: &[(&str, &dyn Display)]) -> fmt::Result {
    let mut mark = '{';
    for (name, value) in fields {
        write!(out, "{mark}\"{name}\":{value}")?;
        mark = ',';
    }
    out.push_str("}\n");
    Ok(())
}
