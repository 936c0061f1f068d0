//! Promises about a link that is cut without a word: no packet passes, and nobody is told. The command
//! that was cut off hears of the loss before another host has its lock, and a short cut changes
//! nothing.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Ended, HOLD, PATIENCE, Run, Stopped, Watchdog, eventually};
use crate::network::{Host, Network, Way, held};
use crate::server::{Server, in_network_of};

/// All at once, each with hosts of its own: each takes half a minute.
#[test]
fn a_link_that_is_cut_never_lets_two_run() {
    let Some(network) = Network::new() else {
        return;
    };
    let network = &network;
    let both = &[Way::ToServer, Way::FromServer][..];
    thread::scope(|scope| {
        let cuts = [
            (both, "whole", 3),
            (&[Way::ToServer], "to the server", 3),
            // A kernel that gives up says so to the other side, which hears it here, and at once.
            (&[Way::FromServer], "from the server", 0),
        ];
        for (ways, name, margin) in cuts {
            let margin = Duration::from_secs(margin);
            scope.spawn(move || {
                a_cut_off_command_ends_before_another_is_served(network, ways, name, margin);
            });
        }
        scope.spawn(|| a_host_that_waits_is_served_after_the_end(network));
        scope.spawn(|| a_command_that_tidies_up_for_long_ends_before_another_is_served(network));
        scope.spawn(|| a_host_whose_own_queue_is_full_hears_of_the_loss(network));
        scope.spawn(|| a_blip_of_4_s_changes_nothing(network));
        scope.spawn(|| a_host_that_is_cut_off_while_it_waits_never_runs(network));
        scope.spawn(|| what_a_cut_off_host_waited_for_is_given_to_others(network));
        scope.spawn(|| what_is_given_to_a_host_that_hears_nothing_becomes_free(network));
    });
}

/// Nobody is cut off but the server itself, which knows: its interface is down.
#[test]
fn a_server_that_was_off_the_network_never_lets_two_run() {
    let Some(network) = Network::new() else {
        return;
    };
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("job");
    let job = Job::start(a.nonoverlap(&[&lock]));
    let pid = job.pid();
    thread::scope(|scope| {
        let mut job = job;
        let (begin, begun) = channel();
        let contender = scope.spawn(|| contend(&b, &lock, pid, begin, &[1, 69]));
        begun.recv().unwrap();
        network.set_server("down");
        thread::sleep(BLIP);
        network.set_server("up");
        // A word from the server, or both have forgotten what was.
        b.nonoverlap(&[&lock, "echo", "ran"])
            .run()
            .expect(1, "", "");
        network.set_server("down");
        let down = Instant::now();
        let (status, told) = job.wait();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
        network.set_server("up");
        let (ended, served) = contender.join().unwrap();
        ended.expect(0, "ended\n", "");
        figure("the server down", told - down, served - down);
    });
}

/// The one who was cut off does not know that the server has forgotten it.
#[test]
fn a_server_that_forgot_a_host_that_is_cut_off_never_lets_two_run() {
    let Some(network) = Network::new() else {
        return;
    };
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("job");
    let mut job = Job::start(a.nonoverlap(&[&lock]));
    network.server.tell_the_true_age();
    a.cut(&[Way::ToServer, Way::FromServer]);
    network.server.control(&["restart", "-m", "immediate"]);
    let cut = Instant::now();
    let next = Started::new(b.nonoverlap(&["-w", "55", &lock]).args(look_for(job.pid())));
    let refused = b.nonoverlap(&[&lock, "echo", "ran"]).run();
    assert_eq!(refused.code(), Some(69), "{refused:?}");
    let (status, told) = job.wait();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    next.ended().expect(0, "ended\n", "");
    figure("the server restarted", told - cut, cut.elapsed());
}

/// `margin` is less than what there is between the two, the time that a command has to clean up.
fn a_cut_off_command_ends_before_another_is_served(
    network: &Network,
    ways: &[Way],
    name: &str,
    margin: Duration,
) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock(name);
    let job = Job::start(a.nonoverlap(&[&lock]));
    let pid = job.pid();
    thread::scope(|scope| {
        // Where something fails, it is dropped, and the contender ends.
        let mut job = job;
        let (begin, begun) = channel();
        let contender = scope.spawn(|| contend(&b, &lock, pid, begin, &[1]));
        begun.recv().unwrap();
        a.cut(ways);
        let cut = Instant::now();
        let (status, told) = job.wait();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{name}: {status}");
        let (ended, served) = contender.join().unwrap();
        figure(name, told - cut, served - cut);
        assert_eq!(ended.code(), Some(0), "{name}: {ended:?}");
        if margin.is_zero() {
            assert_is_over(&ended);
        } else {
            ended.expect(0, "ended\n", "");
            assert!(served >= told + margin, "{name}: {:?}", served - told);
        }
    });
}

