//! Looks whether libpq can be linked, before the linker says so in a thousand lines.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    if is_static && env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!(
            "cargo::error=libpq is linked dynamically, and cargo's flags of here are for a static \
             program: run cargo in the folder postgresql (cd postgresql && cargo build)"
        );
    }
}
