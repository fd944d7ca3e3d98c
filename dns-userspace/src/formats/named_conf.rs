//! BIND's named.conf: its zones with a file, and the addresses that it forwards to. Zones without one, views, keys and
//! access lists are listed.

use std::net::IpAddr;
use std::path::Path;

use super::{FormatError, Imported, ImportedZone};

/// A statement: its words, and what stands in its braces.
#[derive(Debug)]
struct Statement {
    words: Vec<String>,
    body: Vec<Statement>,
    line: usize,
}

pub(super) fn read(text: &str) -> Result<Imported, FormatError> {
    let tokens = tokens(text)?;
    let mut at = 0;
    let statements = statements(&tokens, &mut at, false)?;
    let mut imported = Imported::default();
    let directory = find(&statements, "options")
        .and_then(|options| find(&options.body, "directory"))
        .and_then(|directory| directory.words.get(1).cloned())
        .unwrap_or_default();
    for statement in &statements {
        top_level(statement, Path::new(&directory), &mut imported);
    }
    Ok(imported)
}

fn find<'a>(statements: &'a [Statement], word: &str) -> Option<&'a Statement> {
    statements
        .iter()
        .find(|statement| statement.words.first().is_some_and(|first| first == word))
}

fn top_level(statement: &Statement, directory: &Path, imported: &mut Imported) {
    let word = statement.words.first().map_or("", String::as_str);
    let shown = statement.words.join(" ");
    match word {
        "zone" => zone(statement, directory, imported),
        "options" => {
            for option in &statement.body {
                self::option(option, imported);
            }
        }
        "include" => imported.leave_out(statement.line, &shown, "import that file too"),
        "view" => imported.leave_out(statement.line, &shown, "see `views`; its zones are not taken over"),
        "acl" => imported.leave_out(statement.line, &shown, "see `acl`"),
        "key" | "tls" | "dnssec-policy" | "controls" | "server" | "trust-anchors" | "statistics-channels" => {
            imported.leave_out(statement.line, &shown, "keys and control channels are not taken over");
        }
        "logging" => imported.leave_out(statement.line, &shown, "see `log_level`"),
        _ => imported.leave_out(statement.line, &shown, "nothing here is the same"),
    }
}

fn zone(statement: &Statement, directory: &Path, imported: &mut Imported) {
    let Some(name) = statement.words.get(1) else {
        return imported.leave_out(statement.line, "zone", "which zone?");
    };
    let word = |option: &str| {
        find(&statement.body, option)
            .and_then(|found| found.words.get(1))
            .map(String::as_str)
    };
    let name = if name == "." {
        ".".to_owned()
    } else {
        format!("{}.", name.trim_end_matches('.'))
    };
    let shown = format!("zone {name}");
    let mut leave_out = |reason: &str| imported.leave_out(statement.line, &shown, reason);
    match (word("type").unwrap_or("master"), word("file")) {
        ("master" | "primary", Some(file)) => {
            let file = directory.join(file).display().to_string();
            for option in &statement.body {
                let first = option.words.first().map_or("", String::as_str);
                if !matches!(first, "type" | "file") {
                    let text = format!("zone {name} {}", option.words.join(" "));
                    imported.leave_out(option.line, &text, "this of the zone is not taken over");
                }
            }
            imported.zones.push(ImportedZone { name, file });
        }
        ("master" | "primary", None) => leave_out("a primary zone without a file"),
        ("slave" | "secondary" | "mirror", _) => leave_out("a secondary: see `primary` of a zone"),
        ("forward", _) => leave_out("see `forward.routes`"),
        ("hint", _) => leave_out("root servers are not asked: see `backend.upstream`"),
        (other, _) => leave_out(&format!("nothing here is a zone of the type `{other}`")),
    }
}

fn option(option: &Statement, imported: &mut Imported) {
    let shown = option.words.join(" ");
    let addresses = || option.body.iter().filter_map(|entry| entry.words.first());
    match option.words.first().map_or("", String::as_str) {
        "directory" | "pid-file" | "recursion" | "version" | "forward" => {}
        "forwarders" => {
            for entry in &option.body {
                let port = entry.words.iter().skip_while(|word| *word != "port").nth(1);
                match (entry.words.first().and_then(|word| word.parse::<IpAddr>().ok()), port) {
                    (Some(address), None) => imported.upstreams.push(address.to_string()),
                    (Some(address), Some(port)) => {
                        let port = port.parse().unwrap_or(53);
                        imported
                            .upstreams
                            .push(std::net::SocketAddr::new(address, port).to_string());
                    }
                    (None, _) => imported.leave_out(entry.line, &entry.words.join(" "), "no address"),
                }
            }
        }
        "listen-on" | "listen-on-v6" => {
            if let Some(port) = option.words.get(2).and_then(|port| port.parse().ok()) {
                imported.port = Some(port);
            }
            let all: Vec<&String> = addresses()
                .filter(|address| address.parse::<IpAddr>().is_ok())
                .collect();
            if all.len() < option.body.len() && !addresses().any(|address| address == "any") {
                imported.leave_out(option.line, &shown, "write the addresses into `listen`");
            }
            imported.listen.extend(all.into_iter().cloned());
        }
        "allow-query" | "allow-recursion" | "allow-transfer" | "blackhole" => {
            imported.leave_out(
                option.line,
                &shown,
                "see `acl`, `backend.upstream.allow` and `transfer`",
            );
        }
        _ => imported.leave_out(option.line, &shown, "nothing here is the same"),
    }
}

