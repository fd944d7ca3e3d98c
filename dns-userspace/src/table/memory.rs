//! The map module: memory of atomic words, the process's own or mapped from a BPF map.
//!
//! This is the one place where userspace turns addresses into references. Everything outside sees slices of
//! `AtomicU64`.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use dns_common::hot::{BODY_WORDS, WAYS};
use dns_common::limit::{BUCKET_LINE_WORDS, BUCKET_LINES, BucketLine, Buckets};
use dns_common::line::LINE_WORDS;
use dns_common::slot::{CLASS_BYTES, SLOT_CLASSES};
use dns_common::table::{EPOCH_WORDS, ZONE_WORDS};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// How many elements each part of a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Lines.
    pub lines: u32,
    /// Slots, by class.
    pub slots: [u32; SLOT_CLASSES],
    /// Of them, those that memory is asked for ahead.
    pub ahead: Ahead,
    /// Zones.
    pub zones: u32,
    /// Prefixes of the clients of views.
    pub prefixes: u32,
}

/// The slots that the XDP program asks memory for before it has read a reference to them
/// ([`dns_common::slot::slots_ahead`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Their class, one of the first [`dns_common::slot::AHEAD_CLASSES`].
    pub class: usize,
    /// How many there are, from the first on.
    pub slots: u32,
    /// The type under which lines refer to them ([`dns_common::line::Reference::rtype`]).
    pub rtype: u16,
}

impl Ahead {
    /// Memory is asked for none.
    pub const NONE: Self = Self {
        class: 0,
        slots: 0,
        rtype: 0,
    };
}

impl Sizes {
    /// Octets of the whole table.
    pub fn bytes(&self) -> usize {
        let slots: usize = self
            .slots
            .iter()
            .zip(CLASS_BYTES)
            .map(|(&count, bytes)| count as usize * bytes)
            .sum();
        (self.lines as usize * LINE_WORDS + self.zones as usize * ZONE_WORDS) * 8 + slots
    }
}

/// The parts of a table.
pub struct Memory {
    /// How many elements each part has.
    pub sizes: Sizes,
    /// Lines of eight words.
    pub lines: Region,
    /// Slots, by class.
    pub slots: [Region; SLOT_CLASSES],
    /// Zone entries of eight words.
    pub zones: Region,
    /// What is said of the whole table: [`EPOCH_WORDS`].
    pub epoch: Region,
    /// The buckets of rate limits; a line that nobody looks at where nothing is limited.
    pub buckets: Region,
    /// Kept answers of upstream servers.
    pub hot: HotMemory,
}

/// Room for kept answers of upstream servers ([`dns_common::hot`]).
pub struct HotMemory {
    /// How many answers there is room for; 0: none.
    pub names: u32,
    /// Lines.
    pub lines: Region,
    /// Bodies.
    pub bodies: Region,
    /// When each line was asked for.
    pub asked: Region,
}

impl HotMemory {
    /// Buckets for so many answers: about one in a hundred finds its own full.
    pub fn buckets_for(names: u32) -> u32 {
        (u64::from(names) * 3 / 4) as u32 + u32::from(names > 0)
    }

    /// Lines for so many.
    pub fn lines_for(names: u32) -> u32 {
        Self::buckets_for(names) * WAYS
    }

    /// Memory of the process's own.
    pub fn on_heap(names: u32) -> nix::Result<Self> {
        let (lines, bodies) = (Self::lines_for(names).max(1) as usize, names.max(1) as usize);
        Ok(Self {
            names,
            lines: Region::anonymous(lines * LINE_WORDS)?,
            bodies: Region::anonymous(bodies * BODY_WORDS)?,
            asked: Region::anonymous(lines)?,
        })
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> u32 {
        Self::buckets_for(self.names)
    }
}

impl Memory {
    /// A table in the process's own memory, for hosts without XDP. An error where there is no more.
    pub fn on_heap(sizes: Sizes) -> nix::Result<Self> {
        let mut slots = Vec::with_capacity(SLOT_CLASSES);
        for (count, bytes) in sizes.slots.into_iter().zip(CLASS_BYTES) {
            slots.push(Region::anonymous(count as usize * bytes / 8)?);
        }
        Ok(Self {
            // Pages that nothing is put into take no memory, and only the program asks ahead.
            sizes: Sizes {
                ahead: Ahead::NONE,
                ..sizes
            },
            lines: Region::anonymous(sizes.lines as usize * LINE_WORDS)?,
            slots: slots.try_into().map_err(|_| nix::Error::EINVAL)?,
            zones: Region::anonymous(sizes.zones as usize * ZONE_WORDS)?,
            epoch: Region::anonymous(EPOCH_WORDS)?,
            buckets: Region::anonymous(BUCKET_LINE_WORDS)?,
            hot: HotMemory::on_heap(0)?,
        })
    }

    /// Whether programs of the kernel read it, too.
    pub fn is_of_maps(&self) -> bool {
        self.lines.is_of_map
    }

    /// One of the words that are said of the whole table.
    pub fn epoch_word(&self, at: usize) -> &AtomicU64 {
        &self.epoch.words(at, 1).expect("there are eight")[0]
    }

