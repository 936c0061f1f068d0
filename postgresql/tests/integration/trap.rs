//! Promises about a database where others may create things: nothing of theirs is run in our session.
//! Up to PostgreSQL 14 everybody may create in the schema public.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{HOLD, Holder, Run, eventually, kill};
use crate::refusal::{RAN, nothing_is_left, runs};
use crate::server::{ADMIN, ROLE, Server, nonoverlap, psql_at};

/// What the server logs when something of the traps is run.
const SPRUNG: &str = "trap sprung: ";

/// In the schema public, one of each kind of thing that pg_catalog has: each function that takes
/// ordinary values, each operator, table, view and type. It says so, and does what that of pg_catalog
/// does. Then some that fit better than anything in pg_catalog.
const TRAPS: &str = r#"
SET search_path = pg_catalog;

CREATE FUNCTION public.spring(what pg_catalog.text) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE LOG 'trap sprung: %', what; RETURN true; END $$;

DO $$
DECLARE
    thing record;
    call text;
BEGIN
    FOR thing IN SELECT oid, relname FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
            AND relname NOT LIKE 'pg_statistic%'
            AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid
                AND atttypid = 'anyarray'::regtype)
    LOOP
        EXECUTE format('CREATE VIEW public.%1$I AS SELECT * FROM pg_catalog.%1$I
            WHERE public.spring(%1$L)', thing.relname);
    END LOOP;

    FOR thing IN SELECT oid, typname FROM pg_type
        WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typcategory <> 'A'
            AND typname !~ '^(pg|any)_'
    LOOP
        EXECUTE format('CREATE DOMAIN public.%1$I AS pg_catalog.%1$I
            CHECK (public.spring(%1$L))', thing.typname);
    END LOOP;

    FOR thing IN SELECT proname, prorettype::regtype AS gives,
            pg_get_function_identity_arguments(p.oid) AS takes,
            (SELECT string_agg('$' || i, ', ') FROM generate_series(1, pronargs) AS i) AS given
        FROM pg_proc AS p
        WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset
            AND provariadic = 0 AND proargmodes IS NULL
            AND (prorettype = 'void'::regtype
                OR EXISTS (SELECT FROM pg_type WHERE oid = prorettype AND typtype = 'b'))
            AND NOT EXISTS (SELECT FROM unnest(proargtypes) AS argument JOIN pg_type AS t
                ON t.oid = argument WHERE typtype = 'p')
    LOOP
        call := format('pg_catalog.%I(%s)', thing.proname, thing.given);
        call := CASE thing.gives WHEN 'void'::regtype THEN 'PERFORM ' ELSE 'RETURN ' END || call;
        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql
            AS %L', thing.proname, thing.takes, thing.gives,
            format('BEGIN PERFORM public.spring(%L); %s; END', thing.proname, call));
    END LOOP;

    FOR thing IN SELECT oid, oprname, oprresult::regtype AS gives,
            oprleft::regtype AS one, oprright::regtype AS other
        FROM pg_operator AS o
        WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b' AND NOT EXISTS
            (SELECT FROM pg_type AS t WHERE typtype = 'p' AND t.oid IN (oprleft, oprright, oprresult))
    LOOP
        EXECUTE format('CREATE FUNCTION public.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql
            AS %L', thing.oid, thing.one, thing.other, thing.gives,
            format('BEGIN PERFORM public.spring(%L); RETURN $1 OPERATOR(pg_catalog.%s) $2; END',
                thing.oprname, thing.oprname));
        EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.operator_%s,
            LEFTARG = %s, RIGHTARG = %s)', thing.oprname, thing.oid, thing.one, thing.other);
    END LOOP;
END
$$;

CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN PERFORM public.spring('hashtextextended(text, integer)'); RETURN 1; END $$;
CREATE FUNCTION public.one_more(bigint) RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN PERFORM public.spring('count(*)'); RETURN $1 + 1; END $$;
CREATE FUNCTION public.one_more(bigint, text) RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN PERFORM public.spring('count(text)'); RETURN $1 + 1; END $$;
CREATE AGGREGATE public.count(*) (SFUNC = public.one_more, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE public.count(text) (SFUNC = public.one_more, STYPE = bigint, INITCOND = '0');
"#;

/// A server with all that, whose role looks for names in this order. What the role's sessions are told
/// to do is in the log, with the name of each.
fn trapped(search_path: &str) -> Server {
    let server = Server::with("log_statement = all\nlog_line_prefix = '%a|'");
    server.sql(TRAPS);
    server.sql(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE};
        ALTER ROLE {ADMIN} SET search_path = pg_catalog, pg_temp;
        ALTER DATABASE postgres SET search_path = {search_path};"
    ));
    forget(&server);
    server
}

/// Empties the log.
fn forget(server: &Server) {
    fs::write(server.scene.path("log"), "").unwrap();
}