/// It does not end by SIGTERM, and is killed after 20 s.
fn a_command_that_tidies_up_for_long_ends_before_another_is_served(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("tidy");
    let mut command = a.nonoverlap(&["--kill-after", "20", &lock]);
    command.args(["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"]);
    let mut job = Job::start(command);
    let next = Started::new(b.nonoverlap(&["-w", "58", &lock]).args(look_for(job.pid())));
    next.eventually_waits(&network.server);
    a.cut(&[Way::ToServer, Way::FromServer]);
    let cut = Instant::now();
    let (status, killed) = job.wait();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    next.ended().expect(0, "ended\n", "");
    figure("a long end", killed - cut, cut.elapsed());
}

/// The server serves it within a second after it hears of the end itself.
fn a_host_that_waits_is_served_after_the_end(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("wait");
    let mut job = Job::start(a.nonoverlap(&[&lock]));
    let waiter = Started::new(b.nonoverlap(&["-w", "55", &lock]).args(look_for(job.pid())));
    waiter.eventually_waits(&network.server);
    a.cut(&[Way::FromServer]);
    let cut = Instant::now();
    let (status, told) = job.wait();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    let ended = waiter.ended();
    figure("from the server, wait", told - cut, cut.elapsed());
    assert_is_over(&ended);
}

/// The kernel does not count a question that did not even leave the host.
fn a_host_whose_own_queue_is_full_hears_of_the_loss(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("full");
    let mut job = Job::start(a.nonoverlap(&[&lock]));
    let waiter = Started::new(b.nonoverlap(&["-w", "55", &lock]).args(look_for(job.pid())));
    waiter.eventually_waits(&network.server);
    a.cut(&[Way::FromServer]);
    let cut = Instant::now();
    eventually("a question has no answer", || {
        let mut sockets = in_network_of(a.place.pid(), "ss");
        let sockets = sockets.arg("-tnoH").run().stdout();
        sockets.contains("timer:(keepalive,") && !sockets.contains(",0)")
    });
    a.place
        .shell("tc qdisc replace dev eth0 root pfifo limit 0");
    let (status, told) = job.wait();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    waiter.ended().expect(0, "ended\n", "");
    figure("the own queue full", told - cut, cut.elapsed());
}

/// The command saw that the one that was cut off does nothing any more.
#[track_caller]
fn assert_is_over(ended: &Ended) {
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let seen = ended.stdout();
    assert!(["ended\n", "ends\n"].contains(&&*seen), "{ended:?}");
}

