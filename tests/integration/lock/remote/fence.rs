//! Promises about NONOVERLAP_FENCE: the command finds what came with its lock, whole, or nothing.

use crate::support::harness::Run;
use crate::support::remote_server::Server;

/// Says what the command's environment has of it.
const TELL: [&str; 3] = ["sh", "-c", "env | grep ^NONOVERLAP_FENCE || echo none"];

const SIXTY_FOUR: &str = "0123456789012345678901234567890123456789012345678901234567890123";

#[test]
fn the_command_finds_the_fence_that_came_with_the_lock() {
    let Some(server) = Server::with("") else {
        return;
    };
    let slow = "os.write(1, b'NONOVERLAP_'); time.sleep(0.3); give(connect(), line=b'FENCE=17\\n')";
    for (lines, fence) in [
        (r"give(connect(), line=b'NONOVERLAP_FENCE=17\n')", "17"),
        (
            r"give(connect(), line=b'NONOVERLAP_FENCE=00000000010000000000000000000742\n')",
            "00000000010000000000000000000742",
        ),
        (r"give(connect(), line=b'NONOVERLAP_FENCE=0\n')", "0"),
        (
            &*format!(r"give(connect(), line=b'NONOVERLAP_FENCE={SIXTY_FOUR}\n')"),
            SIXTY_FOUR,
        ),
        (
            r"print('waiting', flush=True); give(connect(), line=b'NONOVERLAP_FENCE=17\n')",
            "17",
        ),
        (
            r"give(connect(), line=b'waiting\nNONOVERLAP_FENCE=17\n')",
            "17",
        ),
        (slow, "17"),
    ] {
        server.helper_that("bin/nonoverlap-test", lines);
        for options in [
            &[][..],
            &["-b"],
            &["-o", "--shared"],
            &["--on-lost", "ignore"],
        ] {
            let expected = format!("NONOVERLAP_FENCE={fence}\n");
            server.run(options, &TELL).expect(0, &expected, "");
            // In the place of an outer run's, of which there may be two.
            let mut run = server.nonoverlap(options);
            run.env("NONOVERLAP_FENCE", "99")
                .arg(server.word())
                .args(TELL);
            run.run().expect(0, &expected, "");
        }
    }
    let mut line = server.nonoverlap([&*server.word(), "-c", "echo $NONOVERLAP_FENCE"]);
    line.run().expect(0, "17\n", "");
}

#[test]
fn without_a_fence_the_command_finds_none_of_an_outer_run() {
    let Some(server) = Server::with("") else {
        return;
    };
    for lines in [
        "give(connect())",
        "print('waiting', flush=True); give(connect())",
    ] {
        server.helper_that("bin/nonoverlap-test", lines);
        let mut run = server.nonoverlap([&*server.word()]);
        run.args(TELL).env("NONOVERLAP_FENCE", "99");
        // What only begins so is another variable.
        run.env("NONOVERLAP_FENCE_2", "5").env("OTHER", "kept");
        run.run().expect(0, "NONOVERLAP_FENCE_2=5\n", "");
    }
    // A lock file has nothing to do with it.
    let mut inner = server.nonoverlap([server.scene.lock()]);
    inner.args(TELL).env("NONOVERLAP_FENCE", "99");
    inner.run().expect(0, "NONOVERLAP_FENCE=99\n", "");
}

#[test]
fn what_is_neither_a_fence_nor_an_empty_line_lets_nothing_run() {
    let Some(server) = Server::with("") else {
        return;
    };
    let word = server.word();
    let why =
        "its helper passed neither NONOVERLAP_FENCE=DIGITS nor an empty line with the connection";
    let said = format!("nonoverlap: cannot lock {word}: {why}\n");
    for line in [
        ".",
        r"NONOVERLAP_FENCE=17",
        r"NONOVERLAP_FENCE=\n",
        r"NONOVERLAP_FENCE=17 \n",
        r"NONOVERLAP_FENCE= 17\n",
        r"NONOVERLAP_FENCE=17\r\n",
        r"NONOVERLAP_FENCE=17\0\n",
        r"NONOVERLAP_FENCE=-17\n",
        r"NONOVERLAP_FENCE=0x17\n",
        r"NONOVERLAP_FENCE=1.7\n",
        r"NONOVERLAP_FENCE=a\n",
        r"NONOVERLAP_FENCE=\xd9\xa1\n",
        r"NONOVERLAP_FENCE=17\nNONOVERLAP_FENCE=18\n",
        r"NONOVERLAP_FENCE=17\n\n",
        r"\nNONOVERLAP_FENCE=17\n",
        r"PATH=/tmp\n",
        r"NONOVERLAP_FENC=17\n",
        r"since=17\n",
        r"waiting\n",
        r"waiting\nwaiting\n",
        r"waiting\n17\n",
        &format!(r"NONOVERLAP_FENCE=4{SIXTY_FOUR}\n"),
        r"NONOVERLAP_FENCE=' + b'1' * 5000 + b'\n",
    ] {
        server.helper_that(
            "bin/nonoverlap-test",
            &format!("give(connect(), line=b'{line}')"),
        );
        let ended = server.run(&["-q"], &["echo", "ran"]);
        let seen = (ended.code(), ended.stdout(), ended.stderr());
        assert_eq!(seen, (Some(69), String::new(), said.clone()), "{line}");
        // The connection is given back.
        server.accept().ends();
    }
}
