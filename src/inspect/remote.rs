//! A lock on a server: its helper is asked.

use std::ffi::CStr;

use super::state::{LockReport, LockState};
use crate::lock::helper::{self, Limit, NoHelper};
use crate::lock::lines::StatusAnswer;
use crate::model::error::Reason;

/// Asks the helper who holds the lock. Takes none.
pub fn inspect(word: &'static CStr) -> LockReport {
    let limit = Limit::After(helper::TIME);
    let told = match helper::ask(&["--status".to_owned()], word, None, limit) {
        Ok(output) => match output.status.code() {
            Some(0) => {
                let answer = StatusAnswer::read(&output.text, word);
                LockState::Remote(Some(true), answer.or("held"))
            }
            Some(3) => {
                let answer = StatusAnswer::read(&output.text, word);
                LockState::Remote(Some(false), StatusAnswer::of(answer.or("free").text))
            }
            _ => LockState::Remote(None, StatusAnswer::of(output.why())),
        },
        Err(NoHelper(name, reason)) => {
            let why = format!("cannot run {name}: {}", Reason(reason));
            LockState::Remote(None, StatusAnswer::of(why))
        }
    };
    LockReport::of_server(told)
}
