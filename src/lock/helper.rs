//! Spawns the program that makes a connection and takes the lock on it, reads both its streams to
//! their end, and reaps it. Its output is not trusted.
//!
//! Its contract, for any language, is in the manual (REMOTE LOCKS, Helpers).

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::model::command;
use crate::model::target::scheme;
use crate::sys;
use crate::text::escape::in_a_line;

/// The variable in which a helper finds the command that the lock is for.
const COMMAND: &str = "NONOVERLAP_COMMAND";

/// How much of what a helper says is kept, in bytes, and of what it is told. The rest is dropped.
const MOST_BYTES: usize = 4096;

/// A helper that cannot be run, and why.
pub struct NoHelper(pub String, pub Errno);

/// What came from a helper that has ended.
#[derive(Default)]
pub struct HelperOutput {
    /// What it passed.
    pub descriptors: Vec<OwnedFd>,
    /// What it wrote on its standard output, in a line.
    pub text: Vec<u8>,
    /// What it wrote on its standard error, in a line.
    pub said: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
}

impl HelperOutput {
    /// Why it failed, by its own words, or by its end if it had none.
    pub fn why(self) -> Vec<u8> {
        match self.said.is_empty() {
            false => self.said,
            true => format!("its helper ended with {}", self.status).into_bytes(),
        }
    }

    /// Its answer, or this one where it wrote none.
    pub fn answer(self, default: &str) -> Vec<u8> {
        match self.text.is_empty() {
            false => self.text,
            true => default.into(),
        }
    }
}

/// Runs the helper of this word's scheme with these options, for this command.
///
/// # Errors
///
/// [`NoHelper`] where there is none, where it cannot be started, or where we cannot hear it.
pub fn ask(
    options: &[String],
    word: &CStr,
    command: Option<command::CommandLine>,
) -> Result<HelperOutput, NoHelper> {
    let name = format!("nonoverlap-{}", helped(word));
    let output = find(&name).and_then(|path| {
        let mut helper = Command::new(OsStr::from_bytes(path.to_bytes()));
        helper.args(options).arg(OsStr::from_bytes(word.to_bytes()));
        // A variable is as long as a word at the most (execve(2), "Limits"); a command is many.
        let text = command.map(|command| command.to_string().chars().take(MOST_BYTES).collect());
        helper.envs(text.map(|text: String| (COMMAND, text)));
        sys::with_children(|| run(helper)).map_err(sys::errno_of)
    });
    output.map_err(|reason| NoHelper(name, reason))
}

/// The scheme whose helper is asked.
fn helped(word: &CStr) -> &str {
    match scheme(word) {
        // PostgreSQL's own library takes both for the same.
        Some("postgres") => "postgresql",
        scheme => scheme.unwrap_or_default(),
    }
}

/// Where the program of this name is: beside us, or in PATH.
fn find(name: &str) -> Result<CString, Errno> {
    let find = |path: Vec<u8>| {
        let path = CString::new(path).map_err(|_| Errno::NOENT)?;
        sys::find(&path)
    };
    let beside = env::current_exe().map(|us| us.with_file_name(name).into_os_string());
    match beside.map(|path| find(path.into_vec())) {
        Ok(Ok(path)) => Ok(path),
        _ => find(name.into()),
    }
}

/// What a closed stream is filled with for a moment.
const NOTHING: &str = "/dev/null";

/// Starts the helper, hears it, and waits for its end.
fn run(mut helper: Command) -> io::Result<HelperOutput> {
    // If 0, 1 or 2 is closed, descriptors opened below would land there and be overwritten when the
    // child's stdio is set up. Fill the gaps first.
    let mut fillers = Vec::new();
    let mut highest = -1;
    while highest < libc::STDERR_FILENO {
        let filler = File::open(NOTHING)?;
        highest = filler.as_raw_fd();
        fillers.push(filler);
    }
    let (socket, theirs) = UnixStream::pair()?;
    helper
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::piped());
    let mut child = helper.spawn()?;
    // With it goes our copy of the socket's other end: the helper's end is to be the end.
    drop(helper);
    let output = listen(socket, child.stderr.take());
    let status = child.wait()?;
    Ok(HelperOutput { status, ..output? })
}

/// Hears both streams of a helper to their ends: one that is not read would make it wait for us.
fn listen(socket: UnixStream, stderr: Option<ChildStderr>) -> Result<HelperOutput, Errno> {
    let mut output = HelperOutput::default();
    let (mut socket, mut stderr) = (Some(OwnedFd::from(socket)), stderr.map(OwnedFd::from));
    for stream in socket.iter().chain(&stderr) {
        ioctl_fionbio(stream, true)?;
    }
    while socket.is_some() || stderr.is_some() {
        let open = socket.iter().chain(&stderr);
        let mut open: Vec<_> = open.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        retry_on_intr(|| poll(&mut open, None))?;
        let mut piece = [0; 512];
        if let Some(it) = &socket {
            match receive(it.as_fd(), &mut piece, &mut output.descriptors) {
                Ok([]) => socket = None,
                Ok(more) => keep(&mut output.text, more),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(reason) => return Err(reason),
            }
        }
        if let Some(it) = &stderr {
            match read(it, &mut piece) {
                Ok(0) => stderr = None,
                Ok(length) => keep(&mut output.said, piece.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(reason) => return Err(reason),
            }
        }
    }
    output.text = in_a_line(&output.text);
    output.said = in_a_line(&output.said);
    Ok(output)
}

/// Keeps what there is room for.
fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    let room = MOST_BYTES.saturating_sub(kept.len());
    kept.extend(more.iter().take(room));
}

/// Receives bytes, and the descriptors that come with them.
///
/// # Errors
///
/// As recvmsg(2). EMFILE where there were more descriptors than the one that is here: we may have no
/// more, and the kernel has closed the others.
fn receive<'a>(
    socket: BorrowedFd<'_>,
    piece: &'a mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<&'a [u8], Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let pieces = &mut [IoSliceMut::new(piece)];
    let message = recvmsg(socket, pieces, &mut control, RecvFlags::empty())?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = part {
            descriptors.extend(passed);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) && descriptors.len() < 2 {
        return Err(Errno::MFILE);
    }
    Ok(piece.get(..message.bytes).unwrap_or_default())
}
