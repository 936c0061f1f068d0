//! What the tests share and what holds no test: starting and watching runs, and ways to see or make
//! what a plain run would not show or meet.

#[path = "../../inside/dice.rs"]
pub mod dice;
pub mod harness;

#[cfg(target_os = "linux")] // setsid(1) is util-linux's.
pub mod at_terminal;
#[cfg(target_os = "linux")] // Namespaces are Linux's.
pub mod cron_daemon;
pub mod crontab;
pub mod documents;
#[cfg(target_os = "linux")] // util-linux and /proc are Linux's.
pub mod flock_differences;
#[cfg(target_os = "linux")]
pub mod flock_lines;
#[cfg(target_os = "linux")] // Its tools are util-linux's.
pub mod machine;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod ptrace;
#[cfg(target_os = "linux")]
pub mod real_commands;
#[cfg(target_os = "linux")]
pub mod refused_call;
pub mod remote_server;
#[cfg(target_os = "linux")] // seccomp is Linux's.
pub mod seccomp;
pub mod status_answer;
pub mod terminal;
