//! The folder of a log, made where it is not there.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::model::error::Error;
use crate::sys;

/// Makes the folder of a log, and those on the way to it. Gives the ones that were not there.
pub fn make(log: &Path) -> Result<Vec<PathBuf>, Error> {
    let on_the_way = log.ancestors().skip(1);
    let missing: Vec<_> = on_the_way.take_while(|path| !path.is_dir()).collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => made.push(folder.to_owned()),
            Err(_) if folder.is_dir() => {}
            Err(error) => {
                remove(&made);
                let reason = match sys::errno_of(error) {
                    Errno::EXIST => Errno::NOTDIR,
                    other => other,
                };
                return Err(Error::LogFolder(log.as_os_str().to_owned(), reason));
            }
        }
    }
    Ok(made)
}

/// Removes folders that were made, the innermost first.
pub fn remove(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}
