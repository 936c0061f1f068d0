//! The scenarios: who starts, what is there, and what somebody else does meanwhile.

use super::deed::Deed;

pub struct Scenario {
    pub name: String,
    /// How the table says what is done meanwhile.
    pub title: String,
    pub setup: Vec<Deed>,
    pub runs: Vec<Start>,
    pub doers: Vec<Vec<Deed>>,
    /// Time stands still until somebody's is up.
    pub clock: bool,
    /// Processes that are made later get numbers after this, as where numbers begin again.
    pub low_pid: Option<u32>,
    /// So many may be inside.
    pub capacity: usize,
    /// The lock file is to hold the record of who is inside.
    pub is_recorded: bool,
    /// What a run that could not open the lock file may end with.
    pub statuses: Vec<i32>,
    /// The lock file has long been there: its birth is told as an hour earlier, and nothing happens within
    /// one tick of the clock that file times have.
    pub is_old: bool,
    /// Two get in today; see `KNOWN`.
    pub is_known: bool,
}

pub struct Start {
    pub words: Vec<String>,
    pub is_shared: bool,
}

/// The program that is looked at.
#[derive(Clone)]
pub struct Locker {
    pub words: Vec<String>,
    /// It is nonoverlap, and not another program that locks.
    pub is_ours: bool,
}

/// Where two get in today: the name of the lock file then leads to something that is not searched for
/// (a copy, another content, a link, a FIFO, a folder), or the holder's file has no name that is
/// searched for (renamed, deleted twice, of another folder), or the holder is a child or a guardian that
/// was forked meanwhile. A scenario that is repaired has to leave this list, or the test fails.
const KNOWN: &str = "
    b-unlink-twice-rec b-unlink-twice-none b-rename-away-rec b-rename-away-none
    b-rename-there-and-back-rec b-replace-by-copy-rec b-replace-by-garbage-rec
    b-replace-by-garbage-none b-to-symlink-rec b-to-symlink-none b-to-fifo-rec b-to-fifo-none
    b-to-dir-rec b-to-dir-none b-fork-unlink-rec b-fork-unlink-lowpid b-folder-moved
    c-guard-unlink c-block-to-fifo-rec c-wait-to-fifo-rec c-block-fork-unlink c-block-none-unlink-twice
    c-block-replace-by-copy-rec c-wait-replace-by-copy-rec d-unlink-twice-old d-rename-away-old
    d-rename-there-and-back-old d-replace-by-copy-old d-replace-by-garbage-old d-to-symlink-old
    d-to-fifo-old d-to-dir-old d-fork-unlink-old
";

/// Those of the gate, the fewest that show each cause; the others are tried by hand.
const QUICK: &str = "
    a-two-none a-two-rec a-three-rec b-unlink-rec b-unlink-twice-rec b-rename-away-rec
    b-rename-there-and-back-rec b-replace-by-copy-rec b-replace-by-garbage-rec b-to-symlink-rec
    b-to-fifo-rec b-to-dir-rec b-fork-unlink-rec b-kill-A-rec b-folder-moved c-block-unlink-rec
    c-wait-unlink-rec c-guard-unlink c-slots-two c-readers d-rename-there-and-back-old
    d-replace-by-copy-old
";

impl Scenario {
    pub fn is_quick(&self) -> bool {
        is_in(QUICK, &self.name)
    }
}

/// Whether a list has this name.
fn is_in(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|one| one == name)
}

/// Whether two get in today.
pub fn is_known(name: &str) -> bool {
    is_in(KNOWN, name)
}
