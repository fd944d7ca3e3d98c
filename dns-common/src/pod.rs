//! The one place for `unsafe`: which kernel-shared types are plain bytes.
//!
//! Types of fixed layout without padding derive `bytemuck::Pod` where they stand. What is here cannot, since the derive
//! takes no const parameters.

use bytemuck::{Pod, Zeroable};

use crate::slot::Slot;

// SAFETY: a Pod header and octets; all-zero is a value of both.
unsafe impl<const BODY: usize> Zeroable for Slot<BODY> {}
// SAFETY: `repr(C, align(8))`; no padding as long as BODY is a multiple of 8, which holds for every class and is
// checked when the constant below is evaluated.
unsafe impl<const BODY: usize> Pod for Slot<BODY> {}

impl<const BODY: usize> Slot<BODY> {
    /// Fails to compile where the slot would have padding.
    pub const HAS_NO_PADDING: () = assert!(BODY.is_multiple_of(8));
}
