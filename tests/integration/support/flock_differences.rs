//! Where nonoverlap under the name flock differs from flock, which the manual lists. A difference
//! that is not as it stands here, on either side, fails the test.

/// One line, in a shell of its own, in the folder that `flock_lines.rs` describes.
pub struct Difference {
    /// How its item in the manual's AS FLOCK begins.
    pub why: &'static str,
    pub line: &'static str,
    /// Our exit status (a signal's number with a minus), and our stdout.
    pub ours: (i32, &'static str),
    pub theirs: Theirs,
}

/// What flock makes of it.
#[derive(Clone, Copy)]
pub enum Theirs {
    /// Its exit status and its stdout.
    Is(i32, &'static str),
    /// It would wait for ever, and is not run.
    Hangs,
    /// The flock that is installed may be too old to know it, and is not run.
    TooOld,
}
use Theirs::{Hangs, Is, TooOld};

const UNLOCK: &str = "-u with a command is refused";
const EXECS: &str = "It becomes the command by exec where flock forks.";
const CHILDREN: &str = "SIGCHLD is left as it was; flock resets it.";
const FIFO: &str = "A FIFO as the lock file does not make it hang.";
const LINES: &str = "The lines of --verbose are not lost under -F";
const NAMES: &str = "Long options cannot be abbreviated";
const LINK: &str = "No file is created through a symbolic link:";
const TIMES: &str = "-w is refused with 64 if its argument is negative or not a number.";
const DESCRIPTORS: &str = "The lock file is on a descriptor from 60 up,";
const SIZES: &str = "--start and --length beyond 2^63 - 1 are refused with 64";
/// Not in the manual: flock is as is written here.
pub const NEW: &str = "flock has it since 2.41 or later";

/// flock's lines under --verbose, digits made alike.
const TRUE: &str = "flock: getting lock took #.###### seconds\nflock: executing true\n";

#[rustfmt::skip] // A row a line is how a table is read.
pub const DIFFERENCES: &[Difference] = &[
    row(UNLOCK, "flock -u free true", (64, ""), Is(0, "")),
    row(UNLOCK, "flock -u taken true", (64, ""), Is(0, "")),
    row(UNLOCK, "flock --unlock free echo ran", (64, ""), Is(0, "ran\n")),
    row(UNLOCK, "flock -x -u free -c 'echo ran'", (64, ""), Is(0, "ran\n")),
    row(UNLOCK, "exec 9>f; flock -u 9 true", (64, ""), Is(0, "")),
    row(EXECS, "exec flock free sh -c 'kill -9 $$'", (-9, ""), Is(137, "")),
    row(EXECS, "exec flock free sh -c 'kill -TERM $$'", (-15, ""), Is(143, "")),
    row(EXECS, "exec flock free sh -c 'test $$ = $0 && echo the same' $$", (0, "the same\n"), Is(1, "")),
    row(EXECS, "exec flock -F free sh -c 'test $$ = $0 && echo the same' $$", (0, "the same\n"), Is(0, "the same\n")),
    row(EXECS, "exec flock -F free sh -c 'kill -9 $$'", (-9, ""), Is(-9, "")),
    row(EXECS, "flock --verbose free true >/dev/full", (0, ""), Is(1, "")),
    row(EXECS, "flock --verbose free echo out",
        (0, "flock: getting lock took #.###### seconds\nflock: executing echo\nout\n"),
        Is(0, "out\nflock: getting lock took #.###### seconds\nflock: executing echo\n")),
    row(CHILDREN, "exec env --ignore-signal=CHLD flock free grep -c '^SigIgn:.*[13579bdf]....$' /proc/self/status", (0, "1\n"), Is(1, "0\n")),
    row(FIFO, "mkfifo fifo; flock fifo kinds", (0, "FLOCK WRITE\n"), Hangs),
    row(FIFO, "mkfifo fifo; flock -n fifo kinds", (0, "FLOCK WRITE\n"), Hangs),
    row(LINES, "flock -F --verbose free true", (0, TRUE), Is(0, "")),
    row(LINES, "flock --verbose --no-fork free true", (0, TRUE), Is(0, "")),
    row(NAMES, "flock --nonb free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --time=1 free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --wai 1 free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --excl free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --shar free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --conf 3 free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --no-f free true", (64, ""), Is(0, "")),
    row(NAMES, "flock --verb free true", (64, ""), Is(0, TRUE)),
    row(NAMES, "flock --unl 99", (64, ""), Is(65, "")),
    row(NAMES, "flock --hel >page; s=$?; test -s page && echo help; exit $s", (64, ""), Is(0, "help\n")),
    row(LINK, "ln -s nothing link; flock link true; s=$?; ls nothing 2>/dev/null; exit $s", (73, ""), Is(0, "nothing\n")),
    row(TIMES, "flock -w -1 free true", (64, ""), Is(71, "")),
    row(TIMES, "flock --timeout=-0.5 free true", (64, ""), Is(71, "")),
    row(TIMES, "flock -w nan free true", (64, ""), Is(71, "")),
    row(TIMES, "flock -w inf free true", (0, ""), Is(71, "")),
    row(TIMES, "flock -w 1e400 free true", (0, ""), Is(71, "")),
    row(TIMES, "flock -w 1e20 free true", (0, ""), Is(71, "")),
    row(DESCRIPTORS, "exec 0<&-; flock free cat 2>/dev/null", (1, ""), Is(0, "")),
    row(DESCRIPTORS, "ulimit -n 10; flock free true", (71, ""), Is(0, "")),
    row(SIZES, "flock --start 9223372036854775808 fresh true; s=$?; ls fresh 2>/dev/null; exit $s", (64, ""), TooOld),
    row(SIZES, "flock --length 9223372036854775808 free true", (64, ""), TooOld),
    row(NEW, "flock --fcntl free kinds", (0, "OFDLCK WRITE\n"), TooOld),
    row(NEW, "flock --fcntl -s free kinds", (0, "OFDLCK READ\n"), TooOld),
    row(NEW, "flock --fcntl dir true", (65, ""), TooOld),
    row(NEW, "flock --fcntl -s dir kinds", (0, "OFDLCK READ\n"), TooOld),
    row(NEW, "flock --fcntl -n taken kinds", (0, "OFDLCK WRITE\n"), TooOld),
    row(NEW, "flock --fcntl=1 free true", (64, ""), TooOld),
    row(NEW, "exec 9<free; flock --fcntl 9", (65, ""), TooOld),
    row(NEW, "exec 9<free; flock --fcntl -s 9", (0, ""), TooOld),
    row(NEW, "exec 9>&-; flock --fcntl -u 9", (65, ""), TooOld),
    row(NEW, "flock --start=1 --length 2 free kinds", (0, "OFDLCK WRITE\n"), TooOld),
    row(NEW, "flock --start", (64, ""), TooOld),
    row(NEW, "flock --length x free true", (64, ""), TooOld),
    row(NEW, "exec 9>f; flock --fd 9 kinds", (0, "FLOCK WRITE\n"), TooOld),
    row(NEW, "exec 9<taken; flock --fd 9 -n true", (1, ""), TooOld),
    row(NEW, "exec 9<taken; flock -n --fd 9 true", (1, ""), TooOld),
    row(NEW, "exec 9>f; flock --fd 9 -c kinds", (0, "FLOCK WRITE\n"), TooOld),
    row(NEW, "flock --fd 99 true", (65, ""), TooOld),
    row(NEW, "flock --fd x true", (64, ""), TooOld),
];

const fn row(
    why: &'static str,
    line: &'static str,
    ours: (i32, &'static str),
    theirs: Theirs,
) -> Difference {
    Difference {
        why,
        line,
        ours,
        theirs,
    }
}
