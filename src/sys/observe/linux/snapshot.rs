//! Who holds which lock, by Linux's `/proc`, without touching any lock (proc_locks(5),
//! proc_pid_fdinfo(5)).
//!
//! `/proc/locks` names every lock of the kernel with the process that took it, and every waiter. But
//! in a PID namespace it leaves out those whose taker is dead or elsewhere; and a lock goes on after its
//! taker's death, in whoever shares the open file description. The `lock:` lines of a descriptor's
//! `fdinfo` say for certain that this process holds this lock, but can only be read of processes
//! that one may trace, and take long where there are many. So it is the processes that the table names
//! which are looked into, and all of them only where that does not account for every lock.

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, makedev, stat};
use rustix::io::Errno;

use super::descriptors::Descriptors;
use super::mounts::{Inode, ListedFile, Mount, device_of, info_of, mount_of, mounts_of, name_of};
use super::process::{knows_every_pid, process};
use super::table::{Api, Entry, Table};
use crate::sys::clock::pause;
use crate::sys::file_state::FileId;
use crate::sys::observe::{FileLocks, Found, MarkedRange, Names, State, WhyUnknown};

/// With O_PATH no right to read the file is needed, a device does not notice, and a FIFO does not
/// wait.
pub const INSPECT_FLAGS: OFlags = OFlags::PATH;

/// How often it is looked for who has a lock that was let go meanwhile.
const MOST_LOOKS: usize = 100;

/// How often it is looked whether a lock that nobody has is let go.
const FEW_LOOKS: usize = 3;

/// How long it is waited between these looks.
const INTERVAL: Duration = Duration::from_millis(1);

/// And for how long at least, if a taker is about to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The table, and what was seen of the descriptors.
pub struct Snapshot {
    /// What the table says; empty where it may not be read.
    table: Table,
    /// The marks in it.
    marks: Vec<MarkedRange>,
    /// What was seen of the descriptors.
    descriptors: RefCell<Descriptors>,
    /// The file systems of which all who may have a lock there were looked into, by their devices.
    looked_beside: RefCell<Vec<String>>,
    /// The mounts that we see.
    mounts: OnceCell<Result<Vec<Mount>, Errno>>,
    /// Why there may be locks that cannot be seen, if that is so.
    blind_spot: OnceCell<Option<WhyUnknown>>,
}

impl Snapshot {
    /// Reads the table.
    pub fn take() -> Snapshot {
        let table = Table::read();
        let marks = table.locks().filter_map(Entry::mark).collect();
        Snapshot {
            table,
            marks,
            descriptors: RefCell::default(),
            looked_beside: RefCell::default(),
            mounts: OnceCell::new(),
            blind_spot: OnceCell::new(),
        }
    }

    /// The marks in the table.
    pub fn marks(&self) -> &[MarkedRange] {
        &self.marks
    }

    /// Whether they are all that stood in it: it could be read, and as a whole.
    pub fn shows_marks(&self) -> bool {
        self.table.failure.is_none()
    }

    /// Whether they are all that stood in the table the whole time.
    ///
    /// # Errors
    ///
    /// Why not, other than that there is no table or that it may not be read. EAGAIN where it changes so
    /// fast that it cannot be read as a whole.
    pub fn is_complete(&self) -> Result<(), Errno> {
        match self.table.failure {
            Some(reason) if !is_answer(reason) => Err(reason),
            _ => Ok(()),
        }
    }

    /// The locks on an open file. `writer` is the process that its record names.
    ///
    /// What is said, by the first line that is true:
    ///
    /// | what is seen | what is said |
    /// |---|---|
    /// | the kernel does not tell the file's number | unknown: the blind spot, or `NoNumber` |
    /// | a descriptor with a lock on this very file | locked, and by whom |
    /// | the table has a lock with the file's number, which no other file has | locked |
    /// | the same, but a file of another subvolume may have that number, and the lock may be of a process that cannot be inspected | unknown: `SharedNumber` |
    /// | a part of the locks cannot be seen | unknown: the blind spot |
    /// | the file system keeps locks where the table does not have them | unknown: `LocksElsewhere` |
    /// | nothing of all this | free |
    ///
    /// Where nobody is seen who has a lock of the table, it may have been let go while it was looked for them.
    /// So the table is read again, and all begins anew unless that very lock stands.
    pub fn of(&self, file: BorrowedFd<'_>, writer: Option<u32>) -> FileLocks {
        let name = self.mounts().and_then(|mounts| name_of(file, mounts));
        let name = match name {
            Ok(Some(name)) => name,
            Ok(None) => return self.unknown(WhyUnknown::NoNumber),
            Err(reason) if is_answer(reason) => return self.unknown(WhyUnknown::NoNumber),
            Err(reason) => return self.unknown(WhyUnknown::Failed(reason)),
        };
        let mut later: Option<Snapshot> = None;
        for _ in 0..MOST_LOOKS {
            let snapshot = later.as_ref().unwrap_or(self);
            let locks = snapshot.of_name(&name, writer);
            if locks.state != State::Locked || !locks.holders.is_empty() {
                return locks;
            }
            match Snapshot::without(&snapshot.locks_on(&name).collect::<Vec<_>>()) {
                Some(now) => later = Some(now),
                None => return locks,
            }
        }
        self.unknown(WhyUnknown::ChangesTooFast)
    }

