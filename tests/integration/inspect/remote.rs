//! Promises about `--status SCHEME://…`: the helper is asked, and answers like a lock file's.

use crate::support::harness::{Holder, Run, nonoverlap, reason};
use crate::support::remote_server::{Server, text_of};
use crate::support::status_answer::{CANNOT_TELL, FREE, HELD, fields};

#[test]
fn the_answer_is_the_helpers() {
    let Some(server) = Server::start() else {
        return;
    };
    let word = server.word();
    for (answer, code) in [
        ("held by another.example since 12:00", HELD),
        ("free", FREE),
    ] {
        let mut ask = server.nonoverlap(["--status", &word]);
        let (asked, ended) = server.answered(answer, &mut ask);
        assert_eq!(asked, format!("--status {word}"));
        ended.expect(code, &format!("{word}: {answer}\n"), "");
    }
}

/// What a helper does when it is asked, and what is told: the exit status, and the line behind the
/// word.
#[rustfmt::skip] // A row a line is how a table is read.
const ANSWERS: &[(&str, i32, &str)] = &[
    ("print('by host b')", HELD, "by host b"),
    ("", HELD, "held"),
    ("print('nobody'); sys.exit(3)", FREE, "nobody"),
    ("sys.exit(3)", FREE, "free"),
    ("print('a\\nb\\x1b[1m\"\\\\')", HELD, r#"a; b\x1b[1m"\"#),
    ("say('no server'); sys.exit(69)", CANNOT_TELL, "cannot tell: no server"),
    ("print('held'); say('odd'); sys.exit(1)", CANNOT_TELL, "cannot tell: odd"),
    ("sys.exit(1)", CANNOT_TELL, "cannot tell: its helper ended with exit status: 1"),
    ("say('a pooler'); sys.exit(78)", CANNOT_TELL, "cannot tell: a pooler"),
    ("print('since=5'); sys.exit(75)", CANNOT_TELL, "cannot tell: its helper ended with exit status: 75"),
    ("sys.exit(2)", CANNOT_TELL, "cannot tell: its helper ended with exit status: 2"),
    ("sys.exit(4)", CANNOT_TELL, "cannot tell: its helper ended with exit status: 4"),
    ("sys.exit(78)", CANNOT_TELL, "cannot tell: its helper ended with exit status: 78"),
    ("print('held'); sys.stdout.flush(); os.kill(os.getpid(), 9)", CANNOT_TELL,
        "cannot tell: its helper ended with signal: 9 (SIGKILL)"),
];

#[test]
fn status_text_and_json_agree_with_the_helper() {
    let Some(server) = Server::with("") else {
        return;
    };
    let word = server.word();
    for (lines, code, sentence) in ANSWERS {
        server.helper_that("bin/nonoverlap-test", lines);
        let ask = |options: &[&str]| {
            server
                .nonoverlap(["--status"])
                .args(options)
                .arg(&word)
                .run()
        };
        ask(&[]).expect(*code, &format!("{word}: {sentence}\n"), "");
        ask(&["-q"]).expect(*code, "", "");
        let json = ask(&["--json"]);
        assert_eq!(
            (json.code(), json.stderr().as_str()),
            (Some(*code), ""),
            "{json:?}"
        );
        let fields = fields(&json.stdout());
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found
                .unwrap_or_else(|| panic!("no {name}: {json:?}"))
                .1
                .clone()
        };
        assert_eq!(field("path"), format!("{word:?}"));
        for (name, value) in [
            ("exists", "null"),
            ("deleted", "false"),
            ("holders", "[]"),
            ("takers", "[]"),
            ("since", "null"),
            ("held_for", "null"),
            ("waiters", "null"),
            ("record", "null"),
        ] {
            assert_eq!(field(name), value, "{name}: {json:?}");
        }
        // The escapes of the text are JSON's there.
        let said = sentence.strip_prefix("cannot tell: ").unwrap_or(sentence);
        let said = said.replace('\\', "\\\\").replace('"', "\\\"");
        let said = format!("\"{}\"", said.replace("\\\\x1b", "\\u001b"));
        let (state, told, error) = match *code {
            HELD => ("held", &*said, "null"),
            FREE => ("free", &*said, "null"),
            _ => ("unknown", "null", &*said),
        };
        assert_eq!(field("state"), format!("{state:?}"), "{json:?}");
        assert_eq!(
            (&*field("told"), &*field("error")),
            (told, error),
            "{json:?}"
        );
    }
}

