//! `--install` and `--uninstall`: the crontab entry of a run; and `--status` of all of them. Runs nothing
//! but crontab(1).

mod cleaned;
mod crontab;
mod entry;
mod folders;
mod heard;
mod here;
mod installed;
mod protected;
mod turn;

#[cfg(test)]
pub use entry::{edit, quoted};

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::model::command::CommandLine;
use crate::model::error::{Error, usage};
use crate::model::reporting::Verbosity;
use crate::model::request::{Apply, Format, Install};
use crate::model::target::{self, LockTarget};
use crate::report::installing::Remark;
use crate::report::log;
use crate::report::outcome::{Answer, Outcome};
use crate::report::status;
use folders::Wanted;
use here::Here;
use turn::Turn;

/// Puts a run into the user's crontab, in place of the one that has the same lock file.
///
/// # Errors
///
/// Nothing is changed then, and no folder made, as far as crontab(1) can be believed.
pub fn install(asked: &Install) -> Result<Outcome, Error> {
    let here = Here::new()?;
    let lock = here.lock_file(asked.run.target)?;
    let log = asked.run.log.as_deref();
    let log = log.map(|log| here.log(log)).transpose()?;
    check_files(asked, &here, &lock, log.as_deref())?;
    let line = entry::line(asked, &here, &lock)?;
    let verbosity = asked.run.reporting.verbosity;
    let _turn = turn(asked.apply, verbosity)?;
    let before = crontab::read()?;
    let crontab = entry::edit(&before, &lock, Some(&line)).unwrap_or_default();
    let mut replaced = entry::lines_of(&before, &lock);
    replaced.retain(|old| *old != line);
    let programs = programs(asked, &here)?;
    let is_file = matches!(asked.run.target, LockTarget::File(_));
    let lock_file = is_file.then_some(lock.as_path());
    let places = [Some(here.path()), lock_file, log.as_deref()];
    let remarks = remarks(replaced, &programs, &places);
    let wanted = wanted_folders(asked, &lock, log.as_deref());
    folders::check(&wanted)?;
    if asked.apply == Apply::Preview {
        remarks.iter().for_each(|remark| remark.tell(verbosity));
        return Ok(shown(crontab));
    }
    let made = folders::make(&wanted)?;
    let change = || {
        // Once more: a part that was missing is there now.
        if let Some(log) = &asked.run.log {
            log::check_name(log, asked.run.target, asked.run.slots)?;
        }
        crontab::change(&before, &crontab)
    };
    change().inspect_err(|_| {
        // What the crontab may have after all needs its folders.
        if crontab::read().is_ok_and(|now| now == before) {
            folders::remove(&made);
        }
    })?;
    let made = made.iter().map(|folder| Remark::MadeFolder(folder));
    made.chain(remarks)
        .for_each(|remark| remark.tell(verbosity));
    Ok(Outcome::Done)
}

/// Refuses a lock file and a log with which each run would fail, and nobody might hear of it.
///
/// # Errors
///
/// [`Error::Usage`], [`Error::Log`] and [`Error::DanglingLink`].
fn check_files(asked: &Install, here: &Here, lock: &Path, log: Option<&Path>) -> Result<(), Error> {
    // By their absolute names: the folder need not be there yet.
    let mut locks = target::slots(asked.run.target, asked.run.slots);
    if locks.any(|(_, slot)| here.lock_file(slot).is_ok_and(|slot| log == Some(&slot))) {
        return Err(usage("--log needs a file other than the lock file"));
    }
    if let Some(name) = &asked.run.log {
        log::check_name(name, asked.run.target, asked.run.slots)?;
        if log.is_some_and(Path::is_dir) {
            return Err(Error::Log(name.clone(), Errno::ISDIR));
        }
    }
    match asked.run.target {
        LockTarget::File(path) if lock.is_symlink() && !lock.exists() => {
            Err(Error::DanglingLink(path))
        }
        _ => Ok(()),
    }
}

/// What somebody might not have meant: that these lines go, that these programs may be gone when cron
/// needs them, and that cron may not come to them or to these places.
fn remarks<'a>(
    replaced: Vec<&'a [u8]>,
    programs: &'a [PathBuf],
    places: &[Option<&'a Path>],
) -> Vec<Remark<'a>> {
    let replaced = replaced.into_iter().map(Remark::Replaces);
    let cleaned = programs.iter().filter_map(|program| {
        let folder = cleaned::around(program)?;
        Some(Remark::InCleanedFolder(program, folder))
    });
    let needed = places.iter().copied().flatten();
    let needed = needed.chain(programs.iter().map(PathBuf::as_path));
    let protected = needed.filter_map(|path| {
        let folder = protected::around(path)?;
        Some(Remark::InProtectedFolder(path, folder))
    });
    replaced.chain(cleaned).chain(protected).collect()
}

/// The programs that the entry of a run names: this one and, but for a line for the shell, the command.
fn programs(asked: &Install, here: &Here) -> Result<Vec<PathBuf>, Error> {
    let command = match asked.run.command {
        CommandLine::Words(name, _) => Some(name),
        CommandLine::Line(_) => None,
    };
    let names = [asked.program].into_iter().chain(command);
    names
        .map(|name| here.program(name, asked.run.target))
        .collect()
}

/// The files of a run whose folders it takes for granted. Without that of the lock file every run would
/// fail, and nobody might hear of it; it is the user's alone, since whoever may write to it can keep
/// runs out or let two in.
fn wanted_folders<'a>(asked: &Install, lock: &'a Path, log: Option<&'a Path>) -> Vec<Wanted<'a>> {
    let of_lock = Wanted {
        verb: "create the folder of lock file",
        file: lock,
        mode: 0o700,
    };
    let of_log = log.map(|file| Wanted {
        verb: "create the folder of log",
        file,
        mode: 0o777,
    });
    let is_file = matches!(asked.run.target, LockTarget::File(_));
    is_file
        .then_some(of_lock)
        .into_iter()
        .chain(of_log)
        .collect()
}

/// Takes the run of this lock file out of the user's crontab.
///
/// # Errors
///
/// Nothing is changed then. [`Error::NoEntry`] where there is none.
pub fn uninstall(target: LockTarget, apply: Apply) -> Result<Outcome, Error> {
    let lock = Here::new()?.lock_file(target)?;
    let _turn = turn(apply, Verbosity::Normal)?;
    let before = crontab::read()?;
    let Some(crontab) = entry::edit(&before, &lock, None) else {
        return Err(Error::NoEntry(match target {
            // It may have a password in it.
            LockTarget::Remote(_) => target.to_string().into(),
            _ => lock.into_os_string(),
        }));
    };
    if apply == Apply::Preview {
        return Ok(shown(crontab));
    }
    crontab::change(&before, &crontab)?;
    Ok(Outcome::Done)
}

/// Tells of each run that is in the user's crontab: who holds its lock, and since when.
pub fn status(format: Format) -> Outcome {
    match crontab::read() {
        Ok(crontab) => Outcome::Output(status::of_installed(&installed::runs(&crontab), format)),
        Err(error) => Outcome::Untold(error),
    }
}

/// The turn to change the crontab, if it is to be changed: from before it is read until it was written.
fn turn(apply: Apply, verbosity: Verbosity) -> Result<Option<Turn>, Error> {
    let changes = apply == Apply::Change;
    changes.then(|| Turn::wait(verbosity)).transpose()
}

/// A crontab that is only shown.
fn shown(text: Vec<u8>) -> Outcome {
    Outcome::Output(Answer { text, status: 0 })
}
