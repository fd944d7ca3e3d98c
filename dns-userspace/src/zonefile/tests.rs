//! Tests of whole zone files: what they hold, and where each error is.

use std::fs;

use super::*;
use crate::model::rdata::format_value;
use crate::model::source::Origin;
use crate::model::work;

const HEAD: &str = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n";

fn load_files(files: &[(&str, &[u8])]) -> Result<ZoneContent, Vec<ZoneFileError>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, octets) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, octets).expect("written");
    }
    load(
        &folder.path().join(files[0].0),
        &"example.com.".parse().expect("a name"),
        Arc::from("z"),
    )
}

/// Each RR as `OWNER TTL TYPE VALUE`.
fn records(content: &ZoneContent) -> Vec<String> {
    let mut lines = Vec::new();
    for (owner, rrset) in &content.rrsets {
        for rdata in &rrset.rdatas {
            lines.push(format!(
                "{owner} {} {} {}",
                rrset.ttl,
                rrset.rtype,
                format_value(rrset.rtype, rdata)
            ));
        }
    }
    lines
}

/// The records that `text` adds to a zone with SOA and NS at its apex.
fn added(text: &str) -> Vec<String> {
    let content = load_files(&[("z", format!("{HEAD}{text}").as_bytes())]);
    records(&content.unwrap_or_else(|errors| panic!("{errors:?}"))).split_off(2)
}

/// `LINE:COLUMN: MESSAGE: TEXT` of each error; lines count from the first of `text`.
fn errors(text: &str) -> Vec<String> {
    let errors = load_files(&[("z", format!("{HEAD}{text}").as_bytes())]).expect_err("errors");
    let shown = errors.iter().map(|error| {
        let shown = error.to_string();
        let place = format!("{}:{}:{}:", error.file.display(), error.line, error.column);
        assert!(shown.starts_with(&place), "{shown}");
        format!("{}:{}:{}", error.line - 3, error.column, &shown[place.len()..])
    });
    shown.collect()
}

#[track_caller]
fn assert_error(text: &str, place: &str, message: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with(&format!("{place}: ")) && errors[0].contains(message),
        "{errors:?}"
    );
}

#[test]
fn rfc1035_5_3_example_loads() {
    let zone = "\
$ORIGIN com.
$TTL 1D
example IN SOA VENERA Action\\.domains (
                                 20     ; SERIAL
                                 7200   ; REFRESH
                                 600    ; RETRY
                                 3600000; EXPIRE
                                 60)    ; MINIMUM

        NS      A.example
        MX      10      VENERA.example

$origin example
A       A       26.3.0.103
\t1h IN A 26.3.0.104
VENERA  IN 60 A 10.1.0.52
* 60 IN TXT a\\032b \"c;d\" (
 e)
@ TYPE65280 \\# 1 00
";
    let content = load_files(&[("z", zone.as_bytes())]).expect("a zone");
    assert_eq!(
        records(&content),
        [
            "example.com. 86400 SOA VENERA.com. Action\\.domains.com. 20 7200 600 3600000 60",
            "example.com. 86400 NS A.example.com.",
            "example.com. 86400 MX 10 VENERA.example.com.",
            "A.example.com. 3600 A 26.3.0.103",
            "A.example.com. 3600 A 26.3.0.104",
            "VENERA.example.com. 60 A 10.1.0.52",
            "*.example.com. 60 TXT \"a b\" \"c;d\" \"e\"",
            "example.com. 86400 TYPE65280 \\# 1 00",
        ]
    );
    assert_eq!(content.warnings.len(), 1, "{:?}", content.warnings);
    assert!(content.warnings[0].contains("z:15:8: the TTLs in the A RRset of `A.example.com.` differ"));
    assert!(
        content
            .rrsets
            .iter()
            .all(|(_, rrset)| rrset.origin == Origin::zone_file("z"))
    );
}