fn statements(tokens: &[(String, usize)], at: &mut usize, is_inside: bool) -> Result<Vec<Statement>, FormatError> {
    let mut all = Vec::new();
    let mut open: Option<Statement> = None;
    while let Some((token, line)) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "{" => {
                let body = statements(tokens, at, true)?;
                open.get_or_insert_with(|| Statement::new(*line)).body = body;
            }
            ";" => all.extend(open.take()),
            "}" if is_inside => match open {
                None => return Ok(all),
                Some(_) => return Err(FormatError::at(*line, "`;` is missing before `}`")),
            },
            "}" => return Err(FormatError::at(*line, "`}` closes nothing")),
            _ => open
                .get_or_insert_with(|| Statement::new(*line))
                .words
                .push(token.clone()),
        }
    }
    let line = tokens.last().map_or(1, |(_, line)| *line);
    match (is_inside, open) {
        (true, _) => Err(FormatError::at(line, "a `{` is not closed by `}`")),
        (false, Some(statement)) => Err(FormatError::at(statement.line, "this statement does not end with `;`")),
        (false, None) => Ok(all),
    }
}

impl Statement {
    fn new(line: usize) -> Self {
        Self {
            words: Vec::new(),
            body: Vec::new(),
            line,
        }
    }
}

/// Words, strings without quotes, and `{`, `}`, `;`, each with its line; comments are `//`, `#` and `/* */`.
fn tokens(text: &str) -> Result<Vec<(String, usize)>, FormatError> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(letter) = rest.chars().next() {
        let length = if rest.starts_with("//") || letter == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            let end = rest
                .find("*/")
                .ok_or_else(|| FormatError::at(line, "a `/*` is not closed by `*/`"))?;
            end + 2
        } else if letter == '"' {
            let end = rest[1..]
                .find('"')
                .ok_or_else(|| FormatError::at(line, "a quote is not closed"))?;
            tokens.push((rest[1..=end].to_owned(), line));
            end + 2
        } else if letter.is_whitespace() {
            letter.len_utf8()
        } else if matches!(letter, '{' | '}' | ';') {
            tokens.push((letter.to_string(), line));
            1
        } else {
            let ends = |letter: char| letter.is_whitespace() || matches!(letter, '{' | '}' | ';' | '"');
            let end = rest.find(ends).unwrap_or(rest.len());
            tokens.push((rest[..end].to_owned(), line));
            end
        };
        let (passed, behind) = rest.split_at(length);
        line += passed.matches('\n').count();
        rest = behind;
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_forwarders_are_taken_and_the_rest_is_listed() {
        let imported = read(
            "// comment\noptions {\n  directory \"/var/cache/bind\";\n  forwarders { 1.1.1.1; 9.9.9.9 port 5353; };\n\
             \x20 listen-on port 5300 { 192.0.2.1; };\n  dnssec-validation auto;\n};\n\
             zone \"example.com\" IN { type master; file \"/etc/bind/db.example\"; };\n\
             /* two\nlines */ zone \"example.net\" { type primary; file \"net.zone\"; allow-update { none; }; };\n\
             zone \"sec.example\" { type slave; masters { 192.0.2.9; }; file \"x\"; };\n\
             zone \".\" { type hint; file \"/usr/share/dns/root.hints\"; };\n",
        )
        .expect("valid");
        let zones: Vec<_> = imported
            .zones
            .iter()
            .map(|zone| (&zone.name[..], &zone.file[..]))
            .collect();
        assert_eq!(
            zones,
            [
                ("example.com.", "/etc/bind/db.example"),
                ("example.net.", "/var/cache/bind/net.zone")
            ]
        );
        assert_eq!(imported.upstreams, ["1.1.1.1", "9.9.9.9:5353"]);
        assert_eq!(
            (imported.port, &imported.listen[..]),
            (Some(5300), &["192.0.2.1".to_owned()][..])
        );
        let lines: Vec<_> = imported.left_out.iter().map(|part| part.line).collect();
        assert_eq!(lines, [6, 10, 11, 12]);
    }

    #[test]
    fn errors_have_their_line() {
        assert_eq!(
            read("zone \"a\" {\n type master }\n").expect_err("no semicolon").line,
            2
        );
        assert_eq!(read("options {\n").expect_err("open").line, 1);
        assert_eq!(read("\n/* x").expect_err("open").line, 2);
    }
}
