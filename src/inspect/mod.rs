//! Who holds a lock, and since when: what the kernel confirms, not what the file claims. Never takes a
//! lock.

mod local;
mod process;
mod remote;
pub mod state;

use std::cell::LazyCell;

use crate::model::target::Place;
use crate::sys::Survey;
pub use process::has_let_go;
use state::Finding;

/// Looks at one lock. The survey is of every process here, and is taken when a lock needs it: one on a
/// server does not.
pub fn find(survey: &LazyCell<Survey>, place: Place) -> Finding {
    match place {
        Place::File(path) => local::file(survey, path),
        Place::Descriptor(number) => local::descriptor(survey, number),
        Place::Remote(word) => remote::find(word),
    }
}