#[test]
fn line_ends_marks_and_octets_of_any_kind_are_read() {
    let mut zone = b"\xEF\xBB\xBF".to_vec();
    zone.extend(HEAD.replace('\n', "\r\n").bytes());
    zone.extend(b"a\xFF\x01 TXT \"\xE9\x00\"\r\n\r\n  \r\nb A 192.0.2.1");
    let content = load_files(&[("z", &zone)]).expect("a zone");
    assert_eq!(
        records(&content)[2..],
        [
            "a\\255\\001.example.com. 300 TXT \"\\233\\000\"",
            "b.example.com. 300 A 192.0.2.1"
        ]
    );
}

#[test]
fn ttls_come_from_the_record_then_ttl_then_the_last_one_then_the_soa() {
    let load = |text: &str| records(&load_files(&[("z", text.as_bytes())]).expect("a zone"));
    let ttls = |text: &str| {
        let lines = load(text);
        lines
            .iter()
            .map(|line| line.split(' ').nth(1).expect("a TTL").to_owned())
            .collect::<Vec<_>>()
    };
    let soa = "SOA ns h 1 2 3 4 77\n";
    assert_eq!(
        ttls(&format!("@ {soa}@ NS a\n@ 5 MX 1 a\n@ A 1.2.3.4\n")),
        ["77", "77", "5", "77"]
    );
    assert_eq!(
        ttls(&format!("@ 9 {soa}@ NS a\n@ 5 MX 1 a\n@ A 1.2.3.4\n")),
        ["9", "9", "5", "5"]
    );
    assert_eq!(
        ttls(&format!("$TTL 1m\n@ 9 {soa}@ NS a\n$TTL 1h\n@ A 1.2.3.4\n")),
        ["9", "60", "3600"]
    );
    assert_eq!(ttls(&format!("@ 0 {soa}@ 2147483647 NS a\n")), ["0", "2147483647"]);
}

#[test]
fn rrsets_collapse_duplicates_and_keep_the_first_order() {
    let lines = added("a A 192.0.2.2\nA A 192.0.2.1\na MX 1 B\na A 192.0.2.2\nA MX 1 b\na A 192.0.2.3\n");
    let expected = ["A 192.0.2.2", "A 192.0.2.1", "A 192.0.2.3", "MX 1 B.example.com."];
    assert_eq!(lines, expected.map(|line| format!("a.example.com. 300 {line}")));

    let many: String = (0..100)
        .map(|n| format!("a A 192.0.2.{n}\na A 192.0.2.{}\n", n / 2))
        .collect();
    assert_eq!(added(&many).len(), 100);
    assert_eq!(
        added("a CNAME b\na CNAME B.EXAMPLE.com.\na RRSIG CNAME 8 2 1 1 1 1 a AA==\na NSEC b CNAME\n").len(),
        3
    );
}

#[test]
fn generate_makes_records() {
    assert_eq!(
        added("$GENERATE 1-2 host$ 60 IN A 192.0.2.$\n$GENERATE 0-4/4 ${0,3}.s MX \"1$ m${1,2,x}\"\n"),
        [
            "host1.example.com. 60 A 192.0.2.1",
            "host2.example.com. 60 A 192.0.2.2",
            "000.s.example.com. 300 MX 10 m01.example.com.",
            "004.s.example.com. 300 MX 14 m05.example.com.",
        ]
    );
    assert_eq!(
        added("$GENERATE 7-7 t$ TXT \"a $\" b$\n"),
        ["t7.example.com. 300 TXT \"a 7\" \"b7\""]
    );
}

#[test]
fn generate_errors_are_at_the_directive() {
    assert_error(
        "\n$GENERATE 250-300 h$ A 192.0.2.$\n",
        "2:1",
        "in the record made for 256, at `192.0.2.256`: this is no IPv4",
    );
    assert_error("$GENERATE 3-1 h$ A 192.0.2.$\n", "1:11", "a range is START-STOP");
    assert_error("$GENERATE 1-3 h${ A 192.0.2.$\n", "1:15", "${OFFSET}");
    assert_error("$GENERATE 1-3 h$ A\n", "1:18", "$GENERATE takes a range");
    assert_error("$GENERATE 1-3 h$ NOSUCH 1\n", "1:18", "unknown record type");
    assert_error(
        "$GENERATE 1-3 h$.org. A 1.2.3.4\n",
        "1:1",
        "made for 1, at `h1.org.`: this owner is not in the zone",
    );
}

