//! Locks that are held under a name by another file than the one that is there: a run of ours shows by its
//! mark, another program's by the name that the kernel keeps for a deleted file.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::open_file::{inspect, open_to_inspect};
use super::state::{Displaced, Holders, LockReport, LockState};
use crate::lock::file::OPEN_FLAGS;
use crate::lock::mark::{Claim, Name};
use crate::lock::others::real_path;
use crate::lock::record;
use crate::sys::{self, Found, MarkedRange, Snapshot};

/// The marks of a path's name, each with what it says. Nothing where it is no name.
///
/// # Errors
///
/// As stat(2) of the folder.
pub fn marks_of(snapshot: &Snapshot, path: &CStr) -> Result<Option<Vec<Said>>, Errno> {
    let of_name = |name: Name| {
        let marks = snapshot.marks().iter();
        marks
            .filter_map(|mark| Some((*mark, name.claim(mark)?)))
            .collect()
    };
    Ok(Name::of(path)?.map(of_name))
}

/// A mark, and what it says.
pub type Said = (MarkedRange, Claim);

/// What marks tell of a name.
pub enum Marked {
    /// There is none that tells of a holder.
    Nobody,
    /// This is held.
    Found(LockReport),
    /// There was one, and it is gone.
    Gone,
}

/// The lock of a run of ours that holds this name, by the file that is there or by another, as these marks
/// of the name say. `report` is what else is known of the file that is there.
///
/// # Errors
///
/// As stat(2), and where a mark may be missing.
pub fn marked(
    snapshot: &Snapshot,
    marks: &[Said],
    file: Option<BorrowedFd<'_>>,
    report: &LockReport,
) -> Result<Marked, Errno> {
    let there = file.map(sys::state_of_descriptor).transpose()?;
    let is_there = |claim: &Claim| there.as_ref().is_some_and(|there| claim.names(there.id));
    // A mark on the file that is there, where that is free, is of a run that is just ending or has let go.
    let is_free = matches!(report.state, Ok(LockState::Free));
    let tells = |(_, claim): &&Said| !(is_free && is_there(claim));
    let marks: Vec<_> = marks.iter().filter(tells).collect();
    if marks.is_empty() {
        return snapshot.is_complete().map(|()| Marked::Nobody);
    }
    // That it is held is known, so nothing that goes wrong from here on is an error.
    let is_elsewhere = !marks.iter().any(|(_, claim)| is_there(claim));
    if is_elsewhere {
        let names = |its: &_, file| {
            let mut said = marks.iter().filter(|(mark, _)| mark == its);
            said.any(|(_, claim)| claim.names(file))
        };
        let wanted: Vec<_> = marks.iter().map(|(mark, _)| *mark).collect();
        let found = snapshot.named(&wanted, &names).unwrap_or_default();
        let seen = held_at(snapshot, &found).unwrap_or_default();
        if let Some(seen) = seen.filter(|it| matches!(it.state, Ok(LockState::Held(_)))) {
            return Ok(Marked::Found(seen));
        }
    }
    if !stand(&marks) {
        return Ok(Marked::Gone);
    }
    // Of a file that may not be looked at, nobody knows whether it is the one.
    let is_displaced = is_elsewhere && report.state.is_ok();
    Ok(Marked::Found(LockReport {
        displaced: is_displaced.then_some(Displaced::Unknown),
        record: report.record.filter(|_| !is_elsewhere),
        ..LockReport::of(Ok(LockState::Held(Holders::by_mark())))
    }))
}

/// How often it is looked whether a mark goes away.
const LOOKS: usize = 3;

/// How long it is waited between these looks.
const INTERVAL: Duration = Duration::from_millis(1);

/// Whether one of these marks stands still, and goes on doing so: that of a process which is about to end
/// does for a moment after its descriptors are gone.
fn stand(marks: &[&Said]) -> bool {
    (0..LOOKS).all(|count| {
        if count > 0 {
            // A look that comes too early finds a mark that is about to go.
            let _ = sys::pause(INTERVAL);
        }
        let now = Snapshot::take();
        marks.iter().any(|(mark, _)| now.marks().contains(mark))
    })
}

/// The lock on a deleted file that had this path, if another program has it.
///
/// # Errors
///
/// What kept the look from being complete.
pub fn deleted(
    snapshot: &Snapshot,
    path: &CStr,
    file: Option<BorrowedFd<'_>>,
) -> Result<Option<LockReport>, Errno> {
    // Of what is in no folder that is there, nobody can say that it was deleted.
    let Some(path) = if_there(real_path(path))? else {
        return Ok(None);
    };
    let folder = match (file, path.parent()) {
        (None, Some(folder)) => if_there(open_to_inspect(folder))?,
        _ => None,
    };
    let Some(beside) = file.or(folder.as_ref().map(AsFd::as_fd)) else {
        return Ok(None);
    };
    let found = snapshot.deleted(&path, beside)?;
    held_at(snapshot, &found)
}

/// What was asked for; nothing where it is not there, or where we may not look. Any other error keeps
/// the look from being complete.
fn if_there<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::SRCH) => Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(reason) => Err(reason),
    }
}

/// The lock on the first of these files that is held, or of which it cannot be told.
fn held_at(snapshot: &Snapshot, found: &Found) -> Result<Option<LockReport>, Errno> {
    let mut untold = None;
    for theirs in &found.files {
        let Some(file) = if_there(open_to_inspect(&theirs.place))? else {
            continue;
        };
        // Its process may have opened another one there meanwhile.
        let state = sys::state_of_descriptor(file.as_fd())?;
        if state.id != theirs.id {
            continue;
        }
        // Deleting a file does not change its content, so the record is still there.
        let content = fs::open(&theirs.place, OPEN_FLAGS | OFlags::RDONLY, Mode::empty()).ok();
        let report = inspect(snapshot, file.as_fd(), content.and_then(record::read));
        let displaced = match state.links {
            0 => Displaced::Deleted,
            _ => Displaced::Renamed,
        };
        let report = LockReport {
            displaced: Some(displaced),
            ..report
        };
        match report.state {
            Ok(LockState::Free) => {}
            Ok(LockState::Held(_)) => return Ok(Some(report)),
            _ => untold = untold.or(Some(report)),
        }
    }
    Ok(untold)
}
