//! Promises about the loss of a lock: when the connection ends, the guardian ends the job. Linux only.

use std::fs;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use seccompiler::apply_filter;

use crate::run::guardian::guardian_of;
use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Stopped, eventually, has_tool, is_root, kill, left_out, reason,
};
use crate::support::probe::in_child;
use crate::support::refused_call::Call;
use crate::support::remote_server::{Connection, Server};
use crate::support::status_answer::AS_NOBODY;

/// How a server can lose a lock.
const WAYS: [fn(Connection) -> Option<Connection>; 2] = [
    |connection| {
        drop(connection);
        None
    },
    // It is enough that the server has nothing more to say, behind a farewell that nobody has read.
    |mut connection| {
        connection.send(b"terminating connection due to administrator command");
        connection.says_no_more();
        Some(connection)
    },
];

#[test]
fn a_command_whose_lock_is_lost_is_sent_sigterm_or_what_was_chosen() {
    let Some(server) = Server::start() else {
        return;
    };
    for lose in WAYS {
        for (options, signal) in [
            (&[][..], libc::SIGTERM),
            (&["--on-lost", "term"], libc::SIGTERM),
            (&["--on-lost", "kill", "-s"], libc::SIGKILL),
            (&["--close"], libc::SIGTERM),
            (&["-o", "--on-lost", "kill"], libc::SIGKILL),
        ] {
            let (holder, connection) = server.holder(options);
            let _kept = lose(connection);
            assert_eq!(end_of(holder), Err(signal), "{options:?}");
        }
    }
}

/// So a server may say what it likes.
#[test]
fn bytes_that_are_no_end_are_no_loss() {
    let Some(server) = Server::start() else {
        return;
    };
    for options in [&[][..], &["-o"]] {
        let (holder, mut connection) = server.holder(options);
        connection.send(b"a notice to all");
        // A loss would be told before it ends by itself.
        drop(Stopped::new(guardian_of(holder.pid()).expect("a guardian")));
        assert!(holder.end().success(), "{options:?}");
        connection.ends();
    }
}

#[test]
fn a_command_that_is_not_to_be_told_lives_on() {
    let Some(server) = Server::start() else {
        return;
    };
    for lose in WAYS {
        for options in [&["--on-lost", "ignore"][..], &["--on-lost=ignore", "-o"]] {
            let (holder, connection) = server.holder(options);
            let _kept = lose(connection);
            // A signal would have come before it ends by itself.
            assert!(holder.end().success(), "{options:?}");
        }
    }
}

/// The signal that ended a holder by itself, or its exit status if it had to be let go.
#[track_caller]
fn end_of(holder: Holder) -> Result<i32, i32> {
    let pid = holder.pid();
    eventually("the command is told", || state_of(pid) == Some('Z'));
    let status = holder.end();
    match status.signal() {
        Some(signal) => Err(signal),
        None => Ok(status.code().unwrap()),
    }
}

/// What a process does, by the letter of `/proc/PID/stat`.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn a_lock_that_the_network_carries_is_lost_in_the_same_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!("give(socket.create_connection(('127.0.0.1', {port})))");
    let Some(server) = Server::with(&lines) else {
        return;
    };
    let ways: [fn(&TcpStream); 4] = [
        |_| {},
        |stream| stream.shutdown(Shutdown::Write).unwrap(),
        |mut stream| {
            stream.write_all(b"x").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        },
        // Closed with this, it is reset.
        |stream| set_socket_linger(stream, Some(Duration::ZERO)).unwrap(),
    ];
    for (way, lose) in ways.iter().enumerate() {
        for (options, signal) in [
            (&[][..], libc::SIGTERM),
            (&["--on-lost=kill"], libc::SIGKILL),
        ] {
            let mut run = server.nonoverlap(options);
            let holder = Holder::start(run.arg(server.word()).args(HOLD));
            let (stream, _) = listener.accept().unwrap();
            lose(&stream);
            // It is enough that the server has nothing more to say.
            let kept = [1, 2].contains(&way).then(|| stream.try_clone().unwrap());
            drop(stream);
            assert_eq!(end_of(holder), Err(signal), "{way}: {options:?}");
            drop(kept);
        }
    }
}

#[test]
fn kill_reaches_a_stopped_command() {
    let Some(server) = Server::start() else {
        return;
    };
    let (holder, connection) = server.holder(&["--on-lost", "kill"]);
    kill(holder.pid(), libc::SIGSTOP);
    eventually("it is stopped", || state_of(holder.pid()) == Some('T'));
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGKILL));
}

#[test]
fn term_reaches_a_stopped_command() {
    let Some(server) = Server::start() else {
        return;
    };
    let (holder, connection) = server.holder(&[]);
    let pid = holder.pid();
    kill(pid, libc::SIGSTOP);
    eventually("it is stopped", || state_of(pid) == Some('T'));
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGTERM));
}

