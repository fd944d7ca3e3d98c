//! The fuzzer's corpus, replayed: what it began with, and every case it found.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tests::fuzzing::{TARGETS, Target};

fn replay(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut cases = 0;
    for entry in fs::read_dir(&folder).expect("a folder of the corpus") {
        let path = entry.expect("readable").path();
        let octets = fs::read(&path).expect("readable");
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&octets))).is_err() {
            panic!("{} fails: the panic is above", path.display());
        }
        cases += 1;
    }
    assert!(cases >= 10, "{cases} cases in {}", folder.display());
}

#[test]
fn messages_do_no_harm() {
    replay("message");
}

#[test]
fn zone_files_do_no_harm() {
    replay("zone_file");
}

#[test]
fn zones_and_queries_do_no_harm() {
    replay("answer");
}
