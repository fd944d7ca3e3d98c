//! The closed lists of words in the configuration.

/// A closed list of words; the position in `WORDS` is the position in `VALUES`.
pub(super) trait ClosedList: Copy + 'static {
    const WORDS: &'static [&'static str];
    const VALUES: &'static [Self];

    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .position(|known| *known == word)
            .map(|at| Self::VALUES[at])
    }
}

/// The word is none of the list.
#[derive(Debug, thiserror::Error)]
#[error("write one of {0}")]
pub struct UnknownWord(String);

impl UnknownWord {
    pub(super) fn of(words: &[&str]) -> Self {
        Self(words.join(", "))
    }
}

/// Defines enums whose variants are the words of closed lists.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $crate::config::choice::ClosedList for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
            const VALUES: &'static [Self] = &[$(Self::$variant),*];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::config::choice::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                use $crate::config::choice::{ClosedList as _, UnknownWord};
                Self::from_word(word).ok_or_else(|| UnknownWord::of(Self::WORDS))
            }
        }
    )*};
}
pub(super) use choices;
