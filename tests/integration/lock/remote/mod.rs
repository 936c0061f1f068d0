//! Locks that a server keeps, through the helper of their scheme.

#[cfg(target_os = "linux")] // What is lost is told by a guardian that was tried here.
mod etcd;
mod failing;
mod fence;
mod handover;
#[cfg(target_os = "linux")] // Elsewhere nothing tells of a lost lock.
mod lost;
mod refused;
mod secret;
#[cfg(target_os = "linux")] // They are seen in /proc.
mod surroundings;
