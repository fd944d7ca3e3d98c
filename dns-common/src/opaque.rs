//! Numbers of which the compiler for the kernel knows nothing.
//!
//! It knows more than verifiers: where it has proven a bound it drops the check that they want to see. Of a value that
//! came through here it has proven nothing. This costs one instruction, where [`core::hint::black_box`] writes to the
//! stack and reads it back. (With none, the line of the source would have no place in the program, and the kernel
//! refuses it.)

/// The same number.
#[inline(always)]
pub fn opaque(number: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    let number = through_a_register(number);
    number
}

/// The same reference.
#[inline(always)]
pub fn opaque_ref<T>(reference: &T) -> &T {
    #[cfg(target_arch = "bpf")]
    let reference = reference_through_a_register(reference);
    reference
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn through_a_register(mut number: u64) -> u64 {
    // SAFETY: a register is copied to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) number, options(nomem, nostack, preserves_flags)) };
    number
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn reference_through_a_register<T>(reference: &T) -> &T {
    let mut pointer: *const T = reference;
    // SAFETY: a register is copied to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) pointer, options(nomem, nostack, preserves_flags)) };
    // SAFETY: it is what it was, the address of what is borrowed.
    unsafe { &*pointer }
}