    /// The same with room for so many kept answers of upstream servers.
    pub fn with_hot(self, names: u32) -> nix::Result<Self> {
        Ok(Self {
            hot: HotMemory::on_heap(names)?,
            ..self
        })
    }

    /// The same with room for the buckets of rate limits.
    pub fn with_buckets(self) -> nix::Result<Self> {
        Ok(Self {
            buckets: Region::buckets()?,
            ..self
        })
    }
}

/// A run of words that several threads, and the kernel, read while one thread writes.
pub struct Region {
    start: NonNull<AtomicU64>,
    words: usize,
    /// Octets of the mapping.
    mapped_bytes: usize,
    is_of_map: bool,
}

// SAFETY: a region is plain memory that is only reached through atomics.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Zeroed words. Pages that are never written take no memory.
    pub fn anonymous(words: usize) -> nix::Result<Self> {
        let bytes = (words * 8).next_multiple_of(page_bytes());
        let length = NonZeroUsize::new(bytes).ok_or(nix::Error::EINVAL)?;
        // SAFETY: a new private mapping of zeros at an address of the kernel's choice.
        let start = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )?
        };
        Ok(Self {
            start: start.cast(),
            words,
            mapped_bytes: bytes,
            is_of_map: false,
        })
    }

    /// Room for the buckets of rate limits.
    pub fn buckets() -> nix::Result<Self> {
        Self::anonymous(BUCKET_LINES as usize * BUCKET_LINE_WORDS)
    }

    /// The elements of an mmapable BPF array whose elements have a multiple of eight octets.
    pub fn of_map(map: BorrowedFd<'_>, words: usize) -> nix::Result<Self> {
        let bytes = (words * 8).next_multiple_of(page_bytes());
        let length = NonZeroUsize::new(bytes).ok_or(nix::Error::EINVAL)?;
        // SAFETY: a new shared mapping at an address of the kernel's choice; the kernel checks that the map is
        // mmapable and has as many octets.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map,
                0,
            )?
        };
        Ok(Self {
            start: start.cast(),
            words,
            mapped_bytes: bytes,
            is_of_map: true,
        })
    }

    /// `count` words from `at`, if they are inside.
    pub fn words(&self, at: usize, count: usize) -> Option<&[AtomicU64]> {
        self.all().get(at..at.checked_add(count)?)
    }

    /// Takes over what another region of this size has; this one is still zero.
    pub fn copy_from(&self, other: &Self) {
        for (word, from) in self.all().iter().zip(other.all()) {
            match from.load(Ordering::Relaxed) {
                0 => {}
                value => word.store(value, Ordering::Relaxed),
            }
        }
    }

    fn all(&self) -> &[AtomicU64] {
        // SAFETY: `start` points at `words` initialised, aligned words that live as long as this region.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// Copies octets from `start` (in octets from the beginning). False where they are not inside.
    pub fn copy_octets(&self, start: usize, out: &mut [u8]) -> bool {
        let first = start / 8;
        let Some(words) = self.words(first, (start + out.len()).div_ceil(8) - first) else {
            return false;
        };
        let mut skip = start % 8;
        let mut rest = out;
        for word in words {
            let octets = &word.load(Ordering::Relaxed).to_le_bytes()[skip..];
            skip = 0;
            let take = octets.len().min(rest.len());
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&octets[..take]);
            rest = later;
        }
        true
    }
}

/// One line of buckets.
pub struct BucketWords<'a>(&'a [AtomicU64]);

impl<'a> Buckets for &'a Region {
    type Line = BucketWords<'a>;

    fn line(&self, index: u32) -> Option<BucketWords<'a>> {
        self.words(index as usize * BUCKET_LINE_WORDS, BUCKET_LINE_WORDS)
            .map(BucketWords)
    }
}

impl BucketLine for BucketWords<'_> {
    fn load(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Relaxed)
    }

    fn store(&self, at: usize, word: u64) {
        self.0[at].store(word, Ordering::Relaxed);
    }

    fn add(&self, at: usize, by: u64) {
        self.0[at].fetch_add(by, Ordering::Relaxed);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: made by `mmap`, with this length; no reference outlives the region.
        let _ = unsafe { munmap(self.start.cast(), self.mapped_bytes) };
    }
}

/// Gives memory that was freed back to the operating system, where the allocator keeps it otherwise.
pub fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches nothing but free memory of the allocator, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn page_bytes() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_copied_from_any_offset() {
        let region = Region::anonymous(4).expect("memory");
        for (at, word) in region.all().iter().enumerate() {
            word.store(
                u64::from_le_bytes(std::array::from_fn(|octet| (8 * at + octet) as u8)),
                Ordering::Relaxed,
            );
        }
        for start in 0..24 {
            for length in 0..=(32 - start) {
                let mut out = vec![0xFF; length];
                assert!(region.copy_octets(start, &mut out));
                assert!(
                    out.iter()
                        .enumerate()
                        .all(|(at, &octet)| usize::from(octet) == start + at)
                );
            }
        }
        assert!(!region.copy_octets(25, &mut [0; 8]));
        assert!(region.words(usize::MAX, 1).is_none());
    }
}
