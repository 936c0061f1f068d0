//! A server that is the test itself, and helpers for it in Python. A connection is accepted, held and
//! closed by the test alone.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::support::crontab::path_with;
use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, PATIENCE, Run, Scene, Watchdog, eventually, has_tool,
};

/// The helper that the manual points to.
const WHOLE: &str = include_str!("nonoverlap-test.py");

/// What stands before the few lines that a test has its helper do. `connect` makes a connection to
/// the server, and `give` passes sockets on.
const PRELUDE: &str = r#"#!/usr/bin/env python3
import json, os, signal, socket, sys, time
def connect():
    server = socket.socket(socket.AF_UNIX)
    server.connect("FOLDER/server")
    return server
def give(*sockets, line=b"\n"):
    socket.send_fds(socket.socket(fileno=os.dup(1)), [line], [it.fileno() for it in sockets])
def say(text):
    os.write(2, text.encode())
"#;

/// The interpreter itself: the one in PATH may be a script that first looks for it, which would take
/// longer than most of these tests.
fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let mut python = Command::new("python3");
        let said = python
            .args(["-c", "import sys; print(sys.executable)"])
            .run();
        said.stdout().trim_end().to_owned()
    })
}

/// Where helpers connect to, and a PATH with a helper for `test://` in it.
pub struct Server {
    pub scene: Scene,
    listener: UnixListener,
}

impl Server {
    /// With the helper that the manual points to.
    #[track_caller]
    pub fn start() -> Option<Server> {
        Server::with_helper(WHOLE)
    }

    /// With a helper that does this, in Python.
    #[track_caller]
    pub fn with(lines: &str) -> Option<Server> {
        Server::with_helper(&format!("{PRELUDE}{lines}\n"))
    }

    /// With this program as the helper. FOLDER is the scene's.
    #[track_caller]
    pub fn with_helper(program: &str) -> Option<Server> {
        if !has_tool("python3", "a helper in Python") {
            return None;
        }
        let scene = Scene::new();
        fs::create_dir(scene.path("bin")).unwrap();
        let listener = UnixListener::bind(scene.path("server")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Server { scene, listener };
        server.helper("bin/nonoverlap-test", program);
        Some(server)
    }

    /// Makes a helper.
    pub fn helper(&self, name: &str, program: &str) {
        let folder = self.scene.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        let program = program.replace("FOLDER", folder);
        let program = program.replace("/usr/bin/env python3", python());
        self.scene.script(name, &program);
    }

    /// Makes a helper that does this, in Python.
    pub fn helper_that(&self, name: &str, lines: &str) {
        self.helper(name, &format!("{PRELUDE}{lines}\n"));
    }

    /// The lock.
    pub fn word(&self) -> String {
        format!("test://{}", self.scene.path("server").display())
    }

    /// nonoverlap with these words, which finds the helper in PATH.
    pub fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Command {
        let mut command = self.program(NONOVERLAP);
        command.args(words);
        command
    }

    /// Any program with the helper in PATH.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", path_with(&self.scene.path("bin")));
        command
    }

    /// nonoverlap with these options, the lock, and a command that the helper lets run or not.
    #[track_caller]
    pub fn run(&self, options: &[&str], command: &[&str]) -> Ended {
        self.nonoverlap(options)
            .arg(self.word())
            .args(command)
            .run()
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&self) -> Connection {
        let mut accepted = None;
        eventually("a helper connects", || {
            match self.listener.accept() {
                Ok((stream, _)) => accepted = Some(stream),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            accepted.is_some()
        });
        let stream = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    /// The next connection, whose helper asks and is answered. Gives what it asked as well.
    #[track_caller]
    pub fn answer(&self, answer: &str) -> (String, Connection) {
        let mut connection = self.accept();
        let mut asked = String::new();
        connection.0.read_line(&mut asked).unwrap();
        connection.send(answer.as_bytes());
        (asked.trim_end().to_owned(), connection)
    }

    /// A run to its end, whose helper asks and is answered. Gives what it asked as well.
    #[track_caller]
    pub fn answered(&self, answer: &str, command: &mut Command) -> (String, Ended) {
        thread::scope(|threads| {
            let run = threads.spawn(|| command.run());
            let (asked, connection) = self.answer(answer);
            let ended = run.join().unwrap();
            drop(connection);
            (asked, ended)
        })
    }

    /// A run that holds the lock, and the server's end of its connection.
    #[track_caller]
    pub fn holder(&self, options: &[&str]) -> (Holder, Connection) {
        self.holder_of(options, &HOLD)
    }

    /// The same, of a command that says "held" and ends when its stdin does.
    #[track_caller]
    pub fn holder_of(&self, options: &[&str], command: &[&str]) -> (Holder, Connection) {
        let mut holder = self.nonoverlap(options);
        holder.arg(self.word()).args(command);
        thread::scope(|threads| {
            let holder = threads.spawn(|| Holder::start(&mut holder));
            let (_, connection) = self.answer("yours");
            (holder.join().unwrap(), connection)
        })
    }

    /// A run whose end the test waits for itself.
    #[track_caller]
    pub fn begin(&self, command: &mut Command) -> Begun {
        let line = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        Begun {
            line,
            child: Some(child),
            watchdog,
        }
    }
}

/// A run that has begun, and is killed if the test forgets it.
pub struct Begun {
    line: String,
    child: Option<std::process::Child>,
    watchdog: Watchdog,
}

impl Begun {
    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let child = self.child.take().unwrap();
        Ended::of(self.line.clone(), child, &self.watchdog)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server's end of a connection. The lock that it stands for ends with it.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Says something to whoever has the other end.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Says that it has nothing more to say, and keeps the connection.
    #[track_caller]
    pub fn says_no_more(&mut self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the other end is open, at this moment.
    #[track_caller]
    pub fn is_open(&mut self) -> bool {
        self.0.get_ref().set_nonblocking(true).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.get_ref().set_nonblocking(false).unwrap();
        match read {
            Ok(length) => length > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until nobody has the other end any more.
    #[track_caller]
    pub fn ends(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

/// What a file holds, or nothing where there is none.
pub fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
