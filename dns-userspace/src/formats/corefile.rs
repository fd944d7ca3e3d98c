//! CoreDNS' Corefile: server blocks with their plugins. What maps is `hosts`, `file`, `forward`, `template` where it is
//! a wildcard, and `bind`; what hotdns does anyway is passed over; the rest is listed.

use super::hosts::read_line;
use super::template::wildcard;
use super::{FormatError, Imported, ImportedZone, Records};

/// Plugins whose work hotdns does without being told.
const BUILT_IN: [&str; 9] = [
    "errors",
    "health",
    "ready",
    "prometheus",
    "reload",
    "loadbalance",
    "loop",
    "minimal",
    "bufsize",
];

/// A word and its line.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    line: usize,
}

/// A plugin with its arguments, and what stands in its braces.
#[derive(Clone, Debug)]
struct Directive {
    words: Vec<Word>,
    body: Vec<Directive>,
}

pub(super) fn read(text: &str) -> Result<Imported, FormatError> {
    let words = words(text);
    let mut at = 0;
    let blocks = directives(&words, &mut at, false)?;
    let mut imported = Imported::default();
    let mut records = Records::default();
    for block in &blocks {
        let keys: Vec<&str> = block.words.iter().map(|word| word.text.as_str()).collect();
        if keys.first().is_some_and(|key| key.starts_with('(')) {
            continue;
        }
        let zones = zones(&keys, &mut imported);
        for plugin in expanded(&block.body, &blocks) {
            self::plugin(&plugin, &zones, &mut records, &mut imported);
        }
    }
    imported.records = records.into_vec();
    Ok(imported)
}

/// The zones that a block is for; its port becomes the port.
fn zones(keys: &[&str], imported: &mut Imported) -> Vec<String> {
    let mut zones = Vec::new();
    for key in keys {
        let key = key.trim_end_matches(',');
        let key = key.strip_prefix("dns://").unwrap_or(key);
        let (zone, port) = key.rsplit_once(':').unwrap_or((key, ""));
        if let Ok(port) = port.parse() {
            imported.port = Some(port);
        }
        let zone = zone.trim_end_matches('.');
        zones.push(if zone.is_empty() {
            ".".to_owned()
        } else {
            format!("{zone}.")
        });
    }
    zones
}

/// The plugins of a block, with what `import SNIPPET` stands for.
fn expanded(body: &[Directive], blocks: &[Directive]) -> Vec<Directive> {
    let mut all = Vec::new();
    for directive in body {
        let snippet = match &directive.words[..] {
            [verb, name] if verb.text == "import" => blocks.iter().find(|block| {
                let key = block.words.first().map(|word| word.text.as_str());
                key == Some(format!("({})", name.text).as_str())
            }),
            _ => None,
        };
        match snippet {
            Some(snippet) => all.extend(snippet.body.iter().cloned()),
            None => all.push(directive.clone()),
        }
    }
    all
}

fn plugin(plugin: &Directive, zones: &[String], records: &mut Records, imported: &mut Imported) {
    let Some((name, arguments)) = plugin.words.split_first() else {
        return;
    };
    let line = name.line;
    let shown = shown(&plugin.words);
    let arguments: Vec<&str> = arguments.iter().map(|word| word.text.as_str()).collect();
    match name.text.as_str() {
        known if BUILT_IN.contains(&known) => {}
        "hosts" => {
            if let Some(file) = arguments
                .first()
                .filter(|argument| argument.contains('/') || argument.contains('.'))
            {
                imported.leave_out(
                    line,
                    &shown,
                    format!("import that file too: hotdns import --format hosts {file}"),
                );
            }
            for entry in &plugin.body {
                let text = self::shown(&entry.words);
                let first = entry.words.first().map_or("", |word| word.text.as_str());
                match first {
                    "fallthrough" | "reload" | "no_reverse" => {}
                    "ttl" => imported.leave_out(line, &text, "records without a TTL have `backend.default_ttl`"),
                    _ => read_line(entry.words[0].line, &text, records, imported),
                }
            }
        }
        "file" => match arguments.split_first() {
            Some((file, own)) => {
                let own: Vec<String> = own
                    .iter()
                    .map(|zone| format!("{}.", zone.trim_end_matches('.')))
                    .collect();
                for zone in if own.is_empty() { zones } else { &own } {
                    imported.zones.push(ImportedZone {
                        name: zone.clone(),
                        file: (*file).to_owned(),
                    });
                }
            }
            None => imported.leave_out(line, &shown, "which file?"),
        },
        "forward" if arguments.first() == Some(&".") && zones.iter().any(|zone| zone == ".") => {
            for upstream in &arguments[1..] {
                match upstream.parse::<std::net::IpAddr>().is_ok() || upstream.parse::<std::net::SocketAddr>().is_ok() {
                    true => imported.upstreams.push((*upstream).to_owned()),
                    false => imported.leave_out(line, upstream, "an upstream server is an address, with a port or not"),
                }
            }
        }
        "bind" => imported
            .listen
            .extend(arguments.iter().map(|address| (*address).to_owned())),
        "template" => template(plugin, &shown, records, imported),
        "cache" => imported.leave_out(line, &shown, "see `cache` in the configuration"),
        "log" => imported.leave_out(line, &shown, "see `query_log` in the configuration"),
        "acl" => imported.leave_out(line, &shown, "see `acl` in the configuration"),
        "rewrite" => imported.leave_out(line, &shown, "see `rules` with `rewrite`, or write a CNAME record"),
        "forward" => imported.leave_out(line, &shown, "for some names alone: see `forward.routes`"),
        "kubernetes" | "etcd" | "k8s_external" => imported.leave_out(line, &shown, "see `sources`"),
        _ => imported.leave_out(line, &shown, "nothing here is the same"),
    }
}

