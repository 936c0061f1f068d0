//! Elsewhere cron may read what its user may read.

/// None.
pub const PROTECTED_FOLDERS: &[&str] = &[];