#[test]
fn what_ignores_term_is_killed_after_a_while() {
    let Some(server) = Server::start() else {
        return;
    };
    let script = "trap '' TERM; echo held; while read line; do :; done";
    let options = ["--kill-after", "0.2"];
    let (holder, connection) = server.holder_of(&options, &["sh", "-c", script]);
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGKILL));
}

/// A job that is being ended for its time, and takes that time, has less of it then.
#[test]
fn a_loss_is_heard_while_the_job_is_being_ended() {
    let Some(server) = Server::start() else {
        return;
    };
    let told = server.scene.path("told");
    let script = format!(
        "trap 'echo >{}' TERM; echo held; while :; do read line || sleep 0.02; done",
        told.display()
    );
    for how in ["kill", "term"] {
        let options = ["--max-runtime", "1", "--kill-after", "60", "--on-lost", how];
        let options = match how {
            "kill" => &options[..],
            // It has the usual time, which is less than a minute.
            _ => &["--max-runtime", "1", "--on-lost", how],
        };
        let (holder, connection) = server.holder_of(options, &["sh", "-c", &script]);
        eventually("it is told", || told.exists());
        drop(connection);
        assert_eq!(end_of(holder), Err(libc::SIGKILL));
        fs::remove_file(&told).unwrap();
    }
}

/// Whoever takes the lock next has it from then on.
#[test]
fn the_log_says_who_has_lost_it_whom_which_signal_is_sent_and_what_became_of_the_job() {
    let Some(server) = Server::start() else {
        return;
    };
    let log = server.scene.path("log");
    let (holder, connection) = {
        let mut sh = server.program("sh");
        sh.args(["-c", "exec 3>&1; exec \"$@\"", "sh", NONOVERLAP, "--log"]);
        sh.arg(&log).arg(server.word());
        sh.args(["sh", "-c", "echo held >&3; exec cat >/dev/null"]);
        thread::scope(|threads| {
            let holder = threads.spawn(|| Holder::start(&mut sh));
            let (_, connection) = server.answer("yours");
            (holder.join().unwrap(), connection)
        })
    };
    let (pid, word) = (holder.pid(), server.word());
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGTERM));
    let lines = || fs::read_to_string(&log).unwrap();
    eventually("the end is logged", || lines().contains("ended after"));
    let lines = lines();
    let said: Vec<_> = lines.lines().map(|line| line.split_at(26).1).collect();
    let lost = format!(
        "nonoverlap: {word}: PID {pid} has lost the lock: its connection to the server has ended; \
         sending SIGTERM to its process group"
    );
    assert_eq!(said[1..said.len() - 1], [lost]);
    let end = format!("nonoverlap: {word}: PID {pid} ended after ");
    let how = said.last().unwrap().strip_prefix(&end).expect(&lines);
    assert!(how.ends_with("s, by the loss of its lock"), "{lines}");
}

#[test]
fn a_script_can_say_that_its_lock_was_lost() {
    let Some(server) = Server::start() else {
        return;
    };
    let script = "trap 'echo lost; exit 3' TERM; echo held; while read line; do :; done";
    for options in [&[][..], &["-o"]] {
        let (holder, connection) = server.holder_of(options, &["sh", "-c", script]);
        drop(connection);
        assert_eq!(end_of(holder), Ok(3), "{options:?}");
    }
}

#[test]
fn a_program_that_the_command_becomes_is_told_and_its_children_too() {
    let Some(server) = Server::start() else {
        return;
    };
    // Each becomes the next, with the same PID.
    let script = r#"exec env sh -c 'exec sh -c "echo held; exec cat >/dev/null"'"#;
    let (holder, connection) = server.holder_of(&[], &["sh", "-c", script]);
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGTERM));

    // The parent ignores the signal and waits; its child ends by it.
    let child = r#"$SIG{TERM} = "DEFAULT"; $| = 1; print "held\n"; <STDIN>"#;
    let script = format!("trap '' TERM; perl -e '{child}'; exit $?");
    let (holder, connection) = server.holder_of(&[], &["sh", "-c", &script]);
    drop(connection);
    assert_eq!(end_of(holder), Ok(128 + libc::SIGTERM));
}

#[test]
fn a_connection_that_ended_before_we_looked_lets_nothing_run() {
    // The helper ends when its connection has, or has something to read.
    let lines = r#"
import select
server = connect()
give(server)
select.select([server], [], [])"#;
    let Some(server) = Server::with(lines) else {
        return;
    };
    let said = format!(
        "nonoverlap: cannot lock {}: the server has closed the connection\n",
        server.word()
    );
    for lose in WAYS {
        for options in [
            &[][..],
            &["--on-lost", "kill"],
            &["--on-lost=ignore"],
            &["-o"],
        ] {
            let mut run = server.nonoverlap(options);
            run.arg(server.word()).args(["echo", "ran"]);
            let run = server.begin(&mut run);
            let _kept = lose(server.accept());
            run.ended().expect(69, "", &said);
        }
    }
}

