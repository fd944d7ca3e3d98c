//! Octet strings of which there are many: short ones take no memory of their own.
//!
//! ```text
//! inline   length, up to 22 octets          24 octets in all
//! boxed    address and length ──► octets    24 octets, and the octets
//! ```
//!
//! A million names or records are a million of these. Most keys of names fit, and the RDATA of an address or two.

use std::fmt;
use std::ops::Deref;

/// The longest string that is kept inline.
pub const INLINE_BYTES: usize = 22;

/// An immutable string of octets.
#[derive(Clone)]
pub struct Octets(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, octets: [u8; INLINE_BYTES] },
    Boxed(Box<[u8]>),
}

impl Octets {
    /// The empty string.
    pub const EMPTY: Self = Self(Repr::Inline {
        length: 0,
        octets: [0; INLINE_BYTES],
    });
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, octets } => &octets[..usize::from(*length)],
            Repr::Boxed(octets) => octets,
        }
    }
}

impl From<&[u8]> for Octets {
    fn from(from: &[u8]) -> Self {
        let mut octets = [0; INLINE_BYTES];
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

impl From<Vec<u8>> for Octets {
    fn from(from: Vec<u8>) -> Self {
        if from.len() <= INLINE_BYTES {
            Self::from(&from[..])
        } else {
            Self(Repr::Boxed(from.into()))
        }
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Octets {}

impl fmt::Debug for Octets {
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
            let kept = Octets::from(&given[..]);
            assert_eq!(*kept, given[..]);
            assert_eq!(kept, Octets::from(given));
            assert_eq!(matches!(kept.0, Repr::Boxed(_)), usize::from(length) > INLINE_BYTES);
        }
        assert!(Octets::EMPTY.is_empty());
    }

    #[test]
    fn takes_three_words() {
        assert_eq!(size_of::<Octets>(), 24);
        assert_eq!(size_of::<Option<Octets>>(), 24);
    }
}
