//! Names that a person or a program gives to the API or writes into the configuration: what nobody can ask for is
//! refused there, and internationalized labels become what is asked for.
//!
//! ```text
//! text ─ visible ASCII? ──────────────────────────────► Name::parse
//!      ├ a raw space or control character ► refused: the escapes `\DDD` and `\X` are the way to such octets
//!      ├ `@` as the first label           ► refused: there is no origin here
//!      └ other characters ► each label by UTS 46, nontransitional ► A-label (RFC 5890 §2.3.2.1)
//! ```
//!
//! A label is converted by itself: beside `_dmarc` or `*` a label from the right to the left is good. Labels that are
//! ASCII stay as they are written, A-labels included. Zone files keep to RFC 1035: see `zonefile`.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{MAX_NAME_BYTES, Name, NameError};
use crate::model::shown::{MOST_OF_TEXT, shorten};

/// No name takes more octets to write: each one may be an escape, or a character of several octets.
const MOST_OCTETS: usize = 8 * MAX_NAME_BYTES;

impl Name {
    /// A name as the API and the configuration take it; absolute with or without the final dot.
    pub fn parse_given(text: &str) -> Result<Self, NameError> {
        if text.len() > MOST_OCTETS {
            return Err(NameError::TooLong(shown(text)));
        }
        if text == "@" || text.starts_with("@.") {
            return Err(NameError::Origin(shown(text)));
        }
        check_characters(text)?;
        if text.is_ascii() {
            return Self::parse(text);
        }
        Self::parse(&with_a_labels(text)?)
    }
}

fn shown(text: &str) -> String {
    shorten(text.as_bytes(), MOST_OF_TEXT)
}

/// Refuses raw white space and control characters, and escapes of what has more octets than one.
fn check_characters(text: &str) -> Result<(), NameError> {
    let raw = |character: char| {
        Err(NameError::RawCharacter {
            name: shown(text),
            character: said(character),
            octet: character as u32,
        })
    };
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                // What is missing is found where escapes are read.
                None | Some(' '..='~') => {}
                Some(escaped) if escaped.is_ascii() => return raw(escaped),
                Some(_) => return Err(NameError::BadEscape(shown(text))),
            },
            '!'..='~' => {}
            character if character.is_ascii() => return raw(character),
            _ => {}
        }
    }
    Ok(())
}

fn said(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line feed".to_owned(),
        '\r' => "a carriage return".to_owned(),
        other => format!("the control character U+{:04X}", other as u32),
    }
}

/// The name with its U-labels as A-labels.
fn with_a_labels(text: &str) -> Result<String, NameError> {
    let mut name = String::with_capacity(2 * text.len());
    let (mut start, mut is_escaped) = (0, false);
    for (at, character) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if is_dot(character) {
            push_label(&text[start..at], text, &mut name)?;
            name.push('.');
            start = at + character.len_utf8();
        } else {
            is_escaped = character == '\\';
        }
    }
    push_label(&text[start..], text, &mut name)?;
    Ok(name)
}

/// UTS 46 §2.3: the characters that a name may be written with for a dot.
fn is_dot(character: char) -> bool {
    matches!(character, '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}')
}

fn push_label(label: &str, text: &str, name: &mut String) -> Result<(), NameError> {
    if label.is_ascii() {
        name.push_str(label);
        return Ok(());
    }
    let invalid = |reason: String| NameError::NotIdna {
        name: shown(text),
        label: shown(label),
        reason,
    };
    if label.contains('\\') {
        return Err(invalid(
            "it has an escape beside other than ASCII characters; write one or the other".to_owned(),
        ));
    }
    match converted(label, Hyphens::Check) {
        Some(ascii) if ascii.is_empty() => Err(invalid("all of its characters are ones that are left out".to_owned())),
        Some(ascii) => {
            name.push_str(&ascii);
            Ok(())
        }
        None => Err(invalid(reason(label))),
    }
}

/// One label by UTS 46, with the ASCII characters of host names alone; `None` where it is invalid.
fn converted(label: &str, hyphens: Hyphens) -> Option<String> {
    let ascii = Uts46::new().to_ascii(label.as_bytes(), AsciiDenyList::STD3, hyphens, DnsLength::Ignore);
    // Some characters become a dot, and then this is no label.
    ascii.ok().map(String::from).filter(|ascii| !ascii.contains('.'))
}

