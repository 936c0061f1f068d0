//! A password in the word is shown nowhere, whatever happens.

use std::process::Command;

use crate::support::crontab::Table;
use crate::support::harness::{Ended, Holder, NONOVERLAP, Run, nonoverlap};
use crate::support::remote_server::{Server, text_of};

/// Words with a password, and how they are shown.
#[rustfmt::skip] // A row a line is how a table is read.
const WORDS: [(&str, &str); 20] = [
    ("test://user:secret@host/x#y", "test://user:***@host/x#y"),
    ("test://:secret@host", "test://:***@host"),
    ("test://user:secret@", "test://user:***@"),
    (
        "test://user:se:cr@secret@h:1,h:2/d?a=b:c@d#e:f@g",
        "test://user:***@h:1,h:2/d?a=b:c@d#e:f@g",
    ),
    // These letters should have been written as %23 and %3F; some take them all the same.
    ("test://user:a#secret@host/x", "test://user:***@host/x"),
    ("test://user:?secret@host/x#y", "test://user:***@host/x#y"),
    // As a parameter, which PostgreSQL's library takes as well.
    ("test://h/d?user=u&password=secret&a=b#y", "test://h/d?user=u&password=***&a=b#y"),
    ("test://h/d?sslpassword=secret&password=a#secret#y", "test://h/d?sslpassword=***&password=***#y"),
    ("test:///?password=secret", "test:///?password=***"),
    ("test://u:secret@h?password=secret#y=a&b", "test://u:***@h?password=***#y=a&b"),
    // No library knows it, but somebody has typed it.
    ("test://h/d?passwrod=secret&x=1#y", "test://h/d?passwrod=***&x=1#y"),
    ("test://h/d?x=1&PassWord=secret", "test://h/d?x=1&PassWord=***"),
    ("test://h/d?p%61ss=secret", "test://h/d?p%61ss=***"),
    ("test://h/d?pasword=secret&pwd=secret#y", "test://h/d?pasword=***&pwd=***#y"),
    ("test://h/?access_token=secret&apikey=secret", "test://h/?access_token=***&apikey=***"),
    ("test://h/?x=password=secret", "test://h/?x=password=***"),
    ("test://h/?psswd=secret&psd=secret&pswd=secret", "test://h/?psswd=***&psd=***&pswd=***"),
    ("test://h/?psswrd=secret#y", "test://h/?psswrd=***#y"),
    // Somebody has forgotten the host.
    ("test://user:secret#job", "test://user:***#job"),
    ("test://h:1,user:1secret/x?y#job", "test://h:1,user:***#job"),
];

/// Words without one are shown as they are.
const OPEN_WORDS: [&str; 13] = [
    "test://h:1,[::1]:2,h3,h4:/x#y",
    "test://[::1]#y",
    "test://h/x?keepalives_idle=1&options=2&passfile=x&password_file=y#y",
    "test://user@host/x#y",
    "test://host:5432/x#y",
    "test://host/a:b@c",
    "test:///a:b@c",
    "test://#job",
    "test://user@host:1/x",
    "test://",
    "test://host/x?passfile=y#password",
    "test://host/x?a=b:c@d",
    "test://host/x?sslmode=require&target_session_attrs=any&keepalives=1&host=/run&user=u#n",
];

#[track_caller]
fn keeps_the_secret(ended: &Ended, shown: &str) {
    let all = ended.stdout() + &ended.stderr();
    assert!(!all.contains("secret"), "{ended:?}");
    assert!(all.contains(shown), "not {shown:?}: {ended:?}");
}

/// What is kept of its words may end within a password.
#[test]
fn no_beginning_of_a_password_is_shown_where_a_helpers_words_are_cut() {
    let lines = "say('x' * (4096 - 6) + 'secret word'); print('x' * (4096 - 6) + 'secret word'); \
                 sys.exit(0 if '--status' in sys.argv else 78)";
    let Some(server) = Server::with(lines) else {
        return;
    };
    let word = "test://user:secret%20word@host/x#y";
    let ended = server.nonoverlap([word, "true"]).run();
    assert!(ended.stderr().ends_with("xxx***\n"), "{ended:?}");
    let ended = server.nonoverlap(["--status", word]).run();
    assert!(ended.stdout().ends_with("xxx***\n"), "{ended:?}");
}

