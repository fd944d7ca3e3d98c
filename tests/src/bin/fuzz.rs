//! The coverage-guided fuzzer: `cargo xtask fuzz` builds it, instrumented, and says which target it is to run.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tests::fuzzing::{TARGETS, Target};

/// Named by `HOTDNS_FUZZ_TARGET`.
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("HOTDNS_FUZZ_TARGET").expect("`cargo xtask fuzz` sets HOTDNS_FUZZ_TARGET");
    *TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target that there is")
});

fuzz_target!(|octets: &[u8]| (TARGET.run)(octets));
