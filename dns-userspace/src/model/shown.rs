//! What somebody wrote, and what went wrong, as messages show it.

use std::error::Error;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters of a file that a message shows.
pub const MOST_OF_TEXT: usize = 80;
/// Characters of a value.
pub const MOST_OF_VALUE: usize = 300;

/// What is left as it is in paths and queries (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A part of a path or of a query, percent-encoded (RFC 3986 §2.1): `a b` is `a%20b`.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// An error, and after it what caused it: `the map cannot be mapped: Operation not permitted`. A cause that is among
/// the words before it is not said twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        next = cause.source();
    }
    said
}

/// Text for a message, in one line, cut where it has more characters than `most`.
pub fn shorten(octets: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(most * 4)]);
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() > most || octets.len() > most * 4 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Told {
        #[error("the table cannot be had")]
        Alone(#[source] std::io::Error),
        #[error("the table cannot be had: {0}")]
        WithItsCause(#[source] std::io::Error),
        #[error("nothing works")]
        Above(#[source] Box<Told>),
    }

    #[test]
    fn causes_come_after_what_they_cause_each_once() {
        let cause = || std::io::Error::other("no memory");
        for told in [Told::Alone(cause()), Told::WithItsCause(cause())] {
            assert_eq!(with_causes(&told), "the table cannot be had: no memory");
            let above = Told::Above(Box::new(told));
            assert_eq!(with_causes(&above), "nothing works: the table cannot be had: no memory");
        }
    }
}
