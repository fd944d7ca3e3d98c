#![no_std]
// Assembly for the kernel is not stable; what compiles for it has what is not.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![forbid(unsafe_op_in_unsafe_fn)]
//! The contract between kernel and userspace, and the answering core that both planes run.
//!
//! ```text
//!  message bytes ─► scan ─► question ─► search (hash, line, directory) ─► decide ─► prepare ─► reply
//!                                          │                                │
//!                                          ▼                                ▼
//!                                   table of lines                   slots of ready answers
//! ```
//!
//! Nothing here allocates, knows packets or maps, or reads a clock: a plane implements [`message::Message`] over its
//! buffer and [`table::Table`] over its memory, and performs the verdict. So equal inputs give
//! equal bytes in the XDP program and on sockets. `unsafe` is confined to [`pod`] and
//! [`opaque`].

pub mod access;
pub mod address;
pub mod arrange;
pub mod checksum;
pub mod cookie;
pub mod counters;
pub mod decide;
pub mod hash;
pub mod hot;
pub mod limit;
pub mod line;
pub mod message;
pub mod opaque;
pub mod order;
pub mod pod;
pub mod prepare;
pub mod reason;
pub mod reply;
pub mod scan;
pub mod scratch;
pub mod search;
pub mod settings;
pub mod slot;
pub mod table;
pub mod tap;
pub mod wire;
