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

/// Where two get in, by design: a folder that is moved, or another in its place, is another folder
/// (DESIGN.md, "What remains open"). A scenario that is repaired has to leave this list, or the test
/// fails.
const KNOWN: &str = "b-folder-moved";

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