#[test]
fn a_command_that_became_another_users_is_told_if_root_took_the_lock() {
    if !is_root() || !has_tool("setpriv", "another user") {
        left_out(
            "the loss of another user's command",
            "only root can start one",
        );
        return;
    }
    let Some(server) = Server::start() else {
        return;
    };
    let command = [&AS_NOBODY[..], &HOLD].concat();
    let (holder, connection) = server.holder_of(&[], &command);
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGTERM));
}

#[test]
fn a_guardian_keeps_the_connection_in_the_commands_place() {
    let Some(server) = Server::start() else {
        return;
    };
    let (holder, mut connection) = server.holder(&["-o"]);
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    assert_eq!(sockets_of(holder.pid()), 0);
    // It has closed its line to us by then, or is about to.
    eventually("its line is closed", || sockets_of(guardian) == 1);
    assert!(connection.is_open());
    assert!(holder.end().success());
    connection.ends();
}

/// How many sockets a process has open.
#[track_caller]
fn sockets_of(pid: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = descriptors
        .flatten()
        .flat_map(|it| fs::read_link(it.path()));
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

#[test]
fn kill_reaches_a_command_that_ignores_all_that_it_can() {
    let Some(server) = Server::start() else {
        return;
    };
    let (holder, connection) = {
        let mut sh = server.program("sh");
        sh.args(["-c", "trap '' TERM; exec \"$0\" \"$@\"", NONOVERLAP]);
        sh.args(["--on-lost", "kill"]).arg(server.word()).args(HOLD);
        thread::scope(|threads| {
            let holder = threads.spawn(|| Holder::start(&mut sh));
            let (_, connection) = server.answer("yours");
            (holder.join().unwrap(), connection)
        })
    };
    drop(connection);
    assert_eq!(end_of(holder), Err(libc::SIGKILL));
}

/// Errors of the kernel's own in the steps from the helper to the command.
#[test]
fn where_the_loss_could_not_be_told_nothing_runs() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    let word = server.word();
    let reason = reason(libc::EPERM);
    let connection = format!(
        "nonoverlap: cannot lock {word}: its helper passed no connection that can be watched: {reason}\n"
    );
    let guardian = format!("nonoverlap: cannot start the guardian process for {word}: {reason}\n");
    for (call, status, message) in [
        (&[libc::SYS_getpeername], 69, &connection),
        (&[libc::SYS_epoll_create1], 71, &guardian),
        (&[libc::SYS_epoll_ctl], 71, &guardian),
        (&[libc::SYS_setpgid], 71, &guardian),
    ] {
        let filter = Call::any(call).refused_with(libc::EPERM);
        let mut run = server.nonoverlap([&*word, "echo", "ran"]);
        in_child(&mut run, move || {
            apply_filter(&filter).map_err(io::Error::other)
        });
        run.run().expect(status, "", message);
    }
}

/// Process 1 of a PID namespace hears no signal of the namespace's own; and what ignores SIGTERM,
/// or blocks it, would have no time to end itself.
#[test]
fn where_the_job_could_not_be_ended_nothing_runs() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    let (word, found) = (server.word(), server.scene.path("ran"));
    let not_reached = "SIGTERM is ignored or blocked here";
    let first = "it would be process 1, to which the kernel delivers no such signal";
    let ignored = ["env", "--ignore-signal=TERM"];
    let blocked = ["env", "--block-signal=TERM"];
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    for (caller, options, why) in [
        (&ignored[..], &[][..], Some(not_reached)),
        (&blocked, &[], Some(not_reached)),
        (&ignored, &["--on-lost", "kill"], None),
        (&blocked, &["--on-lost", "ignore"], None),
        (&namespace, &[], Some(first)),
        (&namespace, &["--on-lost", "kill"], Some(first)),
        (&namespace, &["--on-lost", "ignore"], None),
    ] {
        if caller == namespace && !is_root() {
            left_out("a lock on a server for process 1", "it takes root");
            continue;
        }
        let mut run = server.program(caller[0]);
        run.args(&caller[1..]).arg(NONOVERLAP).args(options);
        let run = run.arg(&word).arg("touch").arg(&found).run();
        match why {
            None => run.expect(0, "", ""),
            Some(why) => {
                let message = format!("nonoverlap: cannot end the job of {word}: {why}\n");
                run.expect(71, "", &message);
            }
        }
        assert_eq!(
            fs::remove_file(&found).is_ok(),
            why.is_none(),
            "{caller:?} {options:?}"
        );
    }
}
