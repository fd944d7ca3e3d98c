//! How an RRset is answered, where that is not as every other one is: the order of its RRs, and what its wildcard
//! stands for.
//!
//! Nearly all RRsets have the defaults, and then this takes one word.

use dns_common::order::kind;

/// The order and the wildcard of an RRset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Handling(Option<Box<Parts>>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Parts {
    order: Order,
    wildcard: Wildcard,
    keeping: Keeping,
}

/// How an RRset is kept, beside how it is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Keeping {
    /// No change of it is made until it is unlocked.
    pub locked: bool,
    /// It is kept, and not served.
    pub disabled: bool,
    /// What somebody wrote about it.
    pub note: Option<Box<str>>,
}

/// The order in which the RRs of an RRset are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// As they were given.
    #[default]
    Fixed,
    /// Each answer begins at another one.
    Rotate,
    /// At random.
    Random,
    /// The first one is drawn by weight, one weight for each RR, the rest are as given.
    Weighted(Box<[u16]>),
    /// As rotated, but clients of one prefix always get the same order.
    Hash,
}

/// Which names a wildcard stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Wildcard {
    /// All below its parent that do not exist (RFC 4592).
    #[default]
    Rfc4592,
    /// Of these, those with one label in place of the `*`.
    OneLabel,
}

impl Handling {
    /// An RRset's order and its wildcard.
    pub fn new(order: Order, wildcard: Wildcard) -> Self {
        Self::of(order, wildcard, Keeping::default())
    }

    fn of(order: Order, wildcard: Wildcard, keeping: Keeping) -> Self {
        let parts = Parts {
            order,
            wildcard,
            keeping,
        };
        Self((parts != Parts::default()).then(|| Box::new(parts)))
    }

    /// The same, of an RRset that is kept so.
    #[must_use]
    pub fn kept(&self, keeping: Keeping) -> Self {
        Self::of(self.order().clone(), self.wildcard(), keeping)
    }

    /// The order of its RRs.
    pub fn order(&self) -> &Order {
        self.0.as_ref().map_or(&Order::Fixed, |own| &own.order)
    }

    /// What its wildcard stands for.
    pub fn wildcard(&self) -> Wildcard {
        self.0.as_ref().map_or(Wildcard::Rfc4592, |own| own.wildcard)
    }

    /// How it is kept.
    pub fn keeping(&self) -> &Keeping {
        static DEFAULT: Keeping = Keeping {
            locked: false,
            disabled: false,
            note: None,
        };
        self.0.as_ref().map_or(&DEFAULT, |own| &own.keeping)
    }
}

impl Order {
    /// The words of the configuration and the API.
    pub const WORDS: &'static [&'static str] = &["fixed", "rotate", "random", "weighted", "hash"];

    /// The order of a word; `weights` are those of a weighted one.
    pub fn from_word(word: &str, weights: Box<[u16]>) -> Option<Self> {
        match word {
            "fixed" => Some(Self::Fixed),
            "rotate" => Some(Self::Rotate),
            "random" => Some(Self::Random),
            "weighted" => Some(Self::Weighted(weights)),
            "hash" => Some(Self::Hash),
            _ => None,
        }
    }

    /// Its word.
    pub fn word(&self) -> &'static str {
        Self::WORDS[usize::from(self.kind())]
    }

    /// Its number in lines and slots.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Fixed => kind::FIXED,
            Self::Rotate => kind::ROTATE,
            Self::Random => kind::RANDOM,
            Self::Weighted(_) => kind::WEIGHTED,
            Self::Hash => kind::HASH,
        }
    }

    /// The weights, one for each RR; none where it has no weights.
    pub fn weights(&self) -> &[u16] {
        match self {
            Self::Weighted(weights) => weights,
            Self::Fixed | Self::Rotate | Self::Random | Self::Hash => &[],
        }
    }
}

impl Wildcard {
    /// The words of the configuration and the API.
    pub const WORDS: &'static [&'static str] = &["rfc4592", "one_label"];

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "rfc4592" => Some(Self::Rfc4592),
            "one_label" => Some(Self::OneLabel),
            _ => None,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rfc4592 => Self::WORDS[0],
            Self::OneLabel => Self::WORDS[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_what_they_say() {
        for word in Order::WORDS {
            let order = Order::from_word(word, Box::from([1])).expect("known");
            assert_eq!(
                (order.word(), order.weights().len()),
                (*word, usize::from(*word == "weighted"))
            );
        }
        for word in Wildcard::WORDS {
            assert_eq!(Wildcard::from_word(word).expect("known").word(), *word);
        }
        assert!(Order::from_word("Fixed", Box::default()).is_none() && Wildcard::from_word("").is_none());
    }

    #[test]
    fn defaults_take_one_word() {
        assert_eq!(size_of::<Handling>(), size_of::<usize>());
        assert_eq!(Handling::new(Order::Fixed, Wildcard::Rfc4592), Handling::default());
        let own = Handling::new(Order::Weighted(Box::from([2, 1])), Wildcard::OneLabel);
        assert_eq!(
            (own.order().weights(), own.wildcard()),
            (&[2, 1][..], Wildcard::OneLabel)
        );
    }
}
