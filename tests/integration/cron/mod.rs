//! The crontab entry of a run: `--install`, `--uninstall`, and what cron itself makes of it.

mod at_once;
mod crontab_errors;
pub mod install;
mod installed;
mod quoting;
mod random_crontabs;
#[cfg(target_os = "linux")] // Namespaces are Linux's.
mod real_daemon;
#[cfg(target_os = "linux")]
mod real_daemon_install;
