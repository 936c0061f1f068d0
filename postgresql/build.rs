//! Looks whether libpq can be linked, before the linker says so in a thousand lines.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    // What is the default for musl is not among the features that cargo tells. (Alpine's own Rust, for
    // x86_64-alpine-linux-musl, has another one.)
    let is_for_musl = variable("CARGO_CFG_TARGET_ENV") == "musl"
        && variable("CARGO_CFG_TARGET_VENDOR") == "unknown"
        && !variable("CARGO_ENCODED_RUSTFLAGS").contains("-crt-static");
    if is_for_musl || features.split(',').any(|feature| feature == "crt-static") {
        println!(
            "cargo::error=libpq is linked dynamically, and this would be a static program: run cargo \
             in the folder postgresql (cd postgresql && cargo build), for musl with \
             RUSTFLAGS=-Ctarget-feature=-crt-static"
        );
    }
}
