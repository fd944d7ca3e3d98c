//! What somebody wrote, as messages show it.

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
