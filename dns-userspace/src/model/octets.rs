//! Octet strings of which there are many: short ones take no memory of their own.
//!
//! ```text
//! inline   length, up to N octets           N + 2 octets in all, rounded up to words, at least three
//! boxed    address and length ──► octets    as many, and the octets
//! ```
//!
//! A million names or records are a million of these. A search among boxed names waits for memory at each comparison.

use std::fmt;
use std::ops::Deref;

/// An immutable string of octets, inline up to this many.
#[derive(Clone)]
pub struct Octets<const INLINE: usize>(Repr<INLINE>);

#[derive(Clone)]
enum Repr<const INLINE: usize> {
    Inline { length: u8, octets: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl<const INLINE: usize> Octets<INLINE> {
    const LENGTH_HAS_ROOM: () = assert!(INLINE <= u8::MAX as usize);

    /// The empty string.
    pub const EMPTY: Self = Self(Repr::Inline {
        length: 0,
        octets: [0; INLINE],
    });
}

impl<const INLINE: usize> Deref for Octets<INLINE> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, octets } => &octets[..usize::from(*length)],
            Repr::Boxed(octets) => octets,
        }
    }
}

impl<const INLINE: usize> From<&[u8]> for Octets<INLINE> {
    fn from(from: &[u8]) -> Self {
        let () = Self::LENGTH_HAS_ROOM;
        let mut octets = [0; INLINE];
        match octets.get_mut(..from.len()) {
            Some(start) => {
                start.copy_from_slice(from);
                let length = from.len() as u8;
                Self(Repr::Inline { length, octets })
            }
            None => Self(Repr::Boxed(from.into())),
        }
    }
}

impl<const INLINE: usize> From<Vec<u8>> for Octets<INLINE> {
    fn from(from: Vec<u8>) -> Self {
        if from.len() <= INLINE {
            Self::from(&from[..])
        } else {
            Self(Repr::Boxed(from.into()))
        }
    }
}

impl<const INLINE: usize> PartialEq for Octets<INLINE> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const INLINE: usize> Eq for Octets<INLINE> {}

impl<const INLINE: usize> fmt::Debug for Octets<INLINE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_was_given_at_any_length() {
        for length in 0..100 {
            let given: Vec<u8> = (0..length).collect();
            let kept = Octets::<22>::from(&given[..]);
            assert_eq!(*kept, given[..]);
            assert_eq!(kept, Octets::from(given));
            assert_eq!(matches!(kept.0, Repr::Boxed(_)), length > 22);
        }
        assert!(Octets::<22>::EMPTY.is_empty());
    }

    #[test]
    fn takes_whole_words() {
        assert_eq!(size_of::<Option<Octets<22>>>(), 24);
        assert_eq!(size_of::<Option<Octets<30>>>(), 32);
    }
}
