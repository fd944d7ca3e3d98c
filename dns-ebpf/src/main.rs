#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// The target has no atomics in core.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(not(target_arch = "bpf"), allow(dead_code, reason = "only tests run on the host"))]
//! The XDP program: answers hot queries at the network card, passes all else up untouched.
//!
//! ```text
//!  frame ─► parse (offsets, own address?) ─► scan ─► decide ─► grow (tail, head) ─► write ─► XDP_TX
//!              │ not ours: pass, uncounted     │        │            │
//!              └───────────────────────────────┴────────┴────────────┴─► pass, with a counted reason
//! ```
//!
//! Nothing is written before the answer is sure to fit; a packet that was written to is sent or dropped. A frame that
//! has grown and is not answered shrinks back before it is passed. What a
//! question gets is decided by `dns_common::decide`, which sockets run as well. Packet pointers are `packet.rs`'s,
//! map pointers `maps.rs`'s, and of the ring that answers are shown in `tap.rs`'s.
//!
//! `cargo test -p dns-ebpf` compiles for the host what is arithmetic: which offsets a frame has (`parse.rs`), and how a
//! frame becomes longer (`grow.rs`). A stand-in takes the place of the maps there. The rest is tested as the kernel
//! runs it, in `tests/`.

mod grow;
#[cfg_attr(not(target_arch = "bpf"), path = "maps/host.rs")]
mod maps;
mod packet;
mod parse;
#[cfg(target_arch = "bpf")]
mod program;
#[cfg(target_arch = "bpf")]
mod respond;
#[cfg(target_arch = "bpf")]
mod steps;
#[cfg(target_arch = "bpf")]
mod tap;

use dns_common::reason::{DropReason, PassReason};

/// What becomes of a packet.
#[cfg_attr(not(target_arch = "bpf"), derive(Debug, PartialEq))]
enum Verdict {
    /// Not for us: up, uncounted.
    NotOurs,
    /// For us, and up untouched.
    Pass(PassReason),
    /// For us as far as can be seen, and up untouched, once its client is charged: sockets take it for charged.
    Unread(PassReason),
    /// For us, and not to be answered; or changed, and cannot be finished.
    Drop(DropReason),
    /// Answered in place.
    Answer,
}

/// There is nothing to run on the host, where the kernel's maps and helpers are not.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("dns-ebpf is built for the kernel: cargo xtask build-ebpf");
}