#[test]
fn included_files_have_their_own_scope_but_for_ttls() {
    let zone = format!("{HEAD}a A 1.2.3.4\n$INCLUDE sub/one sub\n AAAA ::1\nb A 1.2.3.4\n");
    let one = "x A 1.2.3.5\n$TTL 9\n$ORIGIN y\n@ A 1.2.3.6\n$INCLUDE \"../two\" .\n";
    let content = load_files(&[
        ("z", zone.as_bytes()),
        ("sub/one", one.as_bytes()),
        ("two", b" TXT t\nw.example.com TXT u"),
    ]);
    assert_eq!(
        records(&content.expect("a zone"))[2..],
        [
            "a.example.com. 300 A 1.2.3.4",
            "x.sub.example.com. 300 A 1.2.3.5",
            "y.sub.example.com. 9 A 1.2.3.6",
            "y.sub.example.com. 9 TXT \"t\"",
            "w.example.com. 9 TXT \"u\"",
            "a.example.com. 9 AAAA ::1",
            "b.example.com. 9 A 1.2.3.4",
        ]
    );
    let zone = "@ 5 SOA ns host 1 1 1 1 1\n$INCLUDE one\na A 1.2.3.4\n";
    let content = load_files(&[("z", zone.as_bytes()), ("one", b"x 7 A 1.2.3.5\n")]);
    assert_eq!(records(&content.expect("a zone"))[2], "a.example.com. 7 A 1.2.3.4");
}

#[test]
fn errors_in_included_files_name_the_file() {
    let zone = format!("{HEAD}$INCLUDE sub/one\n");
    let errors = load_files(&[("z", zone.as_bytes()), ("sub/one", b"\na A x\n")]).expect_err("an error");
    assert!(errors[0].file.ends_with("sub/one"), "{}", errors[0]);
    assert_eq!((errors[0].line, errors[0].column, errors[0].text.as_str()), (2, 5, "x"));
}

#[test]
fn includes_stay_in_the_folder_and_end() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), "a A 1.2.3.4\n").expect("written");
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).expect("linked");
    std::os::unix::fs::symlink("real", folder.path().join("inner")).expect("linked");
    fs::write(folder.path().join("real"), "b A 1.2.3.4\n").expect("written");
    fs::create_dir(folder.path().join("dir")).expect("a folder");
    let apex = "example.com.".parse().expect("a name");
    let path = folder.path().join("z");
    for (file, message) in [
        ("link", Some("must lie in the folder")),
        ("../../../../../../etc/hostname", Some("must lie in the folder")),
        ("/etc/passwd", Some("must lie in the folder")),
        ("z", Some("includes itself")),
        ("dir/../z", Some("includes itself")),
        ("dir", Some("not a regular file")),
        ("absent", Some("cannot be read")),
        ("inner", None),
    ] {
        fs::write(&path, format!("{HEAD}$INCLUDE {file}\n")).expect("written");
        match (load(&path, &apex, Arc::from("z")), message) {
            (Ok(content), None) => assert_eq!(content.rrsets.len(), 3),
            (Err(errors), Some(message)) => {
                assert_eq!((errors[0].line, errors[0].column), (4, 10), "{file}");
                assert!(errors[0].to_string().contains(message), "{}", errors[0]);
            }
            (result, _) => panic!("{file}: {result:?}"),
        }
    }
    for number in 0..20 {
        fs::write(
            folder.path().join(format!("f{number}")),
            format!("$INCLUDE f{}\n", number + 1),
        )
        .expect("written");
    }
    fs::write(&path, format!("{HEAD}$INCLUDE f0\n")).expect("written");
    let errors = load(&path, &apex, Arc::from("z")).expect_err("too deep");
    assert!(errors[0].to_string().contains("up to 16 deep"), "{}", errors[0]);
}