/// What a helper prints, the line behind the word, and in JSON the holders and for how long.
#[rustfmt::skip] // A row a line is how a table is read.
const FIELDS: &[(&str, &str, &str, Option<u64>)] = &[
    (r"since=723\nby b\nholder=b, PID 7: x\n", "by b", r#"[{"told":"b, PID 7: x"}]"#, Some(723)),
    (r#"by b\nholder=b\nholder=c \x1b"\nand c\n"#, "by b; and c", r#"[{"told":"b"},{"told":"c \u001b\""}]"#, None),
    (r"since=7.5\n", "held", "[]", Some(7)),
    (r"holder=\n", "held", r#"[{"told":""}]"#, None),
    (r"since=soon\nholder=b\n", "held", r#"[{"told":"b"}]"#, None),
    // Without its end it may be a part.
    (r"by b\nsince=7", "by b; since=7", "[]", None),
    (r"by b\nholder=b", "by b; holder=b", "[]", None),
    (r"by b, since=7\n holder=b\n", "by b, since=7; holder=b", "[]", None),
];

#[test]
fn json_has_holders_and_since_when_where_the_helper_tells() {
    let Some(server) = Server::with("") else {
        return;
    };
    let word = server.word();
    for (sent, sentence, holders, seconds) in FIELDS {
        server.helper_that("bin/nonoverlap-test", &format!("os.write(1, b'{sent}')"));
        let ask = |options: &[&str]| server.run(&[&["--status"], options].concat(), &[]);
        ask(&[]).expect(HELD, &format!("{word}: {sentence}\n"), "");
        let json = ask(&["--json"]).stdout();
        assert!(
            json.contains(&format!(r#","holders":{holders},"takers":[],"#)),
            "{json}"
        );
        let fields: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&fields["state"], &fields["told"]),
            (&"held".into(), &(*sentence).into())
        );
        match seconds {
            None => assert!(
                fields["since"].is_null() && fields["held_for"].is_null(),
                "{json}"
            ),
            Some(seconds) => {
                let told = fields["held_for"].as_u64().unwrap();
                assert!((*seconds..seconds + 60).contains(&told), "{json}");
                assert!(
                    fields["since"].as_str().unwrap().starts_with("20"),
                    "{json}"
                );
            }
        }
        // Nobody has it, so nobody has had it since.
        let lines = format!("os.write(1, b'{sent}'); sys.exit(3)");
        server.helper_that("bin/nonoverlap-test", &lines);
        let json = ask(&["--json"]).stdout();
        let nobody = r#","holders":[],"takers":[],"since":null,"held_for":null,"#;
        assert!(
            json.contains(nobody) && json.contains(r#""state":"free""#),
            "{json}"
        );
    }
}

#[test]
fn a_lock_file_has_the_same_fields_and_nothing_told() {
    let Some(server) = Server::with("") else {
        return;
    };
    let file = server.scene.file("lock", "");
    let file = file.to_str().unwrap();
    let ended = server
        .nonoverlap(["--status", "--json", file, &server.word()])
        .run();
    let of_line = |line: &str| fields(line);
    let text = ended.stdout();
    let objects: Vec<_> = text.lines().map(of_line).collect();
    assert_eq!(objects.len(), 2, "{ended:?}");
    let names = |fields: &[(String, String)]| -> Vec<String> {
        fields.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&objects[0]), names(&objects[1]));
    assert!(
        objects[0].contains(&("told".to_owned(), "null".to_owned())),
        "{ended:?}"
    );
}

#[test]
fn with_lock_files_beside_it_the_worst_counts() {
    let Some(server) = Server::with("") else {
        return;
    };
    let scene = &server.scene;
    let held = scene.path("held");
    let _holder = Holder::of([&held]);
    let free = scene.file("free", "");
    let (held, free) = (held.to_str().unwrap(), free.to_str().unwrap());
    let word = server.word();
    let word = &*word;
    for (lines, words, code) in [
        ("sys.exit(3)", &[word, free][..], FREE),
        ("sys.exit(3)", &[held, word], HELD),
        ("sys.exit(0)", &[word, free], HELD),
        ("sys.exit(0)", &[free, word, held], HELD),
        ("sys.exit(69)", &[word, held], CANNOT_TELL),
        ("sys.exit(69)", &[free, word], CANNOT_TELL),
    ] {
        server.helper_that("bin/nonoverlap-test", lines);
        let ended = server.nonoverlap(["--status"]).args(words).run();
        assert_eq!(ended.code(), Some(code), "{ended:?}");
        // A line each, in the order of asking.
        let said = ended.stdout();
        assert_eq!(said.lines().count(), words.len(), "{ended:?}");
        let mut pairs = said.lines().zip(words);
        assert!(
            pairs.all(|(line, word)| line.starts_with(word)),
            "{ended:?}"
        );
    }
}

#[test]
fn without_a_helper_it_cannot_be_told() {
    let ask = |options: &[&str]| {
        let mut ask = nonoverlap(["--status", "test://x"]);
        ask.args(options).env("PATH", "/no/such").run()
    };
    let ended = ask(&[]);
    let why = format!("cannot run nonoverlap-test: {}", reason(libc::ENOENT));
    assert_eq!(
        (ended.code(), &*ended.stderr()),
        (Some(CANNOT_TELL), ""),
        "{ended:?}"
    );
    assert!(
        ended.stdout().starts_with("test://x: cannot tell: "),
        "{ended:?}"
    );
    assert!(ended.stdout().trim_end().ends_with(&why), "{ended:?}");
    let mut quiet = nonoverlap(["--status", "-q", "test://x"]);
    quiet
        .env("PATH", "/no/such")
        .run()
        .expect(CANNOT_TELL, "", "");
}

#[test]
fn to_ask_takes_no_lock_and_tells_of_no_command() {
    let lines = r#"
words = sys.argv[1:] + [os.environ.get("NONOVERLAP_COMMAND", "unset")]
open("FOLDER/asked", "a").write(" ".join(words) + "\n")
give(connect())"#;
    let Some(server) = Server::with(lines) else {
        return;
    };
    // Even a connection that it passes is not kept.
    let word = server.word();
    let run = server.nonoverlap(["--status", &word]).run();
    assert_eq!(run.code(), Some(HELD), "{run:?}");
    server.accept().ends();
    let asked = text_of(&server.scene.path("asked"));
    assert_eq!(asked, format!("--status {word} unset\n"));
}

#[test]
fn a_log_is_shown_behind_it() {
    let Some(server) = Server::with("print('held by b')") else {
        return;
    };
    let log = server.scene.file("log", "one\ntwo\n");
    let word = server.word();
    let mut ask = server.nonoverlap(["--status", "--log", log.to_str().unwrap(), &word]);
    let said = format!("{word}: held by b\none\ntwo\n");
    ask.run().expect(HELD, &said, "");
}