    /// The locks on a file of this name, by one reading of the table.
    fn of_name(&self, name: &ListedFile, writer: Option<u32>) -> FileLocks {
        let is_listed = self.locks_on(name).next().is_some();
        let mut takers = Vec::new();
        for taker in self.locks_on(name).filter_map(|lock| lock.taker) {
            if !takers.contains(&taker) {
                takers.push(taker);
            }
        }
        let holders = self.holders(name, &takers, writer);
        let descriptors = self.descriptors.borrow();
        let is_shared_number =
            is_listed && name.is_ambiguous && self.may_be_of_closed(&descriptors, name, &takers);
        takers.retain(|pid| descriptors.closed.contains(pid) && !holders.contains(pid));
        let state = match self.blind_spot().or(failed(&descriptors)) {
            _ if !holders.is_empty() => State::Locked,
            _ if is_listed && !name.is_ambiguous => State::Locked,
            _ if is_shared_number => State::Unknown(WhyUnknown::SharedNumber),
            Some(why) => State::Unknown(why),
            None if name.keeps_locks_elsewhere => State::Unknown(WhyUnknown::LocksElsewhere),
            None => State::Free,
        };
        let waiters = self.table.waiters(&name.inode);
        let is_counted = waiters == 0 || !name.is_ambiguous;
        let sees_waiters = self.blind_spot().is_none() && !name.keeps_locks_elsewhere && is_counted;
        FileLocks {
            state,
            holders,
            takers,
            waiters: sees_waiters.then_some(waiters),
        }
    }

    /// A later reading of the table that has none of these locks any more. Nothing if they stand.
    ///
    /// A process that ends or closes a file has no descriptor any more for a moment before its lock is gone
    /// (the kernel's exit.c, do_exit; file_table.c, fput), and on a busy machine that is not short. So it is
    /// looked a few times, and for longer if a taker is about to end.
    fn without(locks: &[&Entry]) -> Option<Snapshot> {
        let is_ending = |pid| process(pid).is_some_and(|process| process.has_ended);
        let takers = || locks.iter().filter_map(|lock| lock.taker);
        let start = Instant::now();
        for count in 1.. {
            let now = Snapshot::take();
            if !now.has_any(locks.iter().copied()) {
                return Some(now);
            }
            let is_over = count >= MOST_LOOKS && start.elapsed() > PATIENCE;
            if is_over || count >= FEW_LOOKS && !takers().any(is_ending) {
                break;
            }
            // Without it the looks go on for as long.
            let _ = pause(INTERVAL);
        }
        None
    }

