//! The folders that a run needs, made where they are not there.

use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::model::error::Error;
use crate::sys;

/// A file whose folder is wanted.
pub struct Wanted<'a> {
    /// What is done for it, for people.
    pub verb: &'static str,
    /// Its absolute path.
    pub file: &'a Path,
    /// The mode of each folder that is made for it, less the umask.
    pub mode: u32,
}

/// Refuses a folder that is not there and whose name begins with `~`: a shell has left it as it was.
///
/// # Errors
///
/// [`Error::Folder`] with ENOENT.
pub fn check(wanted: &[Wanted<'_>]) -> Result<(), Error> {
    let is_tilde = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default();
        name.as_bytes().starts_with(b"~") && !folder.is_dir()
    };
    match wanted
        .iter()
        .find(|it| it.file.ancestors().skip(1).any(is_tilde))
    {
        Some(it) => {
            let file = it.file.as_os_str().to_owned();
            Err(Error::Folder(it.verb, file, Errno::NOENT))
        }
        None => Ok(()),
    }
}

/// Makes the folders of these files, and those on the way to them. Gives the ones that were not there.
///
/// # Errors
///
/// None of them is left then.
pub fn make(wanted: &[Wanted<'_>]) -> Result<Vec<PathBuf>, Error> {
    let mut made = Vec::new();
    for it in wanted {
        make_for(it, &mut made).map_err(|reason| {
            remove(&made);
            Error::Folder(it.verb, it.file.as_os_str().to_owned(), reason)
        })?;
    }
    Ok(made)
}

/// Makes those of one file.
fn make_for(wanted: &Wanted<'_>, made: &mut Vec<PathBuf>) -> Result<(), Errno> {
    let on_the_way = wanted.file.ancestors().skip(1);
    let missing: Vec<_> = on_the_way.take_while(|path| !path.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(wanted.mode).create(folder) {
            Ok(()) => made.push(folder.to_owned()),
            Err(_) if folder.is_dir() => {}
            Err(error) => {
                return Err(match sys::errno_of(error) {
                    Errno::EXIST => Errno::NOTDIR,
                    other => other,
                });
            }
        }
    }
    Ok(())
}

/// Removes folders that were made, the innermost first.
pub fn remove(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}
