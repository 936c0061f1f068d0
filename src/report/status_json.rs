//! `--status --json`: an object for each lock and one for a log. The manual documents the fields.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::inspect::state::{Fate, Finding, Holder, Holding, Verdict};
use crate::model::error::Reason;
use crate::model::target::Place;
use crate::text::json::{Json, JsonOption, JsonTime};
use crate::text::password::without_passwords;
use crate::text::time::since;

/// One JSON object, in a line. The man page documents the fields.
pub fn lock(out: &mut String, place: Place, finding: &Finding) -> fmt::Result {
    let state = match &finding.verdict {
        Ok(Verdict::Held(_) | Verdict::Told(Some(true), _)) => "held",
        Ok(Verdict::Free | Verdict::Told(Some(false), _)) => "free",
        Ok(Verdict::Unknown(_) | Verdict::Told(None, _)) | Err(_) => "unknown",
    };
    write!(
        out,
        "{{\"path\":{},\"state\":\"{state}\"",
        Json(&path(place))
    )?;
    write!(
        out,
        ",\"exists\":{},\"deleted\":{}",
        JsonOption(finding.exists),
        finding.deleted
    )?;
    let nothing = Holding {
        holders: Vec::new(),
        takers: Vec::new(),
        since: None,
        waiters: None,
    };
    let holding = match &finding.verdict {
        Ok(Verdict::Held(holding)) => holding,
        _ => &nothing,
    };
    out.push_str(",\"holders\":");
    json_list(out, &holding.holders)?;
    out.push_str(",\"takers\":");
    json_list(out, &holding.takers)?;
    match holding.since {
        Some(start) => write!(
            out,
            ",\"since\":{},\"held_for\":{}",
            JsonTime(start),
            since(start).as_secs()
        )?,
        None => out.push_str(",\"since\":null,\"held_for\":null"),
    }
    write!(out, ",\"waiters\":{}", JsonOption(holding.waiters))?;
    match &finding.record {
        Some((record, fate)) => {
            let fate = match fate {
                Fate::Holds => "holds",
                Fate::Runs => "runs",
                Fate::Alive => "alive",
                Fate::Reused => "reused",
                Fate::Gone => "gone",
                Fate::Unseen => "unseen",
            };
            let time = JsonTime(record.time);
            write!(
                out,
                ",\"record\":{{\"pid\":{},\"time\":{time},\"process\":\"{fate}\"}}",
                record.pid
            )?;
        }
        None => out.push_str(",\"record\":null"),
    }
    let (told, error) = match &finding.verdict {
        Err(reason) => (None, Some(Reason(*reason).to_string().into_bytes())),
        Ok(Verdict::Unknown(why)) => (None, Some(why.as_bytes().to_vec())),
        Ok(Verdict::Told(None, why)) => (None, Some(why.clone())),
        Ok(Verdict::Told(Some(_), said)) => (Some(said.clone()), None),
        Ok(_) => (None, None),
    };
    write!(out, ",\"told\":{}", JsonOption(told.as_deref().map(Json)))?;
    write!(out, ",\"error\":{}", JsonOption(error.as_deref().map(Json)))?;
    out.push_str("}\n");
    Ok(())
}

fn path(place: Place) -> Vec<u8> {
    match place {
        Place::File(path) => path.to_bytes().to_vec(),
        Place::Remote(word) => without_passwords(word.to_bytes()),
        Place::Descriptor(_) => Vec::new(),
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