/// Why a label is invalid: the library does not say.
fn reason(label: &str) -> String {
    if converted(label, Hyphens::Allow).is_some() {
        return "it begins or ends with a hyphen, or has two as its third and fourth character".to_owned();
    }
    // By itself, after a letter of either direction: a character that may be somewhere may be in one of these places.
    let may_be = |character: char| {
        let places = ["", "a", "\u{5D0}"];
        let may_be_in = |place: &&str| converted(&format!("{place}{character}"), Hyphens::Allow).is_some();
        places.iter().any(may_be_in)
    };
    match label.chars().find(|&character| !may_be(character)) {
        Some('_') => "it has an underscore, which stands in labels of ASCII alone".to_owned(),
        Some(character) => format!("U+{:04X} must not be in it", character as u32),
        None => {
            "its characters must not stand together so (a mark at its start, or the rule for labels from the right \
                 to the left, RFC 5893)"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> String {
        Name::parse_given(text).map_or_else(|error| panic!("{text:?}: {error}"), |name| name.to_string())
    }

    fn refused(text: &str) -> NameError {
        Name::parse_given(text).map_or_else(|error| error, |name| panic!("{text:?} is taken as {name}"))
    }

    #[test]
    fn raw_characters_that_nobody_can_ask_for_are_refused() {
        for octet in (0..=0x20).chain([0x7F]) {
            let raw = char::from(octet);
            for text in [
                format!("nl.example.com{raw}"),
                format!("{raw}nl.example.com."),
                format!("n{raw}l.example.com"),
                format!("nl.{raw}.example.com"),
                format!("nl.bücher.example{raw}"),
                format!("{raw}"),
            ] {
                let error = refused(&text);
                assert!(
                    matches!(&error, NameError::RawCharacter { octet: found, .. } if *found == u32::from(octet)),
                    "{text:?}: {error}"
                );
                let told = error.to_string();
                assert!(told.contains(&format!("\\{octet:03}")), "{told}");
                assert!(!told.contains(|c: char| c.is_control()), "{told:?}");
            }
        }
        assert!(refused("a\tb").to_string().contains("a tab"));
    }

    #[test]
    fn escapes_stay_the_way_to_any_octet() {
        for (text, shown) in [
            ("a\\032b.example", "a\\032b.example."),
            ("a\\ b.example", "a\\032b.example."),
            ("nl\\010.example.com", "nl\\010.example.com."),
            ("\\000\\127\\255.x.", "\\000\\127\\255.x."),
            ("a\\.b.x", "a\\.b.x."),
            ("\\@", "\\@."),
            ("\\@.x", "\\@.x."),
            ("a\\\\b.x", "a\\\\b.x."),
        ] {
            assert_eq!(given(text), shown, "{text}");
        }
        // Each octet of a U-label as an escape is these octets.
        assert_eq!(given("b\\195\\188cher.x"), "b\\195\\188cher.x.");
        assert!(matches!(refused("a\\"), NameError::BadEscape(_)));
        assert!(matches!(refused("a\\256."), NameError::BadEscape(_)));
        assert!(matches!(refused("\\ü.x"), NameError::BadEscape(_)));
        assert!(matches!(refused("a\\\n.x"), NameError::RawCharacter { octet: 10, .. }));
        assert!(matches!(refused("\\032ü.x"), NameError::NotIdna { .. }));
    }

    #[test]
    fn what_is_visible_ascii_stays_as_it_is_written() {
        for text in [
            ".",
            "WwW.Example.",
            "*.x.",
            "_dmarc.x.",
            "0/25.2.0.192.in-addr.arpa.",
            "-a-.x.",
            "ab--cd.x.",
            "xn--bcher-kva.x.",
            "XN--zzzzzz.x.",
            "a*b!#%&'+,/:<=>?[]^`{|}~.x.",
        ] {
            assert_eq!(given(text), text);
        }
        assert_eq!(given("user@host.x"), "user\\@host.x.");
        assert_eq!(refused(""), NameError::Empty);
        assert!(matches!(refused("a..b"), NameError::EmptyLabel(_)));
    }

    #[test]
    fn the_origin_of_zone_files_is_refused_with_advice() {
        for text in ["@", "@.", "@.example.com"] {
            let told = refused(text).to_string();
            assert!(told.contains("write the zone's name"), "{told}");
        }
    }

    #[test]
    fn u_labels_become_a_labels() {
        for (text, shown) in [
            ("bücher.example", "xn--bcher-kva.example."),
            ("BÜCHER.Example.", "xn--bcher-kva.Example."),
            // Composed or not, it is the same name.
            ("bu\u{308}cher.example", "xn--bcher-kva.example."),
            // IDNA 2008: the sharp s is a letter of its own.
            ("straße.de", "xn--strae-oqa.de."),
            ("faß.de", "xn--fa-hia.de."),
            ("www。例え。テスト", "www.xn--r8jz45g.xn--zckzah."),
            ("ｗｗｗ．example", "www.example."),
            ("*.bücher.example", "*.xn--bcher-kva.example."),
            ("_dmarc.אתר.example", "_dmarc.xn--4db2cf.example."),
            ("a\\.b.bücher.example", "a\\.b.xn--bcher-kva.example."),
            ("xn--bcher-kva.bücher.example", "xn--bcher-kva.xn--bcher-kva.example."),
        ] {
            assert_eq!(given(text), shown, "{text}");
        }
    }

    #[test]
    fn invalid_u_labels_are_refused_with_the_reason() {
        for (text, reason) in [
            ("-ü.x", "hyphen"),
            ("ü-.x", "hyphen"),
            ("üx--y.x", "hyphen"),
            ("a\u{80}b.x", "U+0080"),
            ("a\u{A0}b.x", "U+00A0"),
            ("a\u{2028}b.x", "U+2028"),
            ("a\u{200D}b.x", "U+200D"),
            ("a\u{FFFD}b.x", "U+FFFD"),
            ("a\u{202E}b.x", "U+202E"),
            ("bü_cher.x", "underscore"),
            ("bü*cher.x", "U+002A"),
            ("\u{308}a.x", "must not stand together"),
            ("aאb.x", "must not stand together"),
            ("\u{AD}.x", "left out"),
            ("xn--ü.x", ""),
        ] {
            let error = refused(text);
            assert!(matches!(error, NameError::NotIdna { .. }), "{text:?}: {error}");
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn lengths_are_those_of_what_is_asked_for() {
        assert!(matches!(refused(&"ü".repeat(63)), NameError::LabelTooLong { .. }));
        assert!(given(&"ü".repeat(40)).len() <= 64);
        assert!(matches!(
            refused(&format!("{}x", "ü.".repeat(40))),
            NameError::TooLong(_)
        ));
        // However long a text is, it is refused at once.
        assert!(matches!(refused(&"ü".repeat(1 << 20)), NameError::TooLong(_)));
        assert_eq!(
            Name::parse_given(&"\\255".repeat(63)).map(|name| name.as_wire().len()),
            Ok(65)
        );
    }
}
