//! What somebody wrote, as messages show it.

/// Characters of a file that a message shows.
pub const MOST_OF_TEXT: usize = 80;
/// Characters of a value.
pub const MOST_OF_VALUE: usize = 300;

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