#[test]
fn errors_have_line_column_text_and_advice() {
    assert_error(
        "a A 1.2.3.400\n",
        "1:5",
        "no IPv4 address; write four numbers, as in `192.0.2.1`: `1.2.3.400`",
    );
    assert_error("\n\n\ta.b  MX 10 x\n", "3:2", "unknown record type `a.b`");
    assert_error("a 300 IN MX (\n  10\n  x..y )\n", "3:3", "empty label");
    assert_error(
        "a MX 10\n",
        "1:6",
        "the mail server is missing; MX takes preference, mail server",
    );
    assert_error("a A 1.2.3.4 5\n", "1:13", "more than the value takes");
    assert_error("é A 1.2.3.4\n\"ü\" A 1.2.3.4\n", "2:2", "quotes do not belong");
    assert_error("é TXT \"é\" é A\\300\n", "1:13", "backslash must be followed");
    assert_error("a\n", "1:1", "the record type is missing");
    assert_error("a CH A 1.2.3.4\n", "1:3", "class is not served");
    assert_error("a 1 2 A 1.2.3.4\n", "1:5", "unknown record type `2`");
    assert_error("a 2147483648 A 1.2.3.4\n", "1:3", "0 to 2147483647");
    assert_error("a 1h3 A 1.2.3.4\n", "1:3", "0 to 2147483647");
    assert_error("a ANY 1.2.3.4\n", "1:3", "no type that data can have");
    assert_error("a NOSUCH 1.2.3.4\n", "1:3", "unknown record type `NOSUCH`");
    assert_error(
        "a.example.org. A 1.2.3.4\n A 1.2.3.5\n",
        "1:1",
        "not in the zone `example.com.`",
    );
    assert_error("a TXT \"x\nb A 1.2.3.4\n", "1:7", "does not end on its line");
    assert_error("a MX ( 1 b\nb A 1.2.3.4\n", "1:6", "never closed");
    assert_error("a MX 1 b )\nb A 1.2.3.4\n", "1:10", "never opened");
    assert_error("$TTL\n", "1:1", "$TTL takes one time");
    assert_error("$TTL x\n", "1:6", "0 to 2147483647");
    assert_error("$ORIGIN a b\n", "1:11", "$ORIGIN takes one name");
    assert_error("$NOSUCH a\n", "1:1", "unknown directive");
    assert_error("$INCLUDE\n", "1:1", "$INCLUDE takes a file");
    assert_error("a SVCB 1 . port=\"x\"\n", "1:12", "service parameter `port`");
}

#[test]
fn checks_of_the_whole_zone() {
    assert_error(
        "a CNAME b\nA A 1.2.3.4\n",
        "2:3",
        "`a.example.com.` has a CNAME and other data (A)",
    );
    assert_error("a CNAME b\na CNAME c\n", "2:3", "has a second CNAME");
    assert_error(
        "a ALIAS b\na CNAME b\n",
        "1:3",
        "`a.example.com.` has a CNAME and other data (ALIAS)",
    );
    assert_error(
        "a AAAA 2001:db8::1\n@ ALIAS b.\na ALIAS b\n",
        "1:3",
        "`a.example.com.` has an ALIAS and AAAA",
    );
    assert_error("a ALIAS b\na ALIAS c\n", "2:3", "has a second ALIAS");
    assert_error("a DNAME b\na DNAME c\n", "2:3", "has a second DNAME");
    assert_error("@ SOA ns h 2 2 3 4 5\n", "1:3", "has a second SOA");
    assert_error("a SOA ns h 2 2 3 4 5\n", "1:3", "not the apex");
    let errors = load_files(&[("z", b"$TTL 1\na A 1.2.3.4\n")]).expect_err("no SOA");
    assert_eq!((errors[0].line, errors[0].column), (1, 1));
    assert!(errors[0].message.contains("no SOA record at its apex `example.com.`"));

    let warned = |text: &str, message: &str| {
        let content = load_files(&[("z", text.as_bytes())]).expect("a zone");
        assert_eq!(content.warnings.len(), 1, "{:?}", content.warnings);
        assert!(content.warnings[0].contains(message), "{:?}", content.warnings);
    };
    warned("@ 5 SOA ns h 1 2 3 4 5\n", "z:1:1: the zone has no NS record");
    warned(&format!("{HEAD}*.a NS b\n"), "z:4:5: a wildcard owns an NS RRset");
    warned(
        &format!("{HEAD}a A 1.2.3.4\na RRSIG A 8 2 1 1 1 1 a AA==\n"),
        "z:5:3: the zone is signed",
    );
    warned("@ SOA ns h 1 2 3 4 5\n@ NS ns\n", "z:1:3: no $TTL");
    let values = (0..400).map(|number| format!("a TXT {number:0200}\n"));
    let large = format!("{HEAD}{}", values.collect::<String>());
    warned(
        &large,
        "z:4:3: the TXT RRset of `a.example.com.` takes 85242 octets before compression",
    );
}

