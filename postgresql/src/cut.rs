//! After which time a cut is the end: for the command, for the server, and for a server that has
//! forgotten whom it had given the lock.

use std::ffi::CStr;
use std::time::Duration;

/// What libpq is told, whatever TARGET says.
///
/// A connection that is cut without a word ends on this side after 4 + 2 * 5 = 14 s of silence
/// ([`TOLD_AFTER`]), and on the server's after 6 + 4 * 5 = 26 s: the command hears of the loss before
/// its lock is given away.
///
/// Where there is TCP_USER_TIMEOUT, the kernel ends it at the first question after 13 s, which is the
/// same one, and does not count (tcp(7)): questions that this host's own full queue has dropped do
/// not count, and without it the command would not hear of the loss at all.
///
/// Where only the way from the server is cut, there is no time between the two: the kernel that gives
/// up says so to the server, which hears it, and then tells the command.
pub const PARAMETERS: [(&CStr, &CStr); 5] = [
    (c"keepalives", c"1"),
    (c"keepalives_idle", c"4"),
    (c"keepalives_interval", c"2"),
    (c"keepalives_count", c"5"),
    (c"tcp_user_timeout", c"13000"),
];

/// When the command hears of a cut at the latest, in seconds.
const TOLD_AFTER: u64 = 14;

/// The time in which the server hears nothing before it asks whether we are there, and after which it
/// ends the session at the next question of five, 4 s apart: tcp_keepalives_idle and tcp_user_timeout.
///
/// The command has been told after 14 s, is killed `--kill-after` later, and a second after that its
/// lock may be another's. The 26 s leave room for 11. A longer time has the server wait for so much
/// longer, rather than the command end before it has tidied up.
pub fn server_timers(kill_after: Duration) -> (String, String) {
    const ROOM: u64 = 26 - TOLD_AFTER - 1;
    let more = whole_seconds(kill_after).saturating_sub(ROOM);
    ((6 + more).to_string(), format!("{}s", 25 + more))
}

/// The least age.
const LEAST: u64 = 20;

/// How old a server has to be. One that has started has no locks, while holders that were cut off from
/// it do not know that yet: they hear of it after [`TOLD_AFTER`], and are killed `--kill-after` later.
/// Whose `--kill-after` that is nobody knows, but the same job has the same on every host.
pub fn grace(kill_after: Duration) -> Duration {
    Duration::from_secs(LEAST.max(TOLD_AFTER + whole_seconds(kill_after) + 1))
}

/// That many seconds, and one more for a part of one.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
