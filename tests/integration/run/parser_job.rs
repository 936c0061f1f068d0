//! The job that nonoverlap is for: a parser that pages through an advertiser's creatives, started far
//! more often than it can finish.
//!
//! The server, the ticks and the clock are the test's own. A page is served when the test says so, and
//! a tick is over when the run that it started has asked for its first page or has ended. So at every
//! tick it is certain whether the last run has ended, and what must happen.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::support::harness::{Ended, PATIENCE, Run, Scene, has_tool, kill, nonoverlap, record_of};

/// How many pages are served between two ticks.
const PAGES_A_TICK: usize = 4;
const CREATIVES_A_PAGE: usize = 10;

/// Advertisers and how many pages their creatives fill.
const ADVERTISERS: [(&str, usize); 9] = [
    ("baker", 1),
    ("cinema", 4),
    ("dairy", 5),
    ("florist", 1),
    ("telecom", 400),
    ("museum", 2),
    ("brewery", 37),
    ("bank", 120),
    ("tailor", 3),
];

#[test]
fn a_parser_runs_at_the_first_tick_after_its_last_end_and_never_twice_at_once() {
    if !has_tool("python3", "the parser") {
        return;
    }
    // A run, then a skip at each tick that finds it still paging, then at once the next run.
    let skips = |pages: usize| "s".repeat(pages.div_ceil(PAGES_A_TICK) - 1);
    let expected: String = ADVERTISERS
        .iter()
        .map(|(_, pages)| format!("R{}", skips(*pages)))
        .collect();

    let mut job = Job::new();
    let mut ticks = String::new();
    for _ in 0..expected.len() {
        let runs = ticks.matches('R').count();
        let (advertiser, _) = ADVERTISERS[runs.min(ADVERTISERS.len() - 1)];
        ticks.push(job.tick(advertiser));
        for _ in 0..PAGES_A_TICK {
            job.serve_page();
        }
    }
    assert_eq!(ticks, expected);
    assert!(job.waiting.is_none(), "the last one is still running");
}

#[test]
fn a_parser_killed_in_the_middle_runs_again_at_the_next_tick() {
    if !has_tool("python3", "the parser") {
        return;
    }
    let mut job = Job::new();
    for pages in [0, 1, 2, 35] {
        assert_eq!(job.tick("brewery"), 'R', "killed before");
        for _ in 0..pages {
            job.serve_page();
        }
        assert_eq!(job.tick("brewery"), 's', "after {pages} pages");
        job.kill();
    }
    assert_eq!(job.tick("baker"), 'R');
    job.serve_page();
    assert!(job.waiting.is_none());
}

/// The parser, its server, and what is known of them.
struct Job {
    scene: Scene,
    url: String,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// What the one that is running waits for: a page that has not been served yet.
    waiting: Option<Request>,
}

enum Event {
    Asked(Request),
    Ended(Ended),
}

impl Job {
    fn new() -> Job {
        let (sender, events) = mpsc::channel();
        let address = serve(sender.clone());
        Job {
            scene: Scene::new(),
            url: format!("http://{address}"),
            events,
            sender,
            waiting: None,
        }
    }

    /// Starts it, as cron would, and says what came of it: 'R' for a run, 's' for a skip.
    fn tick(&mut self, advertiser: &str) -> char {
        let parser = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/integration/run/parser.py"
        );
        let mut run = nonoverlap([self.scene.lock()]);
        run.args(["python3", parser, &self.url, advertiser]);
        let sender = self.sender.clone();
        thread::spawn(move || sender.send(Event::Ended(run.run())));
        let decision = match self.next_event() {
            Event::Asked(request) => {
                let other = self.waiting.replace(request);
                assert!(
                    other.is_none(),
                    "two at once: {other:?}, {:?}",
                    self.waiting
                );
                'R'
            }
            Event::Ended(ended) => {
                ended.expect(1, "", "");
                's'
            }
        };
        if let Some(request) = &self.waiting {
            let record = fs::read_to_string(self.scene.lock()).unwrap();
            assert_eq!(record, record_of(request.pid));
        }
        decision
    }

    /// Serves the page that is waited for, if any, until the next is asked for or the run has ended.
    fn serve_page(&mut self) {
        let Some(request) = self.waiting.take() else {
            return;
        };
        let (pid, advertiser) = (request.pid, request.advertiser.clone());
        let pages = pages_of(&advertiser);
        request.answer(pages);
        match self.next_event() {
            Event::Asked(next) => {
                assert_eq!(next.pid, pid, "two at once");
                self.waiting = Some(next);
            }
            Event::Ended(ended) => {
                let said = format!("{advertiser}: {} creatives\n", pages * CREATIVES_A_PAGE);
                ended.expect(0, &said, "");
            }
        }
    }

    /// Kills the one that is running.
    fn kill(&mut self) {
        kill(self.waiting.take().unwrap().pid, libc::SIGKILL);
        match self.next_event() {
            Event::Ended(ended) => assert_eq!(ended.signal(), Some(libc::SIGKILL), "{ended:?}"),
            Event::Asked(request) => panic!("nothing runs, but: {request:?}"),
        }
    }

    fn next_event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

fn pages_of(advertiser: &str) -> usize {
    ADVERTISERS
        .iter()
        .find(|(name, _)| *name == advertiser)
        .unwrap()
        .1
}

/// Starts the server and gives its address. Its thread ends with the test's process, and whoever asks
/// after the test finds the connection closed.
fn serve(events: Sender<Event>) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = events.send(Event::Asked(Request::read(connection.unwrap())));
        }
    });
    address
}

/// A parser's request for a page. It waits for its answer as long as this lives.
#[derive(Debug)]
struct Request {
    pid: u32,
    advertiser: String,
    page: usize,
    connection: TcpStream,
}

impl Request {
    fn read(connection: TcpStream) -> Request {
        let lines = BufReader::new(&connection).lines();
        let head: Vec<String> = lines
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let place: Vec<&str> = head[0].split([' ', '/']).collect();
        let pid = head
            .iter()
            .find_map(|line| line.strip_prefix("User-Agent: parser/"));
        Request {
            pid: pid.unwrap().parse().unwrap(),
            advertiser: place[2].to_owned(),
            page: place[3].parse().unwrap(),
            connection,
        }
    }

    fn answer(mut self, pages: usize) {
        let next = if self.page < pages {
            (self.page + 1).to_string()
        } else {
            "null".to_owned()
        };
        let creatives = ["{}"; CREATIVES_A_PAGE].join(",");
        let body = format!(r#"{{"creatives": [{creatives}], "next": {next}}}"#);
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        // Whoever was killed does not listen any more.
        let _ = self.connection.write_all((head + &body).as_bytes());
    }
}