#[test]
fn errors_and_warnings_are_many_but_bounded() {
    let errors = errors(&"a A x\n\nb A 1.2.3.4\n".repeat(50));
    assert_eq!(errors.len(), MAX_ERRORS);
    assert!(
        errors[0].starts_with("1:5:") && errors[19].starts_with("58:5:"),
        "{errors:?}"
    );

    let text: String = (0..50)
        .map(|n| format!("a{n} 1 A 1.2.3.4\na{n} 2 A 1.2.3.5\n"))
        .collect();
    let content = load_files(&[("z", format!("{HEAD}{text}").as_bytes())]).expect("a zone");
    assert_eq!(content.warnings.len(), 21);
    assert!(content.warnings[20].ends_with("and 30 more warnings"));
    assert!(content.rrsets[2..].iter().all(|(_, rrset)| rrset.ttl == 1));
}

#[test]
fn messages_are_short_and_of_one_line_whatever_is_in_the_file() {
    let long = "x".repeat(1_000_000);
    for text in [
        format!("{long} A 1.2.3.4\n"),
        format!("a CNAME {long}\n"),
        format!("a \x1b[34m{long} 1\n"),
        format!("a TXT \"{long}\"\n"),
        format!("$ORIGIN {long}\n"),
        format!("$GENERATE 1-2 {long} A 1.2.3.4\n"),
        format!("{long}\u{1b}.{long} A 1.2.3.4\n"),
    ] {
        let shown = &errors(&text)[0];
        assert!(shown.len() < 700 && !shown.contains(char::is_control), "{shown}");
    }
}

#[test]
fn files_in_all_are_limited() {
    let many = "$INCLUDE b\n".repeat(101);
    let zone = format!("{HEAD}{}", "$INCLUDE a\n".repeat(100));
    let files = [("z", zone.as_bytes()), ("a", many.as_bytes()), ("b", b"")];
    let errors = load_files(&files).expect_err("too many files");
    assert!(errors[0].message.contains("10000 files"), "{}", errors[0]);
}

#[test]
fn a_file_that_is_not_there_has_no_line() {
    let apex = "example.com.".parse().expect("a name");
    for path in ["/nonexistent/z", "/dev/null", "/dev"] {
        let errors = load(Path::new(path), &apex, Arc::from("z")).expect_err("no file");
        assert!(
            errors[0]
                .to_string()
                .starts_with(&format!("{path}: the zone file cannot be read: ")),
            "{}",
            errors[0]
        );
    }
    let errors = load_files(&[("z", b"")]).expect_err("an empty file");
    assert!(errors[0].message.contains("no SOA"));
}

