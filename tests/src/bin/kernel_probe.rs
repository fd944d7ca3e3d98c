//! Runs in the guest of `cargo xtask test --kernels`: does this kernel load and run the XDP program?

use anyhow::{Context, Result, ensure};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use dns_userspace::dataplane::object;

/// XDP_PASS (include/uapi/linux/bpf.h).
const XDP_PASS: u32 = 2;

fn main() -> Result<()> {
    let object = object::OBJECT.context(object::ABSENT)?;
    let mut ebpf = aya::Ebpf::load(object).context("the object does not load")?;
    let program: &mut Xdp = ebpf
        .program_mut("hotdns")
        .context("the object has no program `hotdns`")?
        .try_into()
        .context("not XDP")?;
    program.load().context("the verifier refuses the program")?;
    let instructions = program.info().context("no program info")?.verified_instruction_count();
    println!("verified instructions: {instructions:?}");

    let frame = arp_request();
    let mut out = [0; 128];
    let options = TestRunOptions {
        data_in: Some(&frame),
        data_out: Some(&mut out),
        ..TestRunOptions::new()
    };
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN fails")?;
    ensure!(
        result.return_value == XDP_PASS,
        "an ARP frame: verdict {}, not XDP_PASS",
        result.return_value
    );
    ensure!(out[..frame.len()] == frame, "an ARP frame is changed");
    println!("passes what is not DNS, unchanged");
    Ok(())
}

/// A broadcast ARP request, padded as on the wire.
fn arp_request() -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame
}
