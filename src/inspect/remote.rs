//! A lock on a server: its helper is asked.

use std::ffi::CStr;

use super::state::{Finding, Verdict};
use crate::lock::helper::{self, NoHelper};
use crate::model::error::Reason;

/// Asks the helper who holds the lock. Takes none.
#[cold]
pub fn find(word: &'static CStr) -> Finding {
    let told = match helper::ask(&["--status".to_owned()], word, None) {
        Ok(heard) => match heard.status.code() {
            Some(0) => Verdict::Told(Some(true), heard.answer("held")),
            Some(3) => Verdict::Told(Some(false), heard.answer("free")),
            _ => Verdict::Told(None, heard.why()),
        },
        Err(NoHelper(name, reason)) => {
            let why = format!("cannot run {name}: {}", Reason(reason));
            Verdict::Told(None, why.into_bytes())
        }
    };
    Finding::of_server(told)
}