#[test]
fn random_files_never_panic() {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let parts = [
        "$TTL",
        "$ORIGIN",
        "$GENERATE",
        "$INCLUDE",
        "$",
        "${0,1}",
        "1-3",
        "@",
        "a",
        "300",
        "IN",
        "A",
        "TXT",
        "SOA",
        "192.0.2.1",
        "\"",
        "(",
        ")",
        ";",
        "\n",
        "\n\t",
        " ",
        " ",
        " ",
        "\\",
        "\\#",
        "é",
        "\u{0}",
    ];
    for _ in 0..1_000 {
        let text: String = (0..rng.random_range(0..40))
            .map(|_| parts[rng.random_range(0..parts.len())])
            .collect();
        if let Err(errors) = load_files(&[("z", format!("{HEAD}{text}").as_bytes())]) {
            assert!((1..=MAX_ERRORS).contains(&errors.len()));
            assert!(
                errors.iter().all(|error| error.line > 0 && error.column > 0),
                "{errors:?}"
            );
        }
    }
}

/// The types of a file with one RR of each, which no zone file has two of at once.
fn types() -> impl Iterator<Item = u16> {
    (1000..=u16::MAX).filter(|rtype| *rtype != 65_401)
}

#[test]
fn many_types_at_one_name_are_found_by_their_type() {
    let text: String = (0..4)
        .flat_map(|value| types().map(move |rtype| format!("a TYPE{rtype} \\# 1 0{value}\n")))
        .collect();
    let (content, steps) = work::steps(|| load_files(&[("z", format!("{HEAD}{text}").as_bytes())]).expect("a zone"));
    assert_eq!(content.rrsets.len(), 2 + types().count());
    assert!(content.rrsets[2..].iter().all(|(_, rrset)| rrset.rdatas.len() == 4));
    assert!(steps < 1000, "{steps} of {} RRs", 4 * types().count());
}

#[test]
fn many_values_that_come_in_turns_are_each_compared_with_few() {
    let (names, values) = (4, 30_000);
    let text: String = (0..values)
        .flat_map(|value| (0..names).map(move |name| format!("h{name} A 10.{}.{}.0\n", value >> 8, value & 255)))
        .collect();
    let content = load_files(&[("z", format!("{HEAD}{text}{text}").as_bytes())]).expect("a zone");
    assert!(
        content.rrsets[2..]
            .iter()
            .all(|(_, rrset)| rrset.rdatas.len() == values)
    );
    assert_eq!(content.warnings.len(), names, "each is larger than any message");
}

fn refused_for_memory(files: &[(&str, &[u8])], limit: u64) -> (String, Budget) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, octets) in files {
        fs::write(folder.path().join(name), octets).expect("written");
    }
    let mut budget = Budget::new(crate::host::memory::Size(limit));
    let apex = "example.com.".parse().expect("a name");
    let result = load_within(&folder.path().join(files[0].0), &apex, Arc::from("z"), &mut budget);
    let Err(LoadError::Errors(errors)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(errors.len(), 1, "{errors:?}");
    (errors[0].to_string(), budget)
}

#[test]
fn a_zone_that_takes_too_much_memory_is_refused_with_figures() {
    let hosts: String = (0..10_000).map(|host| format!("host{host} A 192.0.2.1\n")).collect();
    let text = format!("{HEAD}{hosts}");
    // Some way into the file it is clear; the estimate is for all of it.
    let (error, budget) = refused_for_memory(&[("z", text.as_bytes())], 1 << 20);
    assert!(
        error.contains("this zone takes about 5.") && error.contains("MiB of memory, and "),
        "{error}"
    );
    assert!(error.contains("of 1MiB (`limits.memory`) is left"), "{error}");
    assert!(!error.contains("SOA"), "{error}");
    // What it took is given back.
    assert_eq!(
        format!("{budget:?}"),
        format!("{:?}", Budget::new(crate::host::memory::Size(1 << 20)))
    );

    // A file that is larger than all there is is not read.
    let (error, _) = refused_for_memory(&[("z", text.as_bytes())], 1 << 16);
    assert!(
        error.contains("z: this file, which is read whole, takes about "),
        "{error}"
    );
    let main = format!("{HEAD}$INCLUDE i\nbad A x\n");
    let (error, _) = refused_for_memory(&[("z", main.as_bytes()), ("i", text.as_bytes())], 1 << 16);
    assert!(error.contains("z:4:10: this file, which is read whole"), "{error}");

    for directive in [
        "$GENERATE 1-10000000 h$ A 192.0.2.1",
        "$GENERATE 0-2147483647/200 h$ A 192.0.2.1",
        "$GENERATE 1-16777216 h TYPE65280 ( \\# 4 ${0,8,x} )",
    ] {
        let text = format!("{HEAD}{directive}\nbad A x\n");
        let (error, _) = refused_for_memory(&[("z", text.as_bytes())], 256 << 20);
        assert!(error.contains("z:4:11: this directive, which makes 1"), "{error}");
    }
    // Many small ones add up.
    let text = format!(
        "{HEAD}{}",
        (0..1000)
            .map(|at| format!("$GENERATE 1-1000 h$.{at} A 192.0.2.1\n"))
            .collect::<String>()
    );
    let (error, _) = refused_for_memory(&[("z", text.as_bytes())], 16 << 20);
    assert!(error.contains("takes about "), "{error}");
}

