//! Regular expressions of CoreDNS' templates that say no more than a wildcard does.

/// The wildcard that a match such as `^([^.]+)\.apps\.example\.$` or `^.*\.apps\.example\.$` stands for, and whether it
/// stands for one label alone. `None` where it says more, or something else.
pub(super) fn wildcard(expression: &str) -> Option<(String, bool)> {
    let rest = expression.trim().strip_prefix("(?i)").unwrap_or(expression.trim());
    let rest = rest.strip_prefix('^').unwrap_or(rest).strip_suffix('$')?;
    let labels = [
        ("[^.]+", true),
        ("[^.]*", true),
        ("[a-z0-9-]+", true),
        ("[a-zA-Z0-9-]+", true),
        (".*", false),
        (".+", false),
    ];
    let (after, is_one_label) = labels.iter().find_map(|(label, is_one)| {
        let named = || rest.strip_prefix("(?P<").and_then(|rest| rest.split_once('>'));
        let grouped = rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_prefix(label)?.strip_prefix(')'));
        let in_named = || named().and_then(|(_, rest)| rest.strip_prefix(label)?.strip_prefix(')'));
        let bare = || rest.strip_prefix(label);
        Some((grouped.or_else(in_named).or_else(bare)?, *is_one))
    })?;
    let parent = after.strip_prefix("\\.").or_else(|| after.strip_prefix("[.]"))?;
    let parent = parent.replace("\\.", ".").replace("[.]", ".");
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (!parent.is_empty() && parent.chars().all(is_plain)).then(|| (format!("*.{parent}"), is_one_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_seen_and_nothing_else() {
        let one = Some(("*.traefik.".to_owned(), true));
        assert_eq!(wildcard(r"^([^.]+)\.traefik\.$"), one);
        assert_eq!(wildcard(r"^[^.]+[.]traefik[.]$"), one);
        assert_eq!(wildcard(r"^(?P<name>[a-z0-9-]+)\.traefik\.$"), one);
        assert_eq!(
            wildcard(r".*\.apps\.example\.$"),
            Some(("*.apps.example.".to_owned(), false))
        );
        for other in [
            r"^web-([0-9]+)\.traefik\.$",
            r"^([^.]+)\.(a|b)\.$",
            "^([^.]+)$",
            r"^([^.]+)\.traefik\.",
        ] {
            assert_eq!(wildcard(other), None, "{other}");
        }
    }
}
