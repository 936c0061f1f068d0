//! A PostgreSQL server of the test's own, and nonoverlap run against it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::harness::{NONOVERLAP, Run, Scene, eventually, is_root, kill};

/// The role that the tests connect as. It owns nothing and may do nothing but connect.
pub const ROLE: &str = "app";

/// The superuser.
pub const ADMIN: &str = "admin";

/// Whom the server runs as where the tests run as root, which PostgreSQL refuses.
const SYSTEM_USER: &str = "postgres";

/// A running server, which is stopped and gone when the test ends.
pub struct Server {
    pub scene: Scene,
    pub port: u16,
    /// The process in whose network it runs, where that is not the test's.
    inside: Option<u32>,
}

impl Server {
    /// A new server with one database, `postgres`, and two roles.
    #[track_caller]
    pub fn start() -> Server {
        Server::with("")
    }

    /// The same, with more lines in postgresql.conf.
    #[track_caller]
    pub fn with(settings: &str) -> Server {
        let server = Server::prepared(settings);
        server.first_start();
        server
    }

    /// The same, in the network of this process, whose hosts it trusts.
    #[track_caller]
    pub fn inside(process: u32, settings: &str) -> Server {
        let mut server = Server::prepared(&format!("listen_addresses = '*'\n{settings}"));
        server.append("pg_hba.conf", "host all all 0.0.0.0/0 trust\n");
        server.inside = Some(process);
        server.first_start();
        server
    }

    #[track_caller]
    fn first_start(&self) {
        self.control(&["start"]);
        self.sql(&format!("CREATE ROLE {ROLE} LOGIN"));
    }

    /// A folder and a port, and nothing there.
    pub fn nowhere() -> Server {
        let server = Server {
            scene: Scene::new(),
            port: free_port(),
            inside: None,
        };
        if is_root() {
            give_away(&server.scene.path(""));
        }
        server
    }

