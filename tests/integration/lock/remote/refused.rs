//! Promises about a server's lock that somebody else has, and about a server that is away: what is said,
//! to whom, and with which status.

use crate::support::harness::{NONOVERLAP, Run, has_tool};
use crate::support::remote_server::{Server, text_of};

#[test]
fn a_conflict_is_silent_unless_a_person_looks_or_it_was_asked_for() {
    let Some(server) = Server::with("say('held by another')\nsys.exit(75)") else {
        return;
    };
    server.run(&[], &["echo", "ran"]).expect(1, "", "");
    server.run(&["-q"], &["echo", "ran"]).expect(1, "", "");
    server.run(&["-E", "0"], &["echo", "ran"]).expect(0, "", "");
    server
        .run(&["-s", "-w1", "-E9"], &["echo", "ran"])
        .expect(9, "", "");
    let said = format!(
        "nonoverlap: {}: held by another; not started\n",
        server.word()
    );
    server.run(&["-v"], &["echo", "ran"]).expect(1, "", &said);
    server.helper_that("bin/nonoverlap-test", "sys.exit(75)");
    let said = format!("nonoverlap: {} is held; not started\n", server.word());
    server.run(&["-v"], &["echo", "ran"]).expect(1, "", &said);
    if cfg!(target_os = "linux") && has_tool("script", "a terminal") {
        let line = format!("{NONOVERLAP} '{}' echo ran", server.word());
        let seen = server
            .program("script")
            .args(["-qec", &line, "/dev/null"])
            .run();
        assert_eq!(
            (seen.code(), seen.stdout().trim_end()),
            (Some(1), said.trim_end())
        );
    }
}

/// What a helper sends with a refusal, and for how long the lock is said to have been held.
#[rustfmt::skip] // A row a line is how a table is read.
const SINCE: &[(&str, &str)] = &[
    (r"since=723\n", " for 12m03s"),
    (r"since=0\n", " for 0s"),
    (r"since=59.4\n", " for 59s"),
    (r"waiting\nsince=7200\n", " for 2h00m"),
    (r"\nnews\nsince=60\nsince=7\n", " for 1m00s"),
    (r"since=soon\nsince=60\n", " for 1m00s"),
    // What is no number of seconds is not known.
    ("", ""),
    (r"since=60", ""),
    (r"since=\n", ""),
    (r"since=-60\n", ""),
    (r"since=+60\n", ""),
    (r"since= 60\n", ""),
    (r"since=60 \n", ""),
    (r"since=60\r\n", ""),
    (r"since=.5\n", ""),
    (r"since=1.2.3\n", ""),
    (r"since=1e3\n", ""),
    (r"since=0x60\n", ""),
    (r"since=inf\n", ""),
    (r"since=nan\n", ""),
    (r"since=60\0\n", ""),
    (r"since=99999999999999999999999999\n", ""),
    (r"Since=60\n", ""),
];

#[test]
fn since_when_it_is_held_is_told_as_the_helper_has_it() {
    let Some(server) = Server::with("") else {
        return;
    };
    let word = server.word();
    for (sent, time) in SINCE {
        for (words, held) in [
            ("say('held by b')", format!("{word}: held by b")),
            ("", format!("{word} is held")),
        ] {
            let lines = format!("{words}; os.write(1, b'{sent}'); sys.exit(75)");
            server.helper_that("bin/nonoverlap-test", lines.trim_start_matches("; "));
            let ended = server.run(&["-v"], &["echo", "ran"]);
            let said = format!("nonoverlap: {held}{time}; not started\n");
            ended.expect(1, "", &said);
        }
    }
}

#[test]
fn an_alarm_goes_off_by_what_the_helper_has_of_the_holders_time() {
    let Some(server) = Server::with("") else {
        return;
    };
    let word = server.word();
    for (since, alarm, longer) in [
        ("7201", "2h", Some("2h00m")),
        ("7199", "2h", None),
        ("1.9", "1.5", Some("1s")),
        ("1.1", "1.5", None),
        ("soon", "0", None),
    ] {
        let lines = format!("say('held by b'); print('since={since}', flush=True); sys.exit(75)");
        server.helper_that("bin/nonoverlap-test", &lines);
        for quiet in [&[][..], &["-q"]] {
            let options = [&["-E", "7", "--alarm", alarm], quiet].concat();
            let ended = server.run(&options, &["echo", "ran"]);
            assert_eq!((ended.code(), &*ended.stdout()), (Some(7), ""), "{ended:?}");
            let (said, end) = (
                ended.stderr(),
                format!(", longer than {}; not started\n", longer.unwrap_or("")),
            );
            match longer {
                Some(_) => {
                    let start = format!("nonoverlap: {word}: held by b for ");
                    assert!(said.starts_with(&start) && said.ends_with(&end), "{said}");
                }
                None => assert_eq!(said, ""),
            }
        }
    }
    // Nobody has told it.
    server.helper_that("bin/nonoverlap-test", "say('held by b'); sys.exit(75)");
    server.run(&["-a", "0"], &["echo", "ran"]).expect(1, "", "");
}

/// Every host would mail it at every tick.
#[test]
fn with_q_a_server_that_is_away_is_told_in_the_log_only() {
    let Some(server) = Server::with("say('no answer'); sys.exit(69)") else {
        return;
    };
    let (word, log) = (server.word(), server.scene.path("log"));
    let said = format!("nonoverlap: cannot lock {word}: no answer\n");
    server.run(&[], &["echo", "ran"]).expect(69, "", &said);
    server
        .run(&["-q", "-v"], &["echo", "ran"])
        .expect(69, "", &said);
    server.run(&["-q"], &["echo", "ran"]).expect(69, "", "");
    server
        .run(&["-qE5", "-w1", "-o"], &["echo", "ran"])
        .expect(69, "", "");
    let with_log = ["-q", "--log", log.to_str().unwrap()];
    server.run(&with_log, &["echo", "ran"]).expect(69, "", "");
    let text = text_of(&log);
    assert!(text.ends_with(&said) && text.lines().count() == 1, "{text}");
    // Without a word of its own, too.
    server.helper_that("bin/nonoverlap-test", "sys.exit(69)");
    let why = "its helper ended with exit status: 69";
    let said = format!("nonoverlap: cannot lock {word}: {why}\n");
    server.run(&[], &["echo", "ran"]).expect(69, "", &said);
    server.run(&["-q"], &["echo", "ran"]).expect(69, "", "");
}

/// No tick to come would change it.
#[test]
fn with_q_a_server_that_refuses_the_user_is_told_with_69() {
    let Some(server) = Server::with("say('wrong password'); sys.exit(77)") else {
        return;
    };
    let said = format!(
        "nonoverlap: cannot lock {}: wrong password\n",
        server.word()
    );
    server.run(&["-q"], &["echo", "ran"]).expect(69, "", &said);
}
