//! `--status --json`: an object for each lock and one for a log. The manual documents the fields.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use super::holders::why_unknown;
use super::installed::InstalledRun;
use crate::inspect::missing::Missing;
use crate::inspect::state::{Holder, LockReport, LockState, RecordedProcess};
use crate::model::error::Reason;
use crate::model::target::LockTarget;
use crate::text::escape::cut_command_line;
use crate::text::json::{Json, JsonOption, JsonTime};
use crate::text::password::without_passwords;
use crate::text::time;

/// One JSON object, in a line. The man page documents the fields.
pub fn lock(
    out: &mut String,
    target: LockTarget,
    report: &LockReport,
    run: Option<&InstalledRun>,
) -> fmt::Result {
    state(out, target, report)?;
    holders(out, report)?;
    record(out, report)?;
    words(out, report)?;
    if let Some(run) = run {
        installed(out, run)?;
    }
    out.push_str("}\n");
    Ok(())
}

/// What the crontab says of the run that has the lock file.
fn installed(out: &mut String, run: &InstalledRun) -> fmt::Result {
    let log = run.log.as_deref().map(|log| Json(log.as_bytes()));
    write!(out, ",\"schedule\":{}", Json(&run.schedule))?;
    write!(out, ",\"log\":{}", JsonOption(log))?;
    // Why it cannot be read is said to a person.
    let last = run.last_line().unwrap_or_default();
    write!(
        out,
        ",\"last_line\":{}",
        JsonOption(last.as_deref().map(Json))
    )
}

/// Which lock it is, and whether it is held.
fn state(out: &mut String, target: LockTarget, report: &LockReport) -> fmt::Result {
    let state = match &report.state {
        Ok(LockState::Held(_) | LockState::Remote(Some(true), _)) => "held",
        Ok(LockState::Free | LockState::Remote(Some(false), _)) => "free",
        Ok(LockState::Unknown(_) | LockState::Remote(None, _)) | Err(_) => "unknown",
    };
    write!(
        out,
        "{{\"path\":{},\"state\":\"{state}\"",
        Json(&path(target))
    )?;
    let (exists, deleted) = (JsonOption(report.exists), report.displaced.is_some());
    let marked = JsonOption(report.marked);
    let missing = report.missing.as_ref().map(|part| match part {
        Missing::Folder(part) | Missing::NoFolder(part) => Json(part.as_os_str().as_bytes()),
    });
    write!(
        out,
        ",\"exists\":{exists},\"missing\":{},\"deleted\":{deleted},\"marked\":{marked}",
        JsonOption(missing)
    )
}

/// Who has it, since when, and how many wait. The fields are there also where nobody has it.
fn holders(out: &mut String, report: &LockReport) -> fmt::Result {
    let (confirmed, takers, since, waiters) = match &report.state {
        Ok(LockState::Held(all)) => (&all.confirmed[..], &all.takers[..], all.since, all.waiters),
        Ok(LockState::Remote(_, said)) => (&[][..], &[][..], said.since, None),
        _ => (&[][..], &[][..], None, None),
    };
    out.push_str(",\"holders\":");
    match &report.state {
        Ok(LockState::Remote(_, said)) => told(out, &said.holders)?,
        _ => list(out, confirmed)?,
    }
    out.push_str(",\"takers\":");
    list(out, takers)?;
    let held_for = JsonOption(since.map(|start| time::since(start).as_secs()));
    write!(
        out,
        ",\"since\":{},\"held_for\":{held_for}",
        JsonOption(since.map(JsonTime))
    )?;
    write!(out, ",\"waiters\":{}", JsonOption(waiters))
}

/// What the file says, and what became of the process that it names.
fn record(out: &mut String, report: &LockReport) -> fmt::Result {
    write!(out, ",\"occupied\":{}", report.is_occupied)?;
    let Some((record, process)) = &report.record else {
        out.push_str(",\"record\":null");
        return Ok(());
    };
    let (pid, time, process) = (record.pid, JsonTime(record.time), name(*process));
    write!(
        out,
        ",\"record\":{{\"pid\":{pid},\"time\":{time},\"process\":\"{process}\"}}"
    )
}

/// The word for what became of a recorded process.
fn name(process: RecordedProcess) -> &'static str {
    match process {
        RecordedProcess::Holds => "holds",
        RecordedProcess::Runs => "runs",
        RecordedProcess::Alive => "alive",
        RecordedProcess::Reused => "reused",
        RecordedProcess::Gone => "gone",
        RecordedProcess::Unseen => "unseen",
    }
}

/// What a server's helper says, and why it cannot be told.
fn words(out: &mut String, report: &LockReport) -> fmt::Result {
    let (told, error) = match &report.state {
        Err(reason) => (None, Some(Reason(*reason).to_string().into_bytes())),
        Ok(LockState::Unknown(why)) => (None, Some(why_unknown(*why).as_bytes().to_vec())),
        Ok(LockState::Remote(None, why)) => (None, Some(why.text.clone())),
        Ok(LockState::Remote(Some(_), said)) => (Some(said.text.clone()), None),
        Ok(_) => (None, None),
    };
    write!(out, ",\"told\":{}", JsonOption(told.as_deref().map(Json)))?;
    write!(out, ",\"error\":{}", JsonOption(error.as_deref().map(Json)))
}

/// The lock as it was given; a descriptor has no path.
fn path(target: LockTarget) -> Vec<u8> {
    match target {
        LockTarget::File(path) => path.to_bytes().to_vec(),
        LockTarget::Remote(word) => without_passwords(word.to_bytes()),
        LockTarget::Descriptor(_) => Vec::new(),
    }
}

/// Processes, each an object.
fn list(out: &mut String, holders: &[Holder]) -> fmt::Result {
    out.push('[');
    for (index, holder) in holders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(
            out,
            "{comma}{{\"pid\":{},\"command\":{}",
            holder.pid,
            Json(&cut_command_line(&holder.command))
        )?;
        write!(
            out,
            ",\"user\":{},\"inner_pid\":{},\"stopped\":{}}}",
            JsonOption(holder.user),
            JsonOption(holder.inner_pid),
            holder.is_stopped
        )?;
    }
    out.push(']');
    Ok(())
}

/// Holders of a server's lock, each an object. They are of any host, so nothing of them is told as what
/// a process of this one has.
fn told(out: &mut String, holders: &[Vec<u8>]) -> fmt::Result {
    out.push('[');
    for (index, holder) in holders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{{\"told\":{}}}", Json(holder))?;
    }
    out.push(']');
    Ok(())
}

/// The last lines of a log, or why they cannot be read.
pub fn log(out: &mut String, path: &OsStr, lines: Result<Vec<Vec<u8>>, Errno>) -> fmt::Result {
    write!(out, "{{\"log\":{},\"lines\":[", Json(path.as_bytes()))?;
    for (index, line) in lines.iter().flatten().enumerate() {
        write!(out, "{}{}", if index == 0 { "" } else { "," }, Json(line))?;
    }
    match lines {
        Ok(_) => out.push_str("],\"error\":null}\n"),
        Err(reason) => writeln!(
            out,
            "],\"error\":{}}}",
            Json(Reason(reason).to_string().as_bytes())
        )?,
    }
    Ok(())
}