#[test]
fn no_message_shows_a_password() {
    let Some(server) = Server::with("") else {
        return;
    };
    for (word, shown) in WORDS {
        for (lines, options) in [
            ("sys.exit(69)", &[][..]),
            ("", &[]),
            ("sys.exit(75)", &["-v"]),
            ("say('held by another'); sys.exit(75)", &["-v"]),
            ("give(connect())", &["-v"]),
            ("give(connect())", &["-v", "-o"]),
            ("say('hello'); give(connect())", &[]),
            ("give(open('/dev/null'))", &[]),
            ("print('held by another')", &["--status"]),
            ("sys.exit(3)", &["--status"]),
            ("say('no'); sys.exit(69)", &["--status"]),
            ("print('held by another')", &["--status", "--json"]),
            ("say('no'); sys.exit(69)", &["--status", "--json"]),
        ] {
            server.helper_that("bin/nonoverlap-test", lines);
            let command = if options.contains(&"--status") {
                &[][..]
            } else {
                &["true"]
            };
            let ended = server.nonoverlap(options).arg(word).args(command).run();
            keeps_the_secret(&ended, shown);
        }
    }
}

#[test]
fn the_log_shows_no_password() {
    let Some(server) = Server::with("") else {
        return;
    };
    let log = server.scene.path("log");
    for (word, shown) in WORDS {
        for lines in [
            "give(connect())",
            "sys.exit(75)",
            "say('held'); sys.exit(75)",
            "say('no'); sys.exit(69)",
        ] {
            server.helper_that("bin/nonoverlap-test", lines);
            let mut run = server.nonoverlap(["--log", log.to_str().unwrap(), word, "true"]);
            run.run();
            let text = text_of(&log);
            assert!(text.contains(shown) && !text.contains("secret"), "{text}");
            std::fs::remove_file(&log).unwrap();
        }
    }
}

/// A job may take a second lock. Its command line is shown, logged and told to the helper.
#[test]
fn no_command_line_shows_a_password() {
    let Some(server) = Server::with("say(os.environ['NONOVERLAP_COMMAND']); sys.exit(69)") else {
        return;
    };
    let (lock, log) = (server.scene.lock(), server.scene.path("log"));
    for (word, shown) in WORDS {
        let script = "echo held >&3; read end";
        let mut job = Command::new("sh");
        job.args(["-c", "exec \"$@\" 3>&1", "sh", NONOVERLAP, "-l"]);
        job.arg(&log).arg(&lock).args(["sh", "-c", script, word]);
        let job = Holder::start(&mut job);
        let ask = |options: &[&str]| nonoverlap(options).arg(&lock).arg("true").run();
        keeps_the_secret(&ask(&["-v"]), shown);
        let told = |options: &[&str]| nonoverlap(options).arg(&lock).run();
        keeps_the_secret(&told(&["--status"]), shown);
        keeps_the_secret(&told(&["--status", "--json"]), shown);
        job.end();
        let text = text_of(&log);
        assert!(text.contains(shown) && !text.contains("secret"), "{text}");
        std::fs::remove_file(&log).unwrap();

        let line = format!("true x {word} y");
        for command in [&["true", word][..], &["-c", &line]] {
            let run = server.nonoverlap(["test://h"]).args(command).run();
            keeps_the_secret(&run, shown);
        }
    }
}

