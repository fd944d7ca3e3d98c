//! The templates of version 2: ``HostRegexp(`{name:regex}.example.com`)``.
//!
//! Text outside of braces is taken literally, `{name}` takes one label, `{name:regex}` what the regular expression
//! takes. A template has to take the whole host, in any case.

use super::pattern::Pattern;

/// The regular expression that a template stands for.
pub(super) fn pattern(template: &str) -> Result<Pattern, String> {
    let mut expression = String::from("(?i)^");
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let close = closing(&rest[open..]).ok_or_else(|| {
            format!("the braces of the template `{template}` are not in pairs; write `{{name:regex}}` or `{{name}}`")
        })?;
        expression.push_str(&regex_syntax::escape(&rest[..open]));
        let inner = &rest[open + 1..open + close];
        let (name, regex) = match inner.split_once(':') {
            Some((name, regex)) => (name, regex),
            None => (inner, "[^.]+"),
        };
        if name.is_empty() || regex.is_empty() {
            return Err(format!(
                "`{{{inner}}}` in the template `{template}` has no name or no expression; write `{{name:regex}}`"
            ));
        }
        expression.push_str(&format!("(?:{regex})"));
        rest = &rest[open + close + 1..];
    }
    expression.push_str(&regex_syntax::escape(rest));
    expression.push('$');
    Pattern::new(template, &expression)
}

/// Where the brace is that closes the one at the start.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, symbol) in text.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