    /// Whether one of these locks of another reading stands in the table still.
    fn has_any<'a>(&self, mut locks: impl Iterator<Item = &'a Entry>) -> bool {
        locks.any(|lock| self.table.has(lock))
    }

    /// What is said where nothing is known, for this reason.
    fn unknown(&self, why: WhyUnknown) -> FileLocks {
        FileLocks {
            state: State::Unknown(self.blind_spot().unwrap_or(why)),
            holders: Vec::new(),
            takers: Vec::new(),
            waiters: None,
        }
    }

    /// The processes that hold the file's lock: of those that the table names, with their children; and
    /// where one of those does not hold it, or the table may leave out a lock, of all.
    ///
    /// A look takes its time, and the lock may have gone from one to another meanwhile: where that may
    /// be so, the processes are looked into once more.
    fn holders(&self, name: &ListedFile, takers: &[u32], writer: Option<u32>) -> Vec<u32> {
        let mut descriptors = self.descriptors.borrow_mut();
        for &pid in takers.iter().chain(&writer) {
            descriptors.look_at_family(pid, name);
        }
        let mut holders = descriptors.holders_of(name);
        let is_of_holder = |lock: &&Entry| lock.taker.is_some_and(|pid| holders.contains(&pid));
        let others = self.locks_on(name).filter(|lock| !is_of_holder(lock));
        let others: Vec<_> = others.collect();
        // Most of those that nobody has are gone by now, and all processes are many.
        let stands = || Snapshot::take().has_any(others.iter().copied());
        if self.blind_spot().is_some() || !others.is_empty() && stands() {
            descriptors.look_at_all(&|_| false);
            holders = descriptors.holders_of(name);
        }
        let mut doubtful: Vec<u32> = match &holders[..] {
            [] => takers.to_vec(),
            [_] => Vec::new(),
            several => several.to_vec(),
        };
        doubtful.extend(writer.filter(|pid| !holders.contains(pid)));
        if doubtful.is_empty() {
            return holders;
        }
        let mut now = Descriptors::default();
        for pid in doubtful {
            now.look_at(pid);
        }
        let still = now.holders_of(name);
        if still.is_empty() { holders } else { still }
    }

    /// Whether a lock that the table has may be one of a process that cannot be inspected.
    fn may_be_of_closed(
        &self,
        descriptors: &Descriptors,
        name: &ListedFile,
        takers: &[u32],
    ) -> bool {
        let mut seen = descriptors
            .locks_on(&name.inode)
            .map(|descriptor| descriptor.pid);
        let is_seen = |taker: &u32| descriptors.locks_on(&name.inode).any(|it| it.pid == *taker);
        let all_seen = seen.next().is_some() && takers.iter().all(is_seen);
        !descriptors.closed.is_empty() && !all_seen
    }

    /// The files with a flock that one of these marks `names`, in processes that have both: of those that the
    /// table names for such a file, and where none of these is one, of all.
    ///
    /// # Errors
    ///
    /// What kept the look from being complete, other than that it is not allowed.
    pub fn named(&self, marks: &[MarkedRange], names: &Names<'_>) -> Result<Found, Errno> {
        let mut descriptors = self.descriptors.borrow_mut();
        let is_named = |file| marks.iter().any(|mark| names(mark, file));
        let flocks = self.table.locks().filter(|lock| lock.api == Api::Flock);
        let flocks = flocks.filter(|lock| id_of(lock).is_some_and(is_named));
        for pid in flocks.filter_map(|lock| lock.taker) {
            descriptors.look_at(pid);
        }
        let found = named_files(&descriptors, marks, names)?;
        if !found.files.is_empty() {
            return Ok(found);
        }
        descriptors.look_at_all(&|_| false);
        match descriptors.failure {
            Some(reason) => Err(reason),
            None => named_files(&descriptors, marks, names),
        }
    }

    /// The locked files that had this path and were deleted, on the mount of `beside`: among other mounts
    /// the same path is another file's.
    ///
    /// All processes are looked into only where the table has a lock on a file of the same file system
    /// that nobody has whom it names; or where it may leave locks out.
    ///
    /// # Errors
    ///
    /// What kept the look from being complete, other than that it is not allowed. EAGAIN where there are
    /// always new processes, and a lock whose holder is not among those that were looked into.
    pub fn deleted(&self, path: &Path, beside: BorrowedFd<'_>) -> Result<Found, Errno> {
        let name = match name_of(beside, self.mounts()?) {
            Err(reason) if is_answer(reason) => None,
            other => other?,
        };
        let looked = match (&name, self.blind_spot()) {
            (Some(name), None) if !name.keeps_locks_elsewhere => self.look_beside(name),
            (_, why) => {
                self.descriptors.borrow_mut().look_at_all(&|_| false);
                match why {
                    Some(WhyUnknown::Failed(reason)) => Err(reason),
                    _ => Ok(()),
                }
            }
        };
        let mut descriptors = self.descriptors.borrow_mut();
        let looked = looked.and(descriptors.failure.map_or(Ok(()), Err));
        let info = info_of(beside).ok();
        let ours = info.and_then(|info| mount_of(&info, self.mounts().ok()?));
        let is_here = |theirs: &Mount| ours.is_none_or(|ours| ours.is_same_place(theirs));
        let files = descriptors.deleted(path, &is_here)?;
        // What was found counts, whatever was missed.
        if files.is_empty() {
            looked?;
        }
        let is_beside = |file: &Inode| {
            let device = name.as_ref().map(|name| name.device());
            file.is_empty() || device.is_none_or(|device| device_of(file) == device)
        };
        Ok(Found {
            files,
            has_vanished: descriptors.vanished.iter().any(is_beside),
        })
    }

    /// Looks into whoever may have a lock on another file of the same file system, once for each of
    /// these: into those whom the table names; and while it has such a lock that nobody has who was
    /// looked into, into all.
    fn look_beside(&self, name: &ListedFile) -> Result<(), Errno> {
        let device = name.device();
        let mut looked = self.looked_beside.borrow_mut();
        if looked.iter().any(|it| it == device) {
            return Ok(());
        }
        let is_itself = |lock: &&Entry| lock.file == name.inode && !name.is_ambiguous;
        let is_beside = |lock: &&Entry| device_of(&lock.file) == device && !is_itself(lock);
        let mut descriptors = self.descriptors.borrow_mut();
        let beside = self.table.locks().filter(is_beside);
        for pid in beside.filter_map(|lock| lock.taker) {
            descriptors.look_at(pid);
        }
        let is_incomplete = Cell::new(false);
        let is_accounted_for = |descriptors: &Descriptors| {
            let is_open = |lock: &&Entry| descriptors.locks_on(&lock.file).next().is_none();
            let is_unknown = |lock: &&Entry| is_beside(lock) && is_open(lock);
            if !self.table.locks().any(|lock| is_unknown(&lock)) {
                return true;
            }
            // Most of them are gone by now: they come and go.
            let now = Table::read();
            if now.failure.is_some() {
                // To look at everybody would not be enough where it changes too fast, and takes long.
                is_incomplete.set(now.failure == Some(Errno::AGAIN));
                return is_incomplete.get();
            }
            // One that was handed on to a waiter has another entry now.
            let stays = |lock: &Entry| now.locks_on(&lock.file).next().is_some();
            !self
                .table
                .locks()
                .any(|lock| is_unknown(&lock) && stays(lock))
        };
        let is_complete = descriptors.look_at_all(&is_accounted_for);
        if is_incomplete.get() || !is_complete && descriptors.closed.is_empty() {
            return Err(Errno::AGAIN);
        }
        if !self.table.locks().any(|lock| is_itself(&lock)) {
            looked.push(device.to_owned());
        }
        Ok(())
    }

    /// The locks that the table has on the files of this name.
    fn locks_on(&self, name: &ListedFile) -> impl Iterator<Item = &Entry> {
        let locks = self.table.locks_on(&name.inode);
        locks.filter(|lock| lock.mark().is_none())
    }

    /// Why there may be locks that cannot be seen, if that is so.
    fn blind_spot(&self) -> Option<WhyUnknown> {
        *self.blind_spot.get_or_init(|| match self.table.failure {
            Some(reason) if is_answer(reason) => Some(WhyUnknown::NoTable),
            Some(reason) => Some(WhyUnknown::Failed(reason)),
            None => blind_spot(),
        })
    }

    /// The mounts that we see.
    fn mounts(&self) -> Result<&[Mount], Errno> {
        let mounts = self
            .mounts
            .get_or_init(|| mounts_of(Path::new("/proc/self")));
        mounts.as_deref().map_err(|reason| *reason)
    }
}

