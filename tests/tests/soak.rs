//! The first steps of `bench soak`, of seeds that always are the same.

use std::process::Command;

use anyhow::{Result, ensure};
use tests::net::is_skipped;

fn soak(seed: u64, steps: u64) -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    // By number of steps: how long they take is the machine's.
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["soak", "--seed", &seed.to_string(), "--steps", &steps.to_string()])
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{said}");
    // A soak in which nothing happens passes, too.
    ensure!(said.contains(&format!("steps {steps:>18}")), "{said}");
    Ok(())
}

#[test]
fn reloads_interfaces_edits_and_hostile_clients_cost_no_answer() -> Result<()> {
    soak(1, 60)
}

#[test]
fn another_seed_costs_none_either() -> Result<()> {
    soak(2, 40)
}
