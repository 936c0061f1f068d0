//! What is asked of the server, in SQL.
//!
//! Every function, operator, type and table is asked for in pg_catalog: others may be able to create
//! things in the database, in the schema `public` everybody up to PostgreSQL 14, and what fits better
//! or comes earlier in the role's search_path would be run in our session, with its rights. LIKE, IN,
//! BETWEEN, USING and IS DISTINCT FROM look operators up like that, too, and are not used. All
//! OPERATOR() have one precedence.
//!
//! No search_path is asked for when connecting: that is `options`, which a pooler refuses or drops and
//! which our user may have set.

/// The number that a lock of this name has.
const KEY: &str = "pg_catalog.hashtextextended(
    'nonoverlap:' OPERATOR(pg_catalog.||) $1::pg_catalog.text, 0::pg_catalog.int8)";

/// The rows of pg_locks that are of this lock. A lock of one number has its halves in classid and
/// objid, and 1 in objsubid.
const ROWS: &str = "pg_locks.granted
    AND pg_locks.locktype OPERATOR(pg_catalog.=) 'advisory'
    AND pg_locks.objsubid OPERATOR(pg_catalog.=) 1
    AND pg_locks.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND ((pg_locks.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
        OPERATOR(pg_catalog.|) pg_locks.objid::pg_catalog.int8)";

/// Whether this session can hold a lock at all. `$2` is the process that serves us, as the server said
/// when we connected.
const CANNOT: &str = "
    WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) $2::pg_catalog.int4 THEN 'pooler'
    WHEN pg_catalog.pg_is_in_recovery() THEN 'standby'";

/// How long ago the server started, in seconds by its own clock.
const AGE: &str = "pg_catalog.date_part('epoch',
    pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_postmaster_start_time())";

/// What the server is told for this session, as far as it has heard of it. A role or a database may
/// have other values.
///
/// The fence has to reach the server's disk, and no standby: see [`confirm`].
const SETTINGS: &str = "
    ('idle_session_timeout', '0'),
    ('synchronous_commit', 'local'),
    ('tcp_keepalives_idle', $3::pg_catalog.text),
    ('tcp_keepalives_interval', '4'),
    ('tcp_keepalives_count', '5'),
    ('tcp_user_timeout', $4::pg_catalog.text)";

/// The value of one of them. Only Linux has that timer. Not in the list itself, which a [`rehearsal`]
/// does not look into.
const VALUE: &str = "CASE WHEN name OPERATOR(pg_catalog.=) 'tcp_user_timeout'
        AND NOT (pg_catalog.version() OPERATOR(pg_catalog.~~) '%linux%')
    THEN '0' ELSE value END";

/// Looks, and takes the lock where it can: between two statements, a pooler could give us another
/// session, with the lock or the settings left in the first. `$3` and `$4` are tcp_keepalives_idle and
/// tcp_user_timeout, `$5` the age in seconds from which on a server gives locks.
///
/// The answer: what came of it, and the server's age.
pub fn attempt(shared: bool) -> String {
    let kind = if shared { "_shared" } else { "" };
    format!(
        "SELECT CASE {CANNOT}
            WHEN (SELECT pg_catalog.count(pg_catalog.set_config(name, {VALUE}, false))
                  FROM (VALUES {SETTINGS}) AS settings (name, value)
                  WHERE pg_catalog.current_setting(name, true) IS NOT NULL)
                OPERATOR(pg_catalog.=) 0
                THEN 'settings'
            WHEN {AGE} OPERATOR(pg_catalog.<) $5::pg_catalog.float8 THEN 'young'
            WHEN pg_catalog.pg_try_advisory_lock{kind}({KEY}) THEN 'locked'
            ELSE 'held'
        END, {AGE}"
    )
}

/// Looks whether the server has the lock: one that only speaks PostgreSQL's language may have said yes
/// and locked nothing. And asks for what the fence is made of.
///
/// A transaction that only has a number is forgotten by a crash within the next half second or so,
/// and its number is given once more: seen in 3 of 4 restarts. Whoever writes something is told only
/// when it is on the disk (synchronous_commit), so it writes a message, which nobody reads. A standby
/// need not have it: once one is promoted, its timeline is another.
///
/// The answer: how often we have the lock, the transaction's number, and the name of the file in
/// which the server writes, whose first eight digits are the timeline.
pub fn confirm() -> String {
    format!(
        "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
                WHERE {ROWS} OPERATOR(pg_catalog.=) {KEY}
                    AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()),
            pg_catalog.txid_current(),
            pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()),
            pg_catalog.pg_logical_emit_message(true, 'nonoverlap', ''::pg_catalog.text)"
    )
}

/// Has the server get ready for a statement without running it: it looks whether everything is there,
/// and whether we may call and read it.
pub fn rehearsal(statement: &str) -> String {
    format!("EXPLAIN {statement}")
}

/// Asks what the server is and who has the lock: a row for each, or one with nobody. Without names it
/// asks for nothing that a run does not need, too.
///
/// The answer: whether it can hold a lock, its age, its version, our role; the holder's process on the
/// server, its session's name, and for how many seconds it has had it: nothing was asked there since.
pub fn look(with_names: bool) -> String {
    let (name_and_time, names, order) = match with_names {
        true => (
            "application_name,
            pg_catalog.date_part('epoch',
                pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) query_start)",
            "LEFT JOIN pg_catalog.pg_stat_activity
                ON pg_stat_activity.pid OPERATOR(pg_catalog.=) pg_locks.pid",
            "ORDER BY query_start",
        ),
        false => ("NULL, NULL", "", ""),
    };
    format!(
        "SELECT CASE {CANNOT} ELSE 'fit' END,
            {AGE}, pg_catalog.current_setting('server_version', true), current_user,
            pg_locks.pid, {name_and_time}
        FROM (SELECT) AS always
            LEFT JOIN pg_catalog.pg_locks ON {ROWS} OPERATOR(pg_catalog.=) {KEY}
            {names}
        {order}"
    )
}