#[test]
fn files_that_are_included_again_are_read_once_and_add_up() {
    let part: String = (0..3000).map(|host| format!("host{host} A 192.0.2.1\n")).collect();
    let load = |times: usize, part: &str, limit: u64| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(
            folder.path().join("z"),
            format!("{HEAD}{}", "$INCLUDE part\n".repeat(times)),
        )
        .expect("written");
        fs::write(folder.path().join("part"), part).expect("written");
        let mut budget = Budget::new(crate::host::memory::Size(limit));
        let apex = "example.com.".parse().expect("a name");
        load_within(&folder.path().join("z"), &apex, Arc::from("z"), &mut budget)
    };
    let content = load(100, &part, 2 << 20).expect("memory for one of it");
    assert_eq!(content.rrsets.len(), 3002);
    let empty = load(9000, "", 1 << 20).expect("empty files");
    assert_eq!(empty.rrsets.len(), 2);
    let long = ";".repeat(300_000);
    let Err(LoadError::Errors(errors)) = load(9000, &long, 1 << 40) else {
        panic!("too much to read");
    };
    assert!(
        errors[0].to_string().contains("add up to more than 64MiB"),
        "{errors:?}"
    );
}

#[test]
fn lists_of_errors_and_warnings_end() {
    let soas: String = (0..50_000)
        .map(|host| format!("h{host} SOA ns h 1 2 3 4 5\n"))
        .collect();
    assert_eq!(errors(&soas).len(), MAX_ERRORS);
    let ttls: String = (0..50_000)
        .map(|host| format!("h{host} 1 A 192.0.2.1\nh{host} 2 A 192.0.2.2\n"))
        .collect();
    let content = load_files(&[("z", format!("{HEAD}{ttls}").as_bytes())]).expect("a zone");
    assert_eq!(content.warnings.len(), 21);
    assert!(
        content.warnings[20].contains("and 49980 more warnings"),
        "{:?}",
        content.warnings
    );
}

#[test]
fn entries_that_never_end_are_errors() {
    for (text, part) in [
        (format!("a TXT {}", "( ".repeat(1_000_000)), "never closed"),
        (
            format!("a TXT ( {} )\n", "x ".repeat(1_000_000)),
            "more than 262144 words",
        ),
        (format!("a TXT {}\n", "x ".repeat(1_000_000)), "more than 262144 words"),
        (
            format!("a {}A 192.0.2.1\n", "IN ".repeat(100_000)),
            "unknown record type `IN`",
        ),
        (format!("{}.a A 192.0.2.1\n", "a.".repeat(1_000_000)), ""),
    ] {
        assert_eq!(errors(&text).len(), 1, "{:.40}", text);
        assert!(
            errors(&text)[0].contains(part) && errors(&text)[0].len() < 2000,
            "{:.300}",
            errors(&text)[0]
        );
    }
    let nested: String = format!("a ({} A 192.0.2.1 {})\n", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(added(&nested), ["a.example.com. 300 A 192.0.2.1"]);
}
