//! Locks that a server keeps, through the helper of their scheme.

mod failing;
mod fence;
mod handover;
#[cfg(target_os = "linux")] // Elsewhere nothing tells of a lost lock.
mod lost;
mod refused;
mod secret;
#[cfg(target_os = "linux")] // They are seen in /proc.
mod surroundings;
