//! The XDP program's object file, embedded when this crate was built.
//!
//! The build script finds it; where there was none, the server works without XDP and says [`ABSENT`].

/// What to tell the user where [`OBJECT`] is `None`.
pub const ABSENT: &str = "built without the XDP program; run `cargo xtask build`";

/// The object file, 8-byte aligned as an ELF reader wants it, or `None` where the build found none.
#[cfg(embedded_object)]
pub static OBJECT: Option<&[u8]> = Some(&ALIGNED.0);

/// The object file, 8-byte aligned as an ELF reader wants it, or `None` where the build found none.
#[cfg(not(embedded_object))]
pub static OBJECT: Option<&[u8]> = None;

#[cfg(embedded_object)]
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

#[cfg(embedded_object)]
static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("HOTDNS_EMBEDDED_OBJECT")));

#[cfg(all(test, embedded_object))]
mod tests {
    use super::OBJECT;

    #[test]
    fn is_an_aligned_elf_file_for_bpf() {
        let object = OBJECT.expect("built with an object");
        assert_eq!(object.as_ptr() as usize % 8, 0);
        assert_eq!(&object[..6], b"\x7fELF\x02\x01", "64-bit, little-endian");
        assert_eq!(&object[18..20], &247u16.to_le_bytes(), "e_machine is EM_BPF");
    }
}
