//! The history for a person: a row for each run, with a bar by its length, and below what they come to.

use std::ffi::CStr;
use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::run::{End, Ending, Run};
use super::runs::History;
use super::summary::Summary;
use crate::text::escape::Escaped;
use crate::text::time::Elapsed;

/// How wide a row is to be, in letters, so that it fits a terminal.
const WIDTH: usize = 79;

/// How wide the bar of the longest run is at least, and at the most.
const BAR: (usize, usize) = (12, 40);

/// How many columns there are before the bar.
const COLUMNS: usize = 4;

/// What the columns are called.
const HEADING: [&str; COLUMNS] = ["began", "lasted", "ended", "refused"];

/// The runs and the summary.
pub fn tell(out: &mut String, path: &CStr, history: &History, summary: &Summary) -> fmt::Result {
    if history.runs.is_empty() {
        write!(out, "{}: no runs", Escaped(path.to_bytes()))?;
        return match history.refused {
            0 => writeln!(out),
            count => writeln!(out, ", refused {count}"),
        };
    }
    let rows: Vec<_> = history.runs.iter().map(cells).collect();
    let heading = HEADING.map(str::to_owned);
    let widths: Vec<_> = (0..COLUMNS)
        .map(|column| {
            let cells = rows.iter().chain([&heading]);
            let widths = cells.filter_map(|row| Some(row.get(column)?.len()));
            widths.max().unwrap_or(0)
        })
        .collect();
    let used: usize = widths.iter().map(|width| width + 2).sum();
    // With room for the sign that a run was longer.
    let bar_width = WIDTH.saturating_sub(used + 1).clamp(BAR.0, BAR.1);
    let longest = history.runs.iter().filter_map(length).max().unwrap_or(0);
    put_cells(out, &heading, &widths);
    out.push('\n');
    for (run, row) in history.runs.iter().zip(&rows) {
        put_cells(out, row, &widths);
        let bar = bar(run, longest, bar_width);
        if !bar.is_empty() {
            write!(out, "  {bar}")?;
        }
        if let [_, _, ..] = &history.locks[..] {
            put_blanks(
                out,
                bar_width + 3 - bar.len() + if bar.is_empty() { 2 } else { 0 },
            );
            write!(out, "{}", Escaped(history.lock(run)))?;
        }
        out.push('\n');
    }
    out.push('\n');
    tell_summary(out, history, summary)
}

/// What the columns before the bar say of a run.
fn cells(run: &Run) -> [String; COLUMNS] {
    let lasted = match (run.lasted(), run.at_least(), &run.end) {
        (Some(lasted), ..) => elapsed(lasted).to_string(),
        (_, Some(least), _) => format!("at least {}", elapsed(least)),
        (.., End::NotExecuted(_)) => String::new(),
        _ => "not known".to_owned(),
    };
    let ended = match &run.end {
        End::Unknown => "not logged".to_owned(),
        End::Contradicted => "contradictory".to_owned(),
        End::NotExecuted(_) => "not executed".to_owned(),
        End::Ended { how: None, .. } => "not known".to_owned(),
        End::Ended { how: Some(how), .. } => how.to_string(),
    };
    [
        run.began.to_string(),
        lasted,
        ended,
        run.refused.to_string(),
    ]
}

impl Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Status(status) => write!(out, "status {status}"),
            Ending::Signal(signal) => write!(out, "signal {signal}"),
            Ending::By(option) => write!(out, "by {option}"),
        }
    }
}

/// The columns before the bar: words from the left, and the number at the right.
fn put_cells(out: &mut String, cells: &[String; COLUMNS], widths: &[usize]) {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let blanks = width.saturating_sub(cell.len());
        if column + 1 == COLUMNS {
            put_blanks(out, blanks);
            out.push_str(cell);
        } else {
            out.push_str(cell);
            put_blanks(out, blanks + 2);
        }
    }
}

/// So many blanks.
fn put_blanks(out: &mut String, count: usize) {
    out.extend((0..count).map(|_| ' '));
}

/// As long as it is known to have been.
fn length(run: &Run) -> Option<i64> {
    run.lasted().or_else(|| run.at_least())
}

/// A bar as long as the run, with an `x` where somebody was refused, and `>` behind it where the run may
/// have been longer.
fn bar(run: &Run, longest: i64, width: usize) -> String {
    let Some(length) = length(run) else {
        return String::new();
    };
    let place = |seconds: i64| match i64::try_from(width) {
        Ok(width) => usize::try_from(seconds.saturating_mul(width) / longest.max(1)).unwrap_or(0),
        Err(_) => 0,
    };
    let mut bar = vec![b'#'; place(length).clamp(1, width)];
    for seconds in run.marks.iter() {
        let at = place(seconds).min(bar.len() - 1);
        if let Some(letter) = bar.get_mut(at) {
            *letter = b'x';
        }
    }
    if run.lasted().is_none() {
        bar.push(b'>');
    }
    bar.into_iter().map(char::from).collect()
}

/// What the runs come to.
fn tell_summary(out: &mut String, history: &History, summary: &Summary) -> fmt::Result {
    let last = if summary.is_all { "" } else { "the last " };
    write!(out, "runs: {last}{}", history.runs.len())?;
    if let Some(rate) = &summary.runs_per_hour {
        write!(out, ", {rate} per hour")?;
    }
    if summary.not_executed > 0 {
        write!(out, ", {} not executed", summary.not_executed)?;
    }
    write!(out, "\nrefused: {}", history.refused)?;
    if let Some(rate) = &summary.refused_per_run {
        write!(out, ", {rate} per run")?;
    }
    if history.refused_otherwise > 0 {
        write!(
            out,
            ", {} outside the runs listed",
            history.refused_otherwise
        )?;
    }
    out.push('\n');
    if summary.known() == 0 && summary.unknown == 0 {
        return Ok(());
    }
    out.push_str("lasted: ");
    if let (Some(shortest), Some(median), Some(longest)) =
        (summary.shortest(), summary.median(), summary.longest())
    {
        let (shortest, median, longest) = (elapsed(shortest), elapsed(median), elapsed(longest));
        write!(
            out,
            "shortest {shortest}, median {median}, longest {longest}"
        )?;
        if summary.unknown > 0 {
            out.push_str("; ");
        }
    }
    if summary.unknown > 0 {
        write!(out, "unknown for {}", summary.unknown)?;
    }
    if let Some(least) = summary.longest_at_least {
        write!(out, ", the longest at least {}", elapsed(least))?;
    }
    out.push('\n');
    Ok(())
}

/// Seconds as a time that people read.
fn elapsed(seconds: i64) -> Elapsed {
    Elapsed(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
