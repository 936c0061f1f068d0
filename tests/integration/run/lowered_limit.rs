//! The guardian keeps nothing that the caller has open, also not above a limit that the caller has lowered
//! since.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, PATIENCE, Scene, has_tool};

#[test]
fn a_caller_that_has_lowered_its_limit_of_descriptors_is_not_held_up_by_the_guardian() {
    if !has_tool("bash", "a descriptor of three digits") {
        return;
    }
    let scene = Scene::new();
    // A socket and not a pipe, because reading it need not wait for ever.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let caller = r#"exec 500>&2 2>/dev/null; ulimit -Sn 256
        exec "$0" -o "$1" bash -c 'exec 500>&-; echo held; exec cat >/dev/null'"#;
    let mut command = Command::new("bash");
    command.args(["-c", caller, NONOVERLAP]).arg(scene.lock());
    let holder = Holder::start(command.stderr(OwnedFd::from(theirs)));
    drop(command);
    // It ends while the job runs, and its guardian with it.
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert!(holder.end().success());
}
