//! Promises about passwords in TARGET: the helper itself shows none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::harness::Run;
use crate::refused::read_startup;
use crate::server::helper;

/// What nonoverlap hides as well: it knows the password, but not which parameters libpq has.
#[test]
fn the_helper_shows_no_password_that_the_server_or_libpq_repeats() {
    for place in [
        "app:gu%65ss@ADDRESS/db?",
        "app@ADDRESS/db?password=gu%65ss&",
    ] {
        let (address, server) = repeats_the_password();
        let place = place.replace("ADDRESS", &address);
        let target = format!("postgresql://{place}sslmode=disable&gssencmode=disable#job");
        let ended = helper(["--status", &target]).run();
        assert_eq!(server.join().unwrap(), "guess");
        assert_eq!(ended.code(), Some(77), "{ended:?}");
        assert!(
            ended.stderr().contains("the password *** is wrong"),
            "{ended:?}"
        );
        assert!(!ended.stderr().contains("guess"), "{ended:?}");
    }
    // What libpq cannot read.
    let unknown = "invalid URI query parameter";
    let wrong = [
        (
            "app@h/db?passwrod=guess",
            "invalid URI query parameter: \"passwrod\"",
        ),
        (
            "app@h/db?passwrod=gu%zzess",
            "invalid percent-encoded token",
        ),
        ("app@h/db?sslmode=disable&passwrod=guess", unknown),
        ("app@h/db?password=se&guess=x", unknown),
        (
            "app@h/db?password=se&guess",
            "missing key/value separator \"=\"",
        ),
        (
            "app@h/db?password=se=guess",
            "extra key/value separator \"=\"",
        ),
        // The beginning would be the port of a host "app".
        ("app:12345#guess@h/db", "write %23 for #"),
        ("app:12345/guess@h/db", "write %40 for @ and %2F for /"),
        // Other programs take that.
        (
            "host=127.0.0.1 port=1 password=guess",
            "write USER:PASSWORD@HOST:PORT/DATABASE",
        ),
        ("password=guess/x", "write USER:PASSWORD@HOST:PORT/DATABASE"),
        (
            "host=h password=x@guess",
            "write USER:PASSWORD@HOST:PORT/DATABASE",
        ),
    ];
    for (place, why) in wrong {
        let name = if place.contains('#') { "" } else { "#job" };
        let ended = helper(["--status", &format!("postgresql://{place}{name}")]).run();
        let said = ended.stderr();
        assert_eq!((ended.code(), &*ended.stdout()), (Some(64), ""), "{place}");
        assert!(said.contains(why), "{place}: {said}");
        assert!(
            !said.contains("guess") && !said.contains("12345"),
            "{place}: {said}"
        );
    }
}

#[test]
fn a_short_password_does_not_show_by_what_is_hidden_of_other_words() {
    // A folder that is not there, so that no name server is asked.
    let why = "connection to server on socket \"/***/.s.PGSQL.1\" failed: No such file or directory\n\
        \tIs the server running locally and accepting connections on that socket?\n";
    for password in ["a", "%61"] {
        let target = format!("postgresql://app:{password}@/db?host=/a&port=1#job");
        helper(["--status", &target]).run().expect(69, "", why);
    }
}

/// A server that asks for the password, says that it is wrong, and what it was.
fn repeats_the_password() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        read_startup(&mut client);
        // AuthenticationCleartextPassword, PasswordMessage, ErrorResponse.
        client.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
        let mut head = [0; 5];
        client.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4;
        let mut password = vec![0; length];
        client.read_exact(&mut password).unwrap();
        password.pop();
        let password = String::from_utf8(password).unwrap();
        let fields = format!("SFATAL\0VFATAL\0C28P01\0Mthe password {password} is wrong\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        let answer = [b"E", &length[..], fields.as_bytes()].concat();
        client.write_all(&answer).unwrap();
        password
    });
    (address, server)
}