    /// One that is not running yet.
    #[track_caller]
    pub fn prepared(settings: &str) -> Server {
        let server = Server::nowhere();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(template())
            .arg(server.data())
            .run();
        assert_eq!(copied.code(), Some(0), "{copied:?}");
        let own = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n",
            server.port,
            server.scene.path("").display()
        );
        server.append("postgresql.conf", &format!("{own}{settings}\n"));
        server
    }

    pub fn data(&self) -> PathBuf {
        self.scene.path("data")
    }

    /// Appends to a file of the data folder.
    pub fn append(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        let content = fs::read_to_string(&path).unwrap();
        fs::write(&path, content + text).unwrap();
    }

    /// A program of PostgreSQL's, as the user that the server runs as.
    pub fn program(&self, name: &str) -> Command {
        let path = programs().join(name);
        let mut command = match is_root() {
            false => Command::new(path),
            true => {
                let mut command = self.there("setpriv");
                command
                    .arg("--reuid")
                    .arg(SYSTEM_USER)
                    .arg("--regid")
                    .arg(SYSTEM_USER);
                command.arg("--clear-groups").arg(path);
                command
            }
        };
        command.current_dir("/");
        command
    }

    /// A program in the server's network.
    fn there(&self, program: impl AsRef<OsStr>) -> Command {
        match self.inside {
            None => Command::new(program),
            Some(process) => in_network_of(process, program),
        }
    }

    /// pg_ctl, waiting until it is done: `start`, `stop -m fast`, `restart`, `reload`.
    #[track_caller]
    pub fn control(&self, words: &[&str]) {
        let ended = self.try_control(words);
        assert_eq!(ended.code(), Some(0), "{ended:?}{}", self.log());
    }

    /// The same, whatever comes of it.
    pub fn try_control(&self, words: &[&str]) -> crate::harness::Ended {
        let mut control = self.program("pg_ctl");
        control
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.scene.path("log"));
        control.arg("-w").args(words).run()
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scene.path("log")).unwrap_or_default()
    }

    /// Asks as the superuser, and gives the answer, its fields with bars between them.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        let ended = self.psql(ADMIN, statement);
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended.stdout().trim_end().to_owned()
    }

    /// psql as this role.
    pub fn psql(&self, role: &str, statement: &str) -> crate::harness::Ended {
        self.psql_command(role, statement).run()
    }

    /// The same, not started yet.
    pub fn psql_command(&self, role: &str, statement: &str) -> Command {
        let program = self.there(programs().join("psql"));
        let mut psql = as_role(program, role, self.port);
        psql.arg("-c").arg(statement);
        psql
    }

    /// How many have the lock of this name, by the server's own table. The number of the lock is
    /// computed here once more, as the manual has it.
    #[track_caller]
    pub fn holders(&self, name: &str) -> usize {
        let statement = format!(
            "SELECT count(*)
            FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
            WHERE locktype = 'advisory' AND granted
                AND objsubid = 1 AND datname = current_database()
                AND (classid::bigint << 32) | objid::bigint = {}",
            number(name)
        );
        self.sql(&statement).parse().unwrap()
    }

    /// Whether the run of this process has asked, was refused, and has gone to sleep until it asks
    /// again. Whoever got the lock, or asks who has it, has asked something else last.
    #[track_caller]
    pub fn waits(&self, pid: u32) -> bool {
        let statement = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap % {pid} %'
                AND state = 'idle' AND query LIKE '%set_config%'"
        );
        self.sql(&statement) == "1"
    }

    /// Has the server tell its own age, and not an hour more: see [`template`].
    #[track_caller]
    pub fn tell_the_true_age(&self) {
        self.sql(
            "SET allow_system_table_mods = on;
            DROP FUNCTION pg_catalog.pg_postmaster_start_time();
            ALTER FUNCTION pg_catalog.pg_postmaster_start_time_in_truth()
                RENAME TO pg_postmaster_start_time;",
        );
    }

    /// Waits until the server has seen that nobody has the lock any more, which a test that is not
    /// about that moment does before the next run.
    #[track_caller]
    pub fn until_free(&self, name: &str) {
        eventually("the lock is free", || self.holders(name) == 0);
    }

    /// How many sessions there are of nonoverlap's.
    #[track_caller]
    pub fn sessions(&self) -> usize {
        let statement =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap %'";
        self.sql(statement).parse().unwrap()
    }

    /// The process that serves the holder of this lock.
    #[track_caller]
    pub fn backend(&self, name: &str) -> String {
        let statement = format!(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND (classid::bigint << 32) | objid::bigint = {}",
            number(name)
        );
        self.sql(&statement)
    }

    /// The processes of the helper that have to do with this server.
    pub fn helpers(&self) -> Vec<u32> {
        let port = format!(":{}/", self.port);
        let is_ours = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("nonoverlap-postgresql\0") && line.contains(&port)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).collect()
    }

    /// The lock of this name, as nonoverlap is told of it.
    pub fn lock(&self, name: &str) -> String {
        format!(
            "postgresql://{ROLE}@127.0.0.1:{}/postgres#{name}",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Such as one that keeps a lock for a minute.
        for helper in self.helpers() {
            kill(helper, libc::SIGKILL);
        }
        // That network may be gone already.
        self.inside = None;
        if self.data().join("postmaster.pid").exists() {
            self.try_control(&["stop", "-m", "immediate"]);
        }
    }
}

/// The number of the lock of this name, in SQL.
pub fn number(name: &str) -> String {
    let name = name.replace('\'', "''");
    format!("hashtextextended('nonoverlap:' || '{name}', 0)")
}

/// What this host calls itself.
pub fn host() -> String {
    let said = Command::new("uname").arg("-n").run();
    said.stdout().trim_end().to_owned()
}

/// A program in the network of this process. It takes root.
pub fn in_network_of(process: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{process}/ns/net"));
    command.arg("--").arg(program);
    command
}

/// nonoverlap with these arguments. It finds the helper in PATH, and no PG* variable.
pub fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let program = Path::new(NONOVERLAP);
    assert!(
        program.exists(),
        "build nonoverlap first, by `cargo build` in the folder above"
    );
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path());
    without_variables(&mut command);
    command
}

/// A psql of this role's at a port here.
pub fn psql_at(role: &str, port: u16) -> Command {
    as_role(Command::new(programs().join("psql")), role, port)
}

fn as_role(mut psql: Command, role: &str, port: u16) -> Command {
    psql.args(["-XAtq", "-h", "127.0.0.1", "-d", "postgres", "-U", role]);
    psql.arg("-p").arg(port.to_string());
    without_variables(&mut psql);
    psql
}

/// The helper itself.
pub fn helper<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nonoverlap-postgresql"));
    without_variables(command.args(arguments));
    command
}

