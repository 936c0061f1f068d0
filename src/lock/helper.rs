//! Spawns the program that makes a connection and takes the lock on it, reads both its streams until it
//! has ended, and reaps it. Its output is not trusted, nor is it that it ever ends.
//!
//! Its contract, for any language, is in nonoverlap-helper(7).

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::lines::{MOST_BYTES, WAITING};
use crate::model::command;
use crate::model::target::scheme;
use crate::sys;
use crate::text::escape::in_a_line;
use crate::text::password::without_secrets_of;

/// The variable in which a helper finds the command that the lock is for.
const COMMAND: &str = "NONOVERLAP_COMMAND";

/// How long a helper may take to connect and to ask.
pub const TIME: Duration = Duration::from_secs(30);
/// How much longer it may take than the wait that it was asked for.
pub const TIME_TO_ASK: Duration = Duration::from_secs(15);
/// How often it is looked whether it has ended, although something still has its streams open.
const PAUSE: Duration = Duration::from_millis(200);

/// When a helper is given up.
#[derive(Clone, Copy)]
pub enum Limit {
    /// After this time.
    After(Duration),
    /// After [`TIME`], unless it says by then that it waits.
    UntilItWaits,
}

/// A helper that cannot be run, and why.
pub struct NoHelper(pub String, pub Errno);

/// What came from a helper that has ended.
#[derive(Default)]
pub struct HelperOutput {
    /// What it passed.
    pub descriptors: Vec<OwnedFd>,
    /// What it wrote on its standard output.
    pub text: Vec<u8>,
    /// What it wrote on its standard error, in a line, and without a password of the lock.
    pub said: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
    /// It was given up.
    pub is_late: bool,
}

impl HelperOutput {
    /// Why it failed, by its own words, or by its end if it had none.
    pub fn why(self) -> Vec<u8> {
        match self.said.is_empty() {
            false => self.said,
            true => format!("its helper ended with {}", self.status).into_bytes(),
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
    limit: Limit,
) -> Result<HelperOutput, NoHelper> {
    let name = format!("nonoverlap-{}", helped(word));
    let output = find(&name).and_then(|path| {
        let mut helper = Command::new(OsStr::from_bytes(path.to_bytes()));
        helper.args(options).arg(OsStr::from_bytes(word.to_bytes()));
        // A variable is as long as a word at the most (execve(2), "Limits"); a command is many.
        let text = command.map(|command| command.to_string().chars().take(MOST_BYTES).collect());
        helper.envs(text.map(|text: String| (COMMAND, text)));
        sys::with_children(|| run(helper, limit)).map_err(sys::errno_of)
    });
    let mut output = output.map_err(|reason| NoHelper(name, reason))?;
    let is_cut = output.said.len() == MOST_BYTES;
    let said = without_secrets_of(word.to_bytes(), &output.said, is_cut);
    output.said = in_a_line(&said);
    Ok(output)
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
    // The links in it are resolved by Linux, and by nobody on macOS (dyld(3)).
    let us = env::current_exe().map(|us| us.canonicalize().unwrap_or(us));
    let beside = us.map(|us| us.with_file_name(name).into_os_string());
    match beside.map(|path| find(path.into_vec())) {
        Ok(Ok(path)) => Ok(path),
        _ => find(name.into()),
    }
}

/// What a closed stream is filled with for a moment.
const NOTHING: &str = "/dev/null";

/// Starts the helper, hears it, and waits for its end.
fn run(mut helper: Command, limit: Limit) -> io::Result<HelperOutput> {
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
    let mut streams = Streams {
        socket: Some(OwnedFd::from(socket)),
        stderr: child.stderr.take().map(OwnedFd::from),
        output: HelperOutput::default(),
    };
    let heard = streams.hear(&mut child, limit);
    // It has ended, or it is given up.
    let _ = child.kill();
    let status = child.wait()?;
    let is_in_time = heard?;
    let mut output = streams.output;
    if !is_in_time {
        output.is_late = true;
        output.descriptors.clear();
        output.said = b"its helper does not answer in time".to_vec();
    }
    Ok(HelperOutput { status, ..output })
}

/// The streams of a helper, as long as they are open, and what came by them.
struct Streams {
    /// Its standard output.
    socket: Option<OwnedFd>,
    /// Its standard error.
    stderr: Option<OwnedFd>,
    /// What came.
    output: HelperOutput,
}

impl Streams {
    /// Hears both until the helper has ended: one that is not read would make it wait for us. What it
    /// leaves behind may keep them open, and is not waited for. False if it is not in time.
    fn hear(&mut self, child: &mut Child, limit: Limit) -> io::Result<bool> {
        for stream in self.socket.iter().chain(&self.stderr) {
            ioctl_fionbio(stream, true)?;
        }
        let time = match limit {
            Limit::After(time) => time,
            Limit::UntilItWaits => TIME,
        };
        let mut deadline = Instant::now().checked_add(time);
        // It ends in the very moment that it closes its streams, as a rule.
        let mut pause = Duration::from_micros(100);
        loop {
            let has_ended = child.try_wait()?.is_some();
            self.read_what_is_there()?;
            if has_ended {
                return Ok(true);
            }
            let is_over = self.socket.is_none() && self.stderr.is_none();
            if is_over {
                // It can say nothing more, so it has to end.
                deadline = deadline.or_else(|| Instant::now().checked_add(TIME));
                pause = (pause * 2).min(PAUSE);
            } else if matches!(limit, Limit::UntilItWaits) && self.output.text.starts_with(WAITING)
            {
                deadline = None;
            }
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => return Ok(false),
                left => {
                    let pause = if is_over { pause } else { PAUSE };
                    self.wait(left.map_or(pause, |left| left.min(pause)))?;
                }
            }
        }
    }

    /// Waits for more, for this long at the most.
    fn wait(&self, pause: Duration) -> Result<(), Errno> {
        let open = self.socket.iter().chain(&self.stderr);
        let mut open: Vec<_> = open.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        let pause = Timespec::try_from(pause).map_err(|_| Errno::INVAL)?;
        retry_on_intr(|| poll(&mut open, Some(&pause))).map(drop)
    }

    /// Reads all that has come.
    fn read_what_is_there(&mut self) -> Result<(), Errno> {
        let mut piece = [0; 512];
        while let Some(socket) = &self.socket {
            match receive(socket.as_fd(), &mut piece, &mut self.output.descriptors) {
                Ok([]) => self.socket = None,
                Ok(more) => keep(&mut self.output.text, more),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(reason) => return Err(reason),
            }
        }
        while let Some(stderr) = &self.stderr {
            match read(stderr, &mut piece) {
                Ok(0) => self.stderr = None,
                Ok(length) => {
                    keep(
                        &mut self.output.said,
                        piece.get(..length).unwrap_or_default(),
                    );
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(())
    }
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
