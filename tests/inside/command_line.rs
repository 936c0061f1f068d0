use std::ffi::{CStr, CString, c_char};
use std::ptr;

use super::dice::Dice;
use super::{bytes, many_times};
use crate::cli::{self, help};
use crate::model::command::CommandLine;
use crate::model::dialect::Dialect;
use crate::model::error::Error;
use crate::model::lock::LockApi;
use crate::model::request::{Install, Page, Request};
use crate::model::target::LockTarget;
use crate::sys::Words;

/// What stands behind options and as words, as it is or with something behind it.
const VALUES: [&str; 24] = [
    "",
    "-",
    "--",
    "-c",
    "0",
    "3",
    "5",
    "255",
    "-1",
    "1e9",
    "NaN",
    "inf",
    "0x10",
    "017",
    "1.5K",
    "0.0009E",
    "9223372036854775807",
    "1d",
    "90s",
    "lock",
    "a://b",
    "command",
    "=",
    "--=",
];

#[test]
fn any_command_line_is_a_request_for_a_tail_of_itself_or_is_refused() {
    let options = options();
    many_times(|dice| {
        let line = line(dice, &options);
        let dialect = *dice.one_of(&[Dialect::Nonoverlap, Dialect::Flock]);
        let mut argv: Vec<*const c_char> = line.iter().map(|word| word.as_ptr()).collect();
        argv.push(ptr::null());
        // SAFETY: a list that ends with a null pointer, of strings that outlive the request.
        let words = unsafe { Words::new(line.len() as i32, argv.as_ptr()) };
        match cli::read(words, dialect) {
            Err(Error::Usage(text)) => assert!(!text.is_empty(), "{line:?}"),
            Err(_) => panic!("an error of something else than usage: {line:?}"),
            Ok(request) => check(request, &line),
        }
    });
}

/// The options as `--help` shows them, with their dashes.
fn options() -> Vec<String> {
    let mut options = Vec::new();
    for dialect in [Dialect::Nonoverlap, Dialect::Flock] {
        let page = help::text(Page::Help(dialect));
        let words = page.split(|letter: char| letter.is_whitespace() || letter == ',');
        let words = words.filter(|word| word.starts_with('-') && word.len() > 1);
        options.extend(words.map(str::to_owned));
    }
    assert!(options.len() > 50 && options.contains(&"--fcntl".to_owned()));
    options
}

fn line(dice: &mut Dice, options: &[String]) -> Vec<CString> {
    let count = dice.below(9);
    (0..count).map(|_| word(dice, options)).collect()
}

fn word(dice: &mut Dice, options: &[String]) -> CString {
    let mut word = match dice.below(8) {
        0 => bytes(dice, b"-=nwc\xff\xc3\xa9 0", 12),
        1..=3 => Vec::from(*dice.one_of(&VALUES)),
        _ => dice.one_of(options).clone().into_bytes(),
    };
    match dice.below(8) {
        0 => word.extend(dice.one_of(&VALUES).bytes()),
        1 => word.extend([b"=", dice.one_of(&VALUES).as_bytes()].concat()),
        2 => word.extend(bytes(dice, b"0123456789.KMGTPEiBsmhd", 24)),
        _ => {}
    }
    word.retain(|&byte| byte != 0);
    CString::new(word).unwrap()
}

/// What no combination of options may come to.
fn check(request: Request, line: &[CString]) {
    let is_of_line = |it: &CStr| line.iter().any(|word| ptr::eq(word.as_ptr(), it.as_ptr()));
    match request {
        Request::Run(run) | Request::Install(Install { run, .. }) => {
            // What is executed stands right behind what is locked.
            if let (
                LockTarget::File(path) | LockTarget::Remote(path),
                CommandLine::Words(_, words),
            ) = (run.target, run.command)
            {
                let place = line.len() - words.count() - 1;
                assert!(ptr::eq(path.as_ptr(), line[place].as_ptr()), "{line:?}");
                assert!(are_options(&line[1..place]), "{line:?}");
            }
            match run.command {
                CommandLine::Line(text) => assert!(is_of_line(text), "{line:?}"),
                CommandLine::Words(name, words) => {
                    let tail = &line[line.len() - words.count()..];
                    assert!(ptr::eq(name.as_ptr(), tail[0].as_ptr()), "{line:?}");
                    assert!(words.iter().eq(tail.iter().map(CString::as_c_str)));
                }
            }
            assert!(run.slots.is_none_or(|slots| (1..=999).contains(&slots)));
            let is_flock = run.options.api == LockApi::Flock;
            assert!(is_flock || !run.options.writes_record, "{line:?}");
            let is_remote = matches!(run.target, LockTarget::Remote(_));
            let is_for_a_file = run.slots.is_some() || !is_flock;
            assert!(!(is_remote && is_for_a_file), "{line:?}");
            assert!(is_remote || run.hold_at_least.is_none(), "{line:?}");
        }
        Request::Status(asked) => {
            assert!(asked.paths.count() > 0, "{line:?}");
            assert!((1..=999).contains(&asked.slots), "{line:?}");
        }
        Request::Uninstall(LockTarget::File(word) | LockTarget::Remote(word), _) => {
            assert!(is_of_line(word), "{line:?}");
        }
        Request::Uninstall(..) => panic!("{line:?}"),
        Request::History(word, _) => assert!(is_of_line(word), "{line:?}"),
        Request::Show(_)
        | Request::StatusOfInstalled(_)
        | Request::Unlock(..)
        | Request::Lock(..) => {}
    }
}

/// Whether these can all be options and their values: a word without a dash stands behind one with.
fn are_options(words: &[CString]) -> bool {
    let is_plain = |word: &CString| !word.as_bytes().starts_with(b"-");
    let follows_no_option = |pair: &[CString]| is_plain(&pair[0]) && is_plain(&pair[1]);
    !words.first().is_some_and(is_plain) && !words.windows(2).any(follows_no_option)
}
