//! `--status --json`: an object for each lock and one for a log. The manual documents the fields.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::inspect::state::{Holder, Holders, LockReport, LockState, RecordedProcess};
use crate::model::error::Reason;
use crate::model::target::LockTarget;
use crate::text::json::{Json, JsonOption, JsonTime};
use crate::text::password::without_passwords;
use crate::text::time::since;

/// One JSON object, in a line. The man page documents the fields.
pub fn lock(out: &mut String, target: LockTarget, report: &LockReport) -> fmt::Result {
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
    write!(
        out,
        ",\"exists\":{},\"deleted\":{}",
        JsonOption(report.exists),
        report.deleted
    )?;
    let nothing = Holders {
        confirmed: Vec::new(),
        takers: Vec::new(),
        since: None,
        waiters: None,
    };
    let holders = match &report.state {
        Ok(LockState::Held(holders)) => holders,
        _ => &nothing,
    };
    out.push_str(",\"holders\":");
    json_list(out, &holders.confirmed)?;
    out.push_str(",\"takers\":");
    json_list(out, &holders.takers)?;
    match holders.since {
        Some(start) => write!(
            out,
            ",\"since\":{},\"held_for\":{}",
            JsonTime(start),
            since(start).as_secs()
        )?,
        None => out.push_str(",\"since\":null,\"held_for\":null"),
    }
    write!(out, ",\"waiters\":{}", JsonOption(holders.waiters))?;
    match &report.record {
        Some((record, process)) => {
            let process = match process {
                RecordedProcess::Holds => "holds",
                RecordedProcess::Runs => "runs",
                RecordedProcess::Alive => "alive",
                RecordedProcess::Reused => "reused",
                RecordedProcess::Gone => "gone",
                RecordedProcess::Unseen => "unseen",
            };
            let time = JsonTime(record.time);
            write!(
                out,
                ",\"record\":{{\"pid\":{},\"time\":{time},\"process\":\"{process}\"}}",
                record.pid
            )?;
        }
        None => out.push_str(",\"record\":null"),
    }
    let (told, error) = match &report.state {
        Err(reason) => (None, Some(Reason(*reason).to_string().into_bytes())),
        Ok(LockState::Unknown(why)) => (None, Some(why.as_bytes().to_vec())),
        Ok(LockState::Remote(None, why)) => (None, Some(why.clone())),
        Ok(LockState::Remote(Some(_), said)) => (Some(said.clone()), None),
        Ok(_) => (None, None),
    };
    write!(out, ",\"told\":{}", JsonOption(told.as_deref().map(Json)))?;
    write!(out, ",\"error\":{}", JsonOption(error.as_deref().map(Json)))?;
    out.push_str("}\n");
    Ok(())
}

fn path(target: LockTarget) -> Vec<u8> {
    match target {
        LockTarget::File(path) => path.to_bytes().to_vec(),
        LockTarget::Remote(word) => without_passwords(word.to_bytes()),
        LockTarget::Descriptor(_) => Vec::new(),
    }
}

fn json_list(out: &mut String, holders: &[Holder]) -> fmt::Result {
    out.push('[');
    for (index, holder) in holders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(
            out,
            "{comma}{{\"pid\":{},\"command\":{}",
            holder.pid,
            Json(&holder.command)
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
