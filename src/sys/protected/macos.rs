//! macOS asks the user before a program may read these, and cron has nobody to ask
//! (<https://support.apple.com/guide/mac-help/mchld5a35146/mac>). Full Disk Access lifts it.

/// Folders in the user's home that cron's jobs cannot read unless cron has Full Disk Access: iCloud Drive
/// and the drives of other clouds are the last two.
pub const PROTECTED_FOLDERS: &[&str] = &[
    "Desktop",
    "Documents",
    "Downloads",
    "Library/Mobile Documents",
    "Library/CloudStorage",
];