/// A template becomes a wildcard where its match is one and its answer does not speak of the name.
fn template(plugin: &Directive, shown: &str, records: &mut Records, imported: &mut Imported) {
    let line = plugin.words[0].line;
    let of = |name: &'static str| plugin.body.iter().filter(move |entry| entry.words[0].text == name);
    let matches: Vec<_> = of("match").filter_map(|entry| entry.words.get(1)).collect();
    let wildcards: Option<Vec<_>> = matches.iter().map(|word| wildcard(&word.text)).collect();
    let (Some(wildcards), false) = (wildcards, matches.is_empty()) else {
        return imported.leave_out(
            line,
            shown,
            "its match is more than a wildcard: see `rules` with `template`",
        );
    };
    for answer in of("answer") {
        let text = answer.words[1..]
            .iter()
            .map(|word| word.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let mut fields = text
            .split_whitespace()
            .skip_while(|field| *field != "}}" && !field.ends_with("}}"))
            .skip(1);
        let ttl = fields.next().and_then(|ttl| ttl.parse().ok());
        let rtype = fields.find(|field| *field != "IN").unwrap_or_default();
        let value = fields.collect::<Vec<_>>().join(" ");
        if value.contains("{{") || !text.trim_start().starts_with("{{ .Name }}") && !text.starts_with("{{.Name}}") {
            imported.leave_out(answer.words[0].line, &text, "see `rules` with `template`");
            continue;
        }
        for (name, is_one_label) in &wildcards {
            match super::Record::parse(name, rtype, ttl, &value) {
                Ok(mut record) => {
                    record.wildcard = is_one_label.then(|| "one_label".to_owned());
                    records.push(record);
                }
                Err(error) => imported.leave_out(answer.words[0].line, &text, error),
            }
        }
    }
}

fn shown(words: &[Word]) -> String {
    words
        .iter()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads directives up to the closing brace, or to the end.
fn directives(words: &[Word], at: &mut usize, is_inside: bool) -> Result<Vec<Directive>, FormatError> {
    let mut all = Vec::new();
    while let Some(first) = words.get(*at) {
        if first.text == "}" {
            if !is_inside {
                return Err(FormatError::at(first.line, "`}` closes nothing"));
            }
            *at += 1;
            return Ok(all);
        }
        let mut directive = Directive {
            words: Vec::new(),
            body: Vec::new(),
        };
        let mut line = first.line;
        while let Some(word) = words.get(*at) {
            // A block's keys may be on several lines, with a comma behind each.
            let goes_on = directive.words.last().is_some_and(|last| last.text.ends_with(','));
            if word.text == "{" {
                *at += 1;
                directive.body = directives(words, at, true)?;
                break;
            }
            if word.text == "}" || word.line != line && !goes_on {
                break;
            }
            line = word.line;
            directive.words.push(word.clone());
            *at += 1;
        }
        if directive.words.is_empty() {
            return Err(FormatError::at(first.line, "`{` without a zone or a plugin before it"));
        }
        all.push(directive);
    }
    match (is_inside, words.last()) {
        (true, Some(last)) => Err(FormatError::at(last.line, "a `{` is not closed by `}`")),
        _ => Ok(all),
    }
}

/// Words, with quotes taken off, and without comments.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let mut letters = content.chars().peekable();
        while let Some(&letter) = letters.peek() {
            if letter.is_whitespace() {
                letters.next();
            } else if letter == '#' {
                break;
            } else if letter == '"' {
                letters.next();
                let mut text = String::new();
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' if letters.peek() == Some(&'"') => text.extend(letters.next()),
                        letter => text.push(letter),
                    }
                }
                words.push(Word { text, line });
            } else {
                let mut text = String::new();
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    text.push(letter);
                }
                words.push(Word { text, line });
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
(common) {
    errors
    forward . 1.1.1.1 1.0.0.1:53
}
.:9053 {
    import common
    log
    template IN A traefik {
        match ^([^.]+)\.traefik\.$
        answer "{{ .Name }} 60 IN A 172.20.0.3"
        fallthrough
    }
    template IN A db {
        match "^db-([0-9]+)\.db\.$"
        answer "{{ .Name }} 60 IN A 10.0.0.{{ index .Match 1 }}"
    }
    hosts {
        192.0.2.7 seven.example # comment
        fallthrough
    }
}
example.com,
example.org {
    file /etc/coredns/db.example
    bind 192.0.2.53
    any
}
"#;

    #[test]
    fn what_maps_is_taken_and_the_rest_is_listed() {
        let imported = read(SAMPLE).expect("valid");
        assert_eq!(imported.port, Some(9053));
        assert_eq!(imported.upstreams, ["1.1.1.1", "1.0.0.1:53"]);
        assert_eq!(imported.listen, ["192.0.2.53"]);
        let [wild, seven] = &imported.records[..] else {
            panic!("{:?}", imported.records)
        };
        assert_eq!(
            (&wild.name[..], wild.ttl, &wild.value[0][..]),
            ("*.traefik.", Some(60), "172.20.0.3")
        );
        assert_eq!(wild.wildcard.as_deref(), Some("one_label"));
        assert_eq!(seven.name, "seven.example.");
        let zones: Vec<_> = imported.zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(zones, ["example.com.", "example.org."]);
        let left: Vec<_> = imported
            .left_out
            .iter()
            .map(|part| (part.line, part.text.as_str()))
            .collect();
        assert_eq!(left, [(8, "log"), (14, "template IN A db"), (27, "any")]);
    }

    #[test]
    fn braces_must_match() {
        assert_eq!(read(". {\n log\n").expect_err("open").line, 2);
        assert_eq!(read("}\n").expect_err("closes nothing").line, 1);
    }
}
