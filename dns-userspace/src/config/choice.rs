//! The closed lists of words in the configuration.

use std::fmt;
use std::str::FromStr;

/// A closed list of words; the position in `WORDS` is the position in `VALUES`.
pub(super) trait Choice: Copy + 'static {
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

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
            const VALUES: &'static [Self] = &[$(Self::$variant),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::from_word(word).ok_or_else(|| UnknownWord(Self::WORDS.join(", ")))
            }
        }
    )*};
}

choices! {
    /// How much is logged; each level includes those before it.
    LogLevel {
        /// What ends the process or loses a function.
        Error = "error",
        /// What somebody should look at.
        Warn = "warn",
        /// Start, stop, reloads and their results.
        Info = "info",
        /// Single changes and connections.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    /// What happens to clients that may not ask.
    AccessAction {
        /// They get REFUSED.
        Refuse = "refuse",
        /// They get nothing.
        Drop = "drop",
    }
    /// How the XDP program is attached.
    XdpMode {
        /// Native where the driver has it, generic on veth and lo.
        Auto = "auto",
        /// In the driver, or not at all.
        Native = "native",
        /// After the kernel has built its packet: works everywhere, slower.
        Generic = "generic",
        /// Not at all: everything is answered from userspace.
        Off = "off",
    }
}
