//! What a program says on both its streams. std's own way takes it for granted that poll(2) and ioctl(2)
//! succeed, and panics where a sandbox refuses them.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};

/// Runs a program, and hears it to its end. It has nothing to read, or what it was given.
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
    let heard = hear([stdout, stderr]);
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

/// Reads both streams to their ends: one that is not read would make the program wait.
fn hear(mut streams: [Option<OwnedFd>; 2]) -> Result<[Vec<u8>; 2], Errno> {
    let mut heard = [Vec::new(), Vec::new()];
    for stream in streams.iter().flatten() {
        ioctl_fionbio(stream, true)?;
    }
    while streams.iter().any(Option::is_some) {
        let open = streams.iter().flatten();
        let mut open: Vec<_> = open.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        retry_on_intr(|| poll(&mut open, None))?;
        for (stream, heard) in streams.iter_mut().zip(&mut heard) {
            let mut piece = [0; 4096];
            let length = stream.as_ref().map(|stream| read(stream, &mut piece));
            match length {
                None | Some(Err(Errno::AGAIN | Errno::INTR)) => {}
                Some(Ok(0)) => *stream = None,
                Some(Ok(length)) => heard.extend(piece.iter().take(length)),
                Some(Err(reason)) => return Err(reason),
            }
        }
    }
    Ok(heard)
}