/// A library prints what it has made of the word.
#[test]
fn nor_do_the_words_of_a_helper() {
    let Some(server) = Server::with("") else {
        return;
    };
    #[rustfmt::skip] // A row a line is how a table is read.
    let table = [
        ("test://u:secret@h", "no host secret", "no host ***"),
        ("test://u:secret@h", "secretsecret, sec", "******, sec"),
        ("test://h?passwrod=secret&x=1#y", "passwrod=secret is not known, 1", "passwrod=*** is not known, 1"),
        ("test://u:a%20secret%2F@h", "a%20secret%2F or 'a secret/'", "*** or '***'"),
        ("test://u:a%secret%2@h", "no a%secret%2", "no ***"),
        // A library may break it where it should have been escaped.
        ("test://u:mysecret/other@h", "port mysecret, database other@h", "port ***, database ***@h"),
        ("test://u:o/o@h", "no host o/o, o", "no host ***, ***"),
        ("test://u:se@cret@h", "in a user and a password, 'se' or cret", "in a user and a password, '***' or ***"),
        ("test://u:a&b=c@h", "invalid parameter 'b' a", "invalid parameter '***' ***"),
        ("test://u:sec?ret=1@h", "at '127.0.0.1', port 1", "at '127.0.0.1', port ***"),
        ("test://u:o@h", "no host 'o'", "no host '***'"),
        ("test://u:@h?password=", "held by b", "held by b"),
        ("test://u@h?a=b", "held by a b", "held by a b"),
    ];
    let log = server.scene.path("log");
    for (word, words, shown) in table {
        for status in [1, 64, 69, 75, 78] {
            let lines = format!("say({words:?}); sys.exit({status})");
            server.helper_that("bin/nonoverlap-test", &lines);
            let run = server
                .nonoverlap(["-v", "-l", log.to_str().unwrap(), word, "true"])
                .run();
            assert!(run.stderr().contains(shown), "not {shown}: {run:?}");
            assert!(text_of(&log).contains(shown), "{run:?}");
            let status = server.nonoverlap(["--status", word]).run();
            assert!(
                status.code() == Some(0) || status.stdout().contains(shown),
                "{status:?}"
            );
        }
        let lines = format!("give(connect()); say({words:?})");
        server.helper_that("bin/nonoverlap-test", &lines);
        let run = server.nonoverlap([word, "true"]).run();
        assert!(
            run.code() == Some(0) && run.stderr().contains(shown),
            "{run:?}"
        );
        let lines = format!("print({words:?}); print('holder=' + {words:?})");
        server.helper_that("bin/nonoverlap-test", &lines);
        for json in [&[][..], &["--json"]] {
            let status = server.nonoverlap(["--status"]).args(json).arg(word).run();
            let count = status.stdout().matches(shown).count();
            assert_eq!(count, json.len() + 1, "{status:?}");
        }
    }
}

#[test]
fn a_fence_is_passed_on_though_a_password_is_in_it() {
    let Some(server) = Server::with(r"give(connect(), line=b'NONOVERLAP_FENCE=1234\n')") else {
        return;
    };
    let mut run = server.nonoverlap(["test://u:23@h", "sh", "-c", "echo $NONOVERLAP_FENCE"]);
    run.run().expect(0, "1234\n", "");
}

#[test]
fn no_refusal_shows_a_password() {
    for (word, shown) in WORDS {
        // No helper.
        let run = |words: &[&str]| nonoverlap(words).env("PATH", "/no/such").run();
        keeps_the_secret(&run(&[word, "/bin/true"]), shown);
        keeps_the_secret(&run(&["--status", word]), shown);
        keeps_the_secret(&run(&["--status", "--json", word]), shown);
        // A descriptor would stand alone, or under -u.
        keeps_the_secret(&run(&[word]), shown);
        keeps_the_secret(&run(&["-u", word]), shown);
        // No entry in the crontab.
        let table = Table::stand_in();
        keeps_the_secret(&table.nonoverlap(["--uninstall", word]).run(), shown);
        for refused in [
            &["--slots", "2", word, "true"][..],
            &["-u", word, "true"],
            &["--fcntl", word, "true"],
            &["--fd", "0", "-u", word],
            &["--uninstall", word, "true"],
        ] {
            let ended = run(refused);
            assert_eq!(ended.code(), Some(64), "{ended:?}");
            keeps_the_secret(&ended, "");
        }
    }
}

#[test]
fn a_word_without_a_password_is_shown_as_it_is() {
    for word in OPEN_WORDS {
        let ended = nonoverlap([word, "/bin/true"])
            .env("PATH", "/no/such")
            .run();
        let said = format!("nonoverlap: cannot lock {word}: ");
        assert!(ended.stderr().starts_with(&said), "{ended:?}");
    }
}
