//! A lock on a server: its helper is asked.

use std::ffi::CStr;

use super::state::{LockReport, LockState};
use crate::lock::helper::{self, Limit, NoHelper};
use crate::model::error::Reason;

/// Asks the helper who holds the lock. Takes none.
pub fn inspect(word: &'static CStr) -> LockReport {
    let limit = Limit::After(helper::TIME);
    let told = match helper::ask(&["--status".to_owned()], word, None, limit) {
        Ok(output) => match output.status.code() {
            Some(0) => LockState::Remote(Some(true), output.answer("held")),
            Some(3) => LockState::Remote(Some(false), output.answer("free")),
            _ => LockState::Remote(None, output.why()),
        },
        Err(NoHelper(name, reason)) => {
            let why = format!("cannot run {name}: {}", Reason(reason));
            LockState::Remote(None, why.into_bytes())
        }
    };
    LockReport::of_server(told)
}
