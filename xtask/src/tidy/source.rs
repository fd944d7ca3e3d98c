//! Rust source reduced to what the rules look at: code, without comments, literals and test modules.
//!
//! What is left out becomes spaces, so lines keep their numbers.

/// The code of `text`.
pub(super) fn code(text: &str) -> String {
    without_tests(&without_comments_and_literals(text))
}

fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            [b'/', b'/', ..] => at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => at + block_comment(rest),
            [b'"', ..] => at + quoted(rest),
            [b'r', b'"' | b'#', ..] if !is_word_byte(bytes, at) => at + raw_string(rest),
            [b'\'', ..] => at + character(rest),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Whole literals and comments were overwritten, so no character is cut.
    String::from_utf8_lossy(&code).into_owned()
}

/// Whether the byte before `at` belongs to the same word, as the `r` of `var"` would.
fn is_word_byte(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `r"…"` or `r#"…"#`; 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    rest[body..]
        .windows(closing.len())
        .position(|window| window == closing)
        .map_or(rest.len(), |at| body + at + closing.len())
}

/// The length of a character literal; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[2..]
            .iter()
            .skip(1)
            .position(|&byte| byte == b'\'')
            .map_or(rest.len(), |at| at + 4);
    }
    // One character of up to four bytes; a lifetime has no quote that soon, save in `'a'`, which is a character.
    let length = match rest.get(1) {
        Some(0..=0x7F) => 1,
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        _ => 4,
    };
    if rest.get(1 + length) == Some(&b'\'') {
        length + 2
    } else {
        0
    }
}

/// Removes each item after `#[cfg(test)]` that has braces: test modules.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = test_attribute(rest) {
        let (before, item) = rest.split_at(start);
        kept.push_str(before);
        let end = item_end(item);
        kept.extend(item[..end].chars().filter(|&symbol| symbol == '\n'));
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

fn test_attribute(code: &str) -> Option<usize> {
    ["#[cfg(test)]", "#[cfg(all(test,"]
        .iter()
        .filter_map(|attribute| code.find(attribute))
        .min()
}

/// The end of an item: its `;`, or the brace that closes it.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, symbol) in item.char_indices() {
        match symbol {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_become_spaces() {
        let text = "a // unsafe\nb /* unsafe /* unsafe */ unsafe */ c \"unsafe \\\" unsafe\" d\n";
        let found = code(text);
        assert!(!found.contains("unsafe"), "{found}");
        assert_eq!(found.split_whitespace().collect::<String>(), "abcd");
        assert_eq!(found.lines().count(), text.lines().count());
    }

    #[test]
    fn raw_strings_and_characters_end_where_they_end() {
        let found = code("x(r#\"unsafe \" \"#, '\"', '\\'', 'é', b'\\\\', r\"\\\") unsafe<'a>(r#type)");
        assert_eq!(found.matches("unsafe").count(), 1, "{found}");
        assert!(found.contains("<'a>(r#type)"), "{found}");
    }

    #[test]
    fn test_modules_are_left_out_and_lines_keep_their_numbers() {
        let found = code("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { spawn() }\n}\nfn c() {}\n");
        assert!(!found.contains("spawn") && found.contains("fn a") && found.contains("fn c"));
        assert_eq!(found.lines().position(|line| line.contains("fn c")), Some(5));
    }
}
