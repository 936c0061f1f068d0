//! What a program says on both its streams. std's own way takes it for granted that poll(2) and ioctl(2)
//! succeed, and panics where a sandbox refuses them.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};

/// How long it is waited until it is looked whether the program has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs a program, and hears it to its end, however long that takes: crontab(1) may ask the user. It has
/// nothing to read, or what it was given. What it leaves behind may keep its streams open, and is not waited
/// for.
///
/// # Errors
///
/// Where it cannot be started, or not be heard; then it is killed.
pub fn output(program: &mut Command) -> io::Result<Output> {
    let mut child = program
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let stderr = child.stderr.take().map(OwnedFd::from);
    let heard = hear(&mut child, [stdout, stderr]);
    if heard.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let [stdout, stderr] = heard?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Reads both streams until the program has ended: one that is not read would make it wait.
fn hear(child: &mut Child, mut streams: [Option<OwnedFd>; 2]) -> io::Result<[Vec<u8>; 2]> {
    let mut heard = [Vec::new(), Vec::new()];
    for stream in streams.iter().flatten() {
        ioctl_fionbio(stream, true)?;
    }
    loop {
        let has_ended = child.try_wait()?.is_some();
        for (stream, heard) in streams.iter_mut().zip(&mut heard) {
            read_what_is_there(stream, heard)?;
        }
        if has_ended {
            return Ok(heard);
        }
        let open = streams.iter().flatten();
        let mut open: Vec<_> = open.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        let pause = Timespec::try_from(PAUSE).map_err(|_| Errno::INVAL)?;
        retry_on_intr(|| poll(&mut open, Some(&pause)))?;
    }
}

/// Reads all that has come, up to the end.
fn read_what_is_there(stream: &mut Option<OwnedFd>, heard: &mut Vec<u8>) -> Result<(), Errno> {
    let mut piece = [0; 4096];
    while let Some(open) = stream {
        match read(&*open, &mut piece) {
            Ok(0) => *stream = None,
            Ok(length) => heard.extend(piece.iter().take(length)),
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(reason) => return Err(reason),
        }
    }
    Ok(())
}