/// The files with a flock that one of these marks `names` which the same process has, of the processes that
/// were looked into. Of others nothing is asked, since their file systems may not answer.
///
/// A mark whose process is not known to have such a file is not enough: that may have let go of its file,
/// and the number that the mark names may be an unrelated file's by now.
fn named_files(
    descriptors: &Descriptors,
    marks: &[MarkedRange],
    names: &Names<'_>,
) -> Result<Found, Errno> {
    let mut found = Found::default();
    for descriptor in descriptors.locked().filter(|it| it.api == Api::Flock) {
        let theirs = descriptors.marks_of(descriptor.pid);
        let mut theirs = theirs.filter(|mark| marks.contains(mark)).peekable();
        if theirs.peek().is_none() {
            continue;
        }
        match descriptor.file() {
            Ok(file) if theirs.any(|mark| names(mark, file.id)) => found.files.push(file),
            Ok(_) => {}
            Err(Errno::NOENT | Errno::SRCH) => found.has_vanished = true,
            Err(reason) if is_answer(reason) => {}
            Err(reason) => return Err(reason),
        }
    }
    Ok(found)
}

/// The file of a lock as stat(2) has it on most file systems: the table has the numbers of the file
/// system's own, which differ from stat(2)'s on btrfs and overlayfs.
fn id_of(lock: &Entry) -> Option<FileId> {
    let mut numbers = lock.file.split(':');
    let mut device = || u32::from_str_radix(numbers.next()?, 16).ok();
    let device = makedev(device()?, device()?);
    let inode = numbers.next()?.parse().ok()?;
    Some(FileId { device, inode })
}

/// Whether an error says that we may not look, or that nothing is there. Any other keeps a look from
/// being complete.
fn is_answer(reason: Errno) -> bool {
    matches!(
        reason,
        Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::NOTDIR | Errno::SRCH
    )
}

/// Why a look was not complete, if it was not.
fn failed(descriptors: &Descriptors) -> Option<WhyUnknown> {
    descriptors.failure.map(WhyUnknown::Failed)
}

/// Why the table may leave a lock out for good. It has them all in the initial PID namespace, where
/// every process has a number, if `/proc` is that namespace's own and not a part of it (proc(5),
/// `hidepid` and `subset`).
fn blind_spot() -> Option<WhyUnknown> {
    if !knows_every_pid() {
        return Some(WhyUnknown::OtherPidNamespace);
    }
    match stat("/proc/1") {
        Ok(_) => None,
        Err(reason) if is_answer(reason) => Some(WhyUnknown::ProcHidden),
        Err(reason) => Some(WhyUnknown::Failed(reason)),
    }
}
