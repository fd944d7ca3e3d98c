//! The one place for `unsafe`: which kernel-shared types are plain bytes.
//!
//! Types of fixed layout without padding derive `bytemuck::Pod` where they stand. What is here cannot, since the derive
//! takes no const parameters.

use bytemuck::{Pod, Zeroable};

use crate::slot::{CLASS_BYTES, SLOT_CLASSES, SLOT_HEADER_BYTES, Slot, SlotHeader};

/// Slots of these classes are plain bytes. One of another size may have padding, and is not:
///
/// ```compile_fail
/// let odd: dns_common::slot::Slot<73> = bytemuck::Zeroable::zeroed();
/// ```
///
/// ```
/// let slot: dns_common::slot::Slot<72> = bytemuck::Zeroable::zeroed();
/// assert_eq!(bytemuck::bytes_of(&slot).len(), 96);
/// ```
macro_rules! plain_slots {
    ($($class:literal),*) => {
        const _: () = assert!([$($class),*].len() == SLOT_CLASSES, "every class is named");
        $(
            const _: () = assert!(
                size_of::<Slot<{ CLASS_BYTES[$class] - SLOT_HEADER_BYTES }>>() == CLASS_BYTES[$class]
                    && size_of::<SlotHeader>() == SLOT_HEADER_BYTES,
                "a slot is its header and its body, without padding",
            );
            // SAFETY: a Pod header and octets; all-zero is a value of both.
            unsafe impl Zeroable for Slot<{ CLASS_BYTES[$class] - SLOT_HEADER_BYTES }> {}
            // SAFETY: `repr(C, align(8))` of a Pod header and octets; without padding, as just asserted.
            unsafe impl Pod for Slot<{ CLASS_BYTES[$class] - SLOT_HEADER_BYTES }> {}
        )*
    };
}

plain_slots!(0, 1, 2, 3, 4, 5, 6);