fn a_blip_of_4_s_changes_nothing(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("blip");
    let mut job = Job::start(a.nonoverlap(&[&lock]));
    a.cut(&[Way::ToServer, Way::FromServer]);
    let cut = Instant::now();
    thread::scope(|scope| {
        // It is not to wait for the end of a run here.
        scope.spawn(|| {
            thread::sleep(BLIP.saturating_sub(cut.elapsed()));
            a.heal();
        });
        // Until whatever either side began in the blip would have come to its end.
        while cut.elapsed() < Duration::from_secs(30) {
            b.nonoverlap(&[&lock, "echo", "ran"])
                .run()
                .expect(1, "", "");
            thread::sleep(Duration::from_millis(100));
        }
    });
    job.stdin.take();
    assert_eq!(job.wait().0.code(), Some(0));
    b.nonoverlap(&[&lock, "echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

fn a_host_that_is_cut_off_while_it_waits_never_runs(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("patience");
    let _job = Job::start(b.nonoverlap(&[&lock]));
    let start = Instant::now();
    let waiter = Started::new(a.nonoverlap(&["-w", "25", &lock]).args(["echo", "ran"]));
    waiter.eventually_waits(&network.server);
    a.cut(&[Way::ToServer, Way::FromServer]);
    let cut = Instant::now();
    // It connects again and again until the wait is over.
    waiter.ended_without_a_server();
    let time = start.elapsed().as_secs_f64();
    assert!((25.0..45.0).contains(&time), "{time}");
    figure("while it waits", cut.elapsed(), cut.elapsed());
}

/// Nobody who cannot ask is given anything.
fn what_a_cut_off_host_waited_for_is_given_to_others(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("for nobody");
    let job = Job::start(b.nonoverlap(&[&lock]));
    // Connecting for the last time takes 5 s more.
    let waiter = Started::new(a.nonoverlap(&["-w", "45", &lock]).args(["echo", "ran"]));
    waiter.eventually_waits(&network.server);
    a.cut(&[Way::ToServer, Way::FromServer]);
    drop(job);
    let next = b.nonoverlap(&["-w", "55", &lock, "echo", "ran"]).run();
    next.expect(0, "ran\n", "");
    waiter.ended_without_a_server();
}

/// The server cannot know that nobody hears that he has the lock.
fn what_is_given_to_a_host_that_hears_nothing_becomes_free(network: &Network) {
    let (a, b) = (network.host(), network.host());
    let lock = network.lock("unthanked");
    let job = Job::start(b.nonoverlap(&[&lock]));
    // Connecting for the last time takes 5 s more.
    let waiter = Started::new(a.nonoverlap(&["-w", "45", &lock]).args(["echo", "ran"]));
    let pid = waiter.pid();
    waiter.eventually_waits(&network.server);
    // So that it asks next when it is cut off and the lock is free, however long that takes.
    let stopped = Stopped::new(helper_of(pid));
    waiter.eventually_waits(&network.server);
    a.cut(&[Way::FromServer]);
    let cut = Instant::now();
    drop(job);
    network.server.until_free("unthanked");
    drop(stopped);
    eventually("it has asked, and has the lock", || {
        let of_it = format!(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND application_name LIKE 'nonoverlap % {pid} %'"
        );
        network.server.sql(&of_it) == "1"
    });
    b.nonoverlap(&[&lock, "echo", "ran"])
        .run()
        .expect(1, "", "");
    let next = b.nonoverlap(&["-w", "55", &lock, "echo", "ran"]).run();
    let served = cut.elapsed();
    next.expect(0, "ran\n", "");
    waiter.ended_without_a_server();
    figure("unthanked", served, served);
}

/// The helper that this process waits for.
#[track_caller]
fn helper_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

/// How long a cut is that changes nothing.
const BLIP: Duration = Duration::from_secs(4);

/// Tries to get the lock, again and again, as long as the answer is one of these, and gives the first
/// other one and when it came.
fn contend(
    host: &Host<'_>,
    lock: &str,
    process: u32,
    begin: std::sync::mpsc::Sender<()>,
    refusals: &[i32],
) -> (Ended, Instant) {
    let start = Instant::now();
    loop {
        let ended = host.nonoverlap(&[lock]).args(look_for(process)).run();
        let is_refusal = ended.code().is_some_and(|code| refusals.contains(&code));
        if !is_refusal || start.elapsed() > PATIENCE {
            return (ended, Instant::now());
        }
        // Nobody listens after the first.
        let _ = begin.send(());
    }
}

/// A command that says what became of this process, more exactly than clocks could: "runs"; "ends"
/// where nothing of it is executed any more, since it has been killed and the kernel has not cleared
/// it away yet; "ended" where it is gone, or a zombie.
fn look_for(process: u32) -> [String; 5] {
    // What follows the name in parentheses: the state, and as the 7th the flags, of which 4 says
    // that it exits, and as the 29th the pending signals, of which 256 is what becomes of every one
    // that kills (proc(5), PF_EXITING and SIGKILL).
    let script = r#"{ read -r stat </proc/$1/stat; } 2>/dev/null || stat=') Z'
        set -- ${stat##*) }
        case $1 in
        Z | X) echo ended ;;
        *) [ $((${7} & 4 | ${29} & 256)) != 0 ] && echo ends || echo "runs: $stat" ;;
        esac"#;
    ["sh", "-c", script, "sh", &process.to_string()].map(str::to_owned)
}

/// What was measured, for who runs the tests with --nocapture.
fn figure(what: &str, told: Duration, served: Duration) {
    println!("{what}: told after {told:?}, another served after {served:?}");
}

/// A command under a lock, until it is told to end, or dropped.
struct Job {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Job {
    /// Any command of [`HOLD`].
    #[track_caller]
    fn start(mut command: Command) -> Job {
        let mut child = held(command.args(HOLD));
        let stdin = child.stdin.take();
        Job { child, stdin }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end, and when it was seen.
    fn wait(&mut self) -> (ExitStatus, Instant) {
        let watchdog = Watchdog::over(&self.child);
        let status = self.child.wait().unwrap();
        assert!(!watchdog.has_bitten(), "it is not told");
        (status, Instant::now())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.child.wait();
    }
}

/// A run whose end is awaited later, or that is killed.
struct Started {
    line: String,
    /// Taken when its end is awaited.
    child: Option<Child>,
    watchdog: Watchdog,
}

impl Started {
    fn new(command: &mut Command) -> Started {
        let line = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let watchdog = Watchdog::over(&child);
        Started {
            line,
            child: Some(child),
            watchdog,
        }
    }

    /// Waits until this run has asked for the lock and been refused.
    #[track_caller]
    fn eventually_waits(&self, server: &Server) {
        eventually("it waits", || server.waits(self.pid()));
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    #[track_caller]
    fn ended(mut self) -> Ended {
        let child = self.child.take().unwrap();
        Ended::of(self.line.clone(), child, &self.watchdog)
    }

    #[track_caller]
    fn ended_without_a_server(self) {
        let ended = self.ended();
        let seen = (ended.code(), &*ended.stdout());
        assert_eq!(seen, (Some(69), ""), "{ended:?}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
