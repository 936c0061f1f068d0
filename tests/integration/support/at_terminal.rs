//! Somebody at a terminal: what is typed there, what is shown, and the program that it is the
//! controlling terminal of. Linux only.

use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::harness::{NONOVERLAP, PATIENCE, Scene, Watchdog};
use super::terminal::Terminal;

/// The prompt of [`AtTerminal::shell`].
pub const PROMPT: &str = "prompt> ";
/// What Ctrl-C types.
pub const CTRL_C: &str = "\x03";
/// What Ctrl-D types.
pub const CTRL_D: &str = "\x04";
/// What Ctrl-Z types.
pub const CTRL_Z: &str = "\x1a";

/// A program that leads the session of a terminal, and who sits there. The terminal is hung up when
/// this goes out of scope, which ends whatever has not left the session.
pub struct AtTerminal {
    /// Taken when it is hung up.
    terminal: Option<Terminal>,
    child: Child,
    /// What nobody has waited for yet.
    shown: String,
    _watchdog: Watchdog,
}

impl AtTerminal {
    /// An interactive bash in the scene's folder, with job control. Returns when it prompts.
    #[track_caller]
    pub fn shell(scene: &Scene) -> AtTerminal {
        let words = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
        let mut shell = AtTerminal::start(scene, words);
        shell.shows(PROMPT);
        shell
    }

    /// This program, in the scene's folder, with our program in the variable `NONOVERLAP`. What is typed is not shown, so all that is shown was said.
    #[track_caller]
    pub fn start<I: IntoIterator<Item: AsRef<OsStr>>>(scene: &Scene, words: I) -> AtTerminal {
        let terminal = Terminal::new();
        let stream = terminal.open();
        let mut modes = tcgetattr(&stream).unwrap();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stream, OptionalActions::Now, &modes).unwrap();
        fcntl_setfl(&terminal.keyboard, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        // setsid of util-linux makes the terminal that is stdin the controlling one.
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words);
        command.current_dir(scene.path(""));
        command.env("HOME", scene.path("")).env("LC_ALL", "C");
        command.env("HISTFILE", "").env("PS1", PROMPT);
        command.env("NONOVERLAP", NONOVERLAP);
        command.stdin(terminal.open()).stdout(terminal.open());
        command.stderr(stream);
        let child = command.spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        AtTerminal {
            terminal: Some(terminal),
            child,
            shown: String::new(),
            _watchdog: watchdog,
        }
    }

    /// Types this.
    #[track_caller]
    pub fn types(&self, text: &str) {
        let keyboard = &self.terminal.as_ref().unwrap().keyboard;
        assert_eq!(io::write(keyboard, text.as_bytes()), Ok(text.len()));
    }

    /// Waits until this is shown, and gives all that was shown since the last time, to its end.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            self.look();
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{text:?} is not shown: {:?}",
                self.shown
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Has the shell carry out a line, and gives what is shown until it prompts.
    #[track_caller]
    pub fn line(&mut self, line: &str) -> String {
        self.types(&format!("{line}\n"));
        let shown = self.shows(PROMPT);
        shown.strip_suffix(PROMPT).unwrap().to_owned()
    }

    /// Takes what the terminal shows.
    fn look(&mut self) {
        let keyboard = &self.terminal.as_ref().unwrap().keyboard;
        let mut buffer = [0; 4096];
        // Nothing to read is an error, and so is the end.
        while let Ok(count @ 1..) = io::read(keyboard, &mut buffer) {
            self.shown += std::str::from_utf8(&buffer[..count]).unwrap();
        }
    }

    /// Waits for the end of the program, and gives its status and what was shown last.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.look();
        (status, std::mem::take(&mut self.shown))
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        drop(self.terminal.take());
        let _ = self.child.wait();
    }
}