/// PATH, with the helper in front.
pub fn path() -> OsString {
    let folder = Path::new(env!("CARGO_BIN_EXE_nonoverlap-postgresql")).parent();
    let mut path = folder.unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    path
}

/// Takes every PG* variable away.
pub fn without_variables(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

/// What initdb makes, once for all tests: it takes most of a second. A server that has just started
/// gives no lock, so these say that they started an hour earlier.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (template, _) = TEMPLATE.get_or_init(|| {
        let (folder, lock) = own_folder();
        let template = folder.join("data");
        let server = Server::nowhere();
        let mut initdb = server.program("initdb");
        initdb
            .arg("-D")
            .arg(server.data())
            .args(["-A", "trust", "-U", ADMIN]);
        let ended = initdb.args(["--no-sync", "-E", "UTF8"]).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        for database in ["template1", "postgres"] {
            let mut single = server.program("postgres");
            single.args(["--single", "-O", "-F", "-D"]);
            single.arg(server.data()).arg(database);
            let ended = single.run_with_input(OLDER);
            assert_eq!(ended.code(), Some(0), "{ended:?}");
            assert!(!ended.stderr().contains("ERROR"), "{ended:?}");
        }
        let kept = Command::new("cp")
            .arg("-a")
            .arg(server.data())
            .arg(&template)
            .run();
        assert_eq!(kept.code(), Some(0), "{kept:?}");
        (template, lock)
    });
    template
}

/// A new folder for this process alone, as the tests may run twice at once, and the lock that it has on
/// it while it lives. Folders that nobody has locked any more are removed.
fn own_folder() -> (PathBuf, File) {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // One after the other, so that none is removed before it is locked.
    let turn = File::create(all.join("turn")).unwrap();
    flock(&turn, FlockOperation::LockExclusive).unwrap();
    for entry in fs::read_dir(all).unwrap().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with("data");
        let is_left =
            |folder: File| flock(folder, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_ours && File::open(entry.path()).is_ok_and(is_left) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let mut own = tempfile::Builder::new();
    let own = own.prefix("data").tempdir_in(all).unwrap().keep();
    let lock = File::open(&own).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    (own, lock)
}

/// Each line is a statement.
const OLDER: &str = "\
ALTER FUNCTION pg_catalog.pg_postmaster_start_time() RENAME TO pg_postmaster_start_time_in_truth
CREATE FUNCTION pg_catalog.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE \
    AS $$ SELECT pg_catalog.pg_postmaster_start_time_in_truth() \
        OPERATOR(pg_catalog.-) '1 hour'::pg_catalog.interval $$
";

/// Where PostgreSQL's own programs are, which somebody may say: Debian puts them out of PATH, and a
/// wrapper that takes a while to find them into it.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        if let Some(folder) = env::var_os("NONOVERLAP_POSTGRESQL_BIN") {
            return folder.into();
        }
        let said = Command::new("pg_config").arg("--bindir").run();
        let folder = PathBuf::from(said.stdout().trim_end());
        if folder.join("initdb").exists() {
            return folder;
        }
        let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let versions = entries.flatten().map(|entry| entry.path());
        let newest = versions.max_by_key(|path| version(path));
        newest
            .map(|path| path.join("bin"))
            .unwrap_or_else(|| panic!("there is no PostgreSQL server: Debian's is postgresql"))
    })
}

/// The numbers of a folder such as `9.6` or `15`.
fn version(folder: &Path) -> Vec<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let numbers = name.split('.').map(|number| number.parse().unwrap_or(0));
    numbers.collect()
}

#[test]
fn the_newest_of_several_versions_is_the_one_with_the_largest_number() {
    let folders = ["15", "9.6", "10", "9.10"].map(Path::new);
    let newest = folders.iter().max_by_key(|path| version(path));
    assert_eq!(newest, Some(&Path::new("15")));
    let newest = folders[1..].iter().max_by_key(|path| version(path));
    assert_eq!(newest, Some(&Path::new("10")));
}

pub fn free_port() -> u16 {
    // Below those that connections get, one of which could come before the server does.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = process::id()
            .wrapping_mul(101)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Gives a folder to the user that the server runs as, with room for all to pass.
pub fn give_away(folder: &Path) {
    let id = |flag: &str| {
        let said = Command::new("id").args([flag, SYSTEM_USER]).run();
        said.stdout().trim_end().parse().unwrap()
    };
    chown(folder, Some(id("-u")), Some(id("-g"))).unwrap();
}