/// What of the traps was run.
fn sprung(server: &Server) -> Vec<String> {
    let log = server.log();
    let names = log.lines().filter_map(|line| line.split_once(SPRUNG));
    let mut names: Vec<_> = names.map(|(_, name)| name.to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// Has nonoverlap ask all that it ever asks.
fn ask_all(server: &Server) {
    let lock = server.lock("job");
    runs(&mut nonoverlap([&lock]));
    server.until_free("job");
    let free = nonoverlap(["--status", &lock]).run();
    assert_eq!(free.code(), Some(3), "{free:?}");

    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    assert_eq!(server.holders("job"), 1);
    let named = format!("PID {} (", holder.pid());
    for options in [&["-v"][..], &["-v", "-s"], &["-v", "-w", "0.2"]] {
        let refused = nonoverlap(options).arg(&lock).args(RAN).run();
        assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
        assert!(refused.stderr().contains(&named), "{refused:?}");
    }
    let held = nonoverlap(["--status", &lock]).run();
    assert_eq!(held.code(), Some(0), "{held:?}");
    assert!(held.stdout().contains(&named), "{held:?}");
    let mut waiters = Vec::new();
    for options in [&["-b"][..], &["-s", "-w", "50"]] {
        let waiter = nonoverlap(options).arg(&lock).arg("true").spawn();
        waiters.push(waiter.unwrap());
        let pid = waiters[waiters.len() - 1].id();
        eventually("it waits", || server.waits(pid));
    }
    holder.end();
    for mut waiter in waiters {
        assert!(waiter.wait().unwrap().success());
    }
    server.until_free("job");

    let shared = Holder::start(nonoverlap(["-s", &lock]).args(HOLD));
    runs(&mut nonoverlap(["-s", &lock]));
    nonoverlap([&lock]).args(RAN).run().expect(1, "", "");
    shared.end();
    server.until_free("job");

    runs(&mut nonoverlap(["--hold-at-least", "300", &lock]));
    nonoverlap([&lock]).args(RAN).run().expect(1, "", "");
    for helper in server.helpers() {
        kill(helper, libc::SIGKILL);
    }
    server.until_free("job");
    nothing_is_left(server);
}

#[test]
fn nothing_that_others_made_in_the_database_is_run() {
    // The default, and the worst, with what one statement without schemas runs of the traps.
    let better = "hashtextextended(text, integer)";
    let all = ["=", "current_database", better, "pg_database", "text"];
    for (search_path, sprung_by_one) in [
        ("\"$user\", public", &[better][..]),
        ("public, pg_catalog, pg_temp", &all),
    ] {
        let server = trapped(search_path);
        server.psql(
            ROLE,
            "SELECT hashtextextended('x'::text, 0) FROM pg_database
            WHERE datname = current_database()",
        );
        assert_eq!(sprung(&server), sprung_by_one, "{search_path}");
        forget(&server);

        ask_all(&server);
        let none: [&str; 0] = [];
        assert_eq!(sprung(&server), none, "{search_path}");
        let statements = statements(&server.log());
        assert!(statements.len() > 20, "{statements:?}");
        for statement in statements {
            let open = open_to_others(&statement);
            assert_eq!(open, none, "in {statement}");
        }
    }
}

#[test]
fn nor_is_it_by_what_the_manual_has_for_psql() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man/nonoverlap-postgresql.1");
    let manual = fs::read_to_string(manual).unwrap();
    let recipe = |start: &str| {
        let from = manual.find(start).unwrap();
        manual[from..].split(".Ed").next().unwrap().to_owned()
    };
    let who_holds = recipe("SET search_path");
    let hold_off = recipe("SELECT pg_catalog.pg_advisory_lock(");

    let server = trapped("public, pg_catalog, pg_temp");
    let lock = server.lock("parser");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let who = server.psql(ROLE, &who_holds);
    let named = format!(" {} sh", holder.pid());
    assert!(who.stdout().contains(&named), "{who:?}");
    assert_eq!(who.stdout().lines().count(), 1, "{who:?}");
    holder.end();
    server.until_free("parser");

    let stays_open = format!("{hold_off}SELECT 'held' FROM pg_catalog.pg_sleep(60);");
    let mut psql = server.psql_command(ROLE, &stays_open);
    let mut psql = psql.stderr(Stdio::null()).spawn().unwrap();
    eventually("psql has it", || server.holders("parser") == 1);
    let refused = nonoverlap([&lock]).args(RAN).run();
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
    psql.wait().unwrap();
    refused.expect(1, "", "");

    server.sql(&recipe("CREATE TABLE"));
    server.sql(&format!("GRANT SELECT, UPDATE ON public.report TO {ROLE}"));
    let update = server.scene.file("report.sql", recipe("UPDATE "));
    // The second one is late.
    for (total, seen) in [("2", "2"), ("1", "2"), ("3", "3")] {
        let mut psql = psql_at(ROLE, server.port);
        psql.arg("-f").arg(&update);
        let fence = format!("000000000100000000000000000{total}00");
        psql.arg("-v").arg(format!("total={total}"));
        psql.arg("-v").arg(format!("fence={fence}"));
        psql.run().expect(0, "", "");
        assert_eq!(server.sql("SELECT total FROM public.report"), seen);
    }
    let none: [&str; 0] = [];
    assert_eq!(sprung(&server), none);
}

/// All that was asked in our sessions, by the server's log.
fn statements(log: &str) -> Vec<String> {
    let log = log.replace("\n\t", " ");
    let ours = log.lines().filter(|line| line.starts_with("nonoverlap "));
    let asked = ours.filter_map(|line| {
        let said = line.split_once("|LOG:  ")?.1;
        let is_asked = said.starts_with("execute ") || said.starts_with("statement: ");
        let (_, statement) = said.split_once(": ").filter(|_| is_asked)?;
        Some(statement.to_owned())
    });
    asked.collect()
}

/// What PostgreSQL would look for in the search path: a function, a type, a table or an operator
/// without its schema, and a word of SQL that stands for an operator.
fn open_to_others(statement: &str) -> Vec<String> {
    let words = words(statement);
    let word = |index: usize| words.get(index).map_or("", |word| &**word);
    let mut open = Vec::new();
    for index in 0..words.len() {
        let (this, next) = (word(index), word(index + 1));
        let before = if index == 0 { "" } else { word(index - 1) };
        let is_found = match this.to_uppercase().as_str() {
            "LIKE" | "ILIKE" | "SIMILAR" | "IN" | "BETWEEN" | "DISTINCT" | "NULLIF" | "USING"
            | "NATURAL" | "ANY" | "SOME" | "ALL" | "ROW" | "CAST" | "COLLATE" | "OVERLAPS"
            | "EXTRACT" | "POSITION" | "SUBSTRING" | "TRIM" => true,
            // Of `CASE x WHEN y`, which compares.
            "CASE" => next.to_uppercase() != "WHEN",
            _ if this.starts_with(is_of_a_name) && next == "(" && before != "." => {
                let grammar = [
                    "SELECT", "FROM", "WHERE", "AND", "OR", "ON", "AS", "VALUES", "OPERATOR",
                    "NOT", "JOIN", "WHEN", "THEN", "ELSE", "BY",
                ];
                let names_columns = before.to_uppercase() == "AS";
                !names_columns && !grammar.contains(&&*this.to_uppercase())
            }
            _ if ["FROM", "JOIN", "::"].contains(&&*before.to_uppercase()) => {
                this != "(" && !(this == "pg_catalog" && next == ".")
            }
            _ => {
                let is_operator = this.starts_with(is_of_an_operator) && this != "::";
                let all = this == "*" && before == "(" && next == ")";
                is_operator && !all && before != "."
            }
        };
        if is_found {
            open.push(format!("{before} {this} {next}"));
        }
    }
    open
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || "_$".contains(letter)
}

fn is_of_an_operator(letter: char) -> bool {
    "+-*/<>=~!@#%^&|`?:".contains(letter)
}

/// The words of a statement, without what stands in quotes.
fn words(statement: &str) -> Vec<String> {
    let parts = statement.split('\'').step_by(2);
    let text: String = parts.collect::<Vec<_>>().join(" 0 ");
    let mut words: Vec<String> = Vec::new();
    let mut kind = ' ';
    for letter in text.chars() {
        let this = match letter {
            _ if letter.is_whitespace() => ' ',
            _ if is_of_a_name(letter) => 'a',
            _ if is_of_an_operator(letter) => '=',
            _ => '(',
        };
        match words.last_mut() {
            _ if this == ' ' => {}
            Some(word) if this == kind && this != '(' => word.push(letter),
            _ => words.push(letter.to_string()),
        }
        kind = this;
    }
    words
}

#[test]
fn the_check_of_the_statements_finds_each_kind() {
    for (statement, open) in [
        ("SELECT pg_catalog.now()", 0),
        ("SELECT now()", 1),
        ("SELECT 1 OPERATOR(pg_catalog.=) 1", 0),
        ("SELECT 1 = 1", 1),
        ("SELECT 'a = b(c)'", 0),
        ("SELECT $1::pg_catalog.text", 0),
        ("SELECT $1::text", 1),
        ("SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks", 0),
        ("SELECT pg_catalog.count(*) FROM pg_locks", 1),
        ("SELECT a IS NOT NULL FROM (VALUES (1)) AS b (a)", 0),
        ("SELECT a IN (1) FROM (VALUES (1)) AS b (a)", 1),
        ("SELECT CASE WHEN true THEN 1 END", 0),
        ("SELECT CASE 1 WHEN 1 THEN 1 END", 1),
        ("SELECT 'a' LIKE 'b'", 1),
        ("SELECT FROM pg_catalog.a JOIN pg_catalog.b USING (c)", 1),
    ] {
        let found = open_to_others(statement);
        assert_eq!(found.len(), open, "{statement}: {found:?}");
    }
}
