use super::*;
use crate::model::record::Handling;
use crate::model::source::Origin;

const ZONE: &str = "; Our zone\n$TTL 1h\n@\tSOA\tns1 hostmaster (\n\t\t2025010101 ; serial\n\t\t2h 15m 2w 5m )\n\
                    @\tNS\tns1   ; ours\n\nns1     A     192.0.2.53\n; the web\nwww     A     192.0.2.1   ; first\n\
                    \x20       A     192.0.2.2\n        AAAA  2001:db8::1\nmail    300 A  192.0.2.25\n";

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn rrset(rtype: &str, ttl: u32, values: &[&str]) -> RrSet {
    let rtype: RecordType = rtype.parse().expect("a type");
    let values = values
        .iter()
        .map(|value| rdata::parse_value(rtype, value).expect("a value"));
    RrSet {
        rtype,
        ttl,
        rdatas: values.collect(),
        origin: Origin::zone_file("x"),
        handling: Handling::default(),
    }
}

fn editable(text: &str) -> Editable {
    // Some file: nothing is read from it.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let read = Editable::of(text.as_bytes().to_vec(), &path, &name("example.com."), "x".into());
    read.unwrap_or_else(|error| panic!("{}", shown(error)))
}

/// The text after a change; what it says is checked by `with`.
fn changed(text: &str, owner: &str, rtype: &str, new: Option<RrSet>) -> Result<String, NotRewritten> {
    let file = editable(text);
    let (owner, rtype) = (name(owner), rtype.parse().expect("a type"));
    let mut all = file.content();
    match &new {
        Some(new) => all.extend(content_of([(&owner, new)])),
        None => drop(all.remove(&(owner.key(), rtype))),
    }
    let wanted = Wanted {
        owner: &owner,
        rtype,
        rrset: new.as_ref(),
    };
    let text = file.with(&[wanted], &all)?;
    Ok(String::from_utf8(text).expect("text"))
}

#[track_caller]
fn becomes(owner: &str, rtype: &str, new: Option<RrSet>, edits: &[(&str, &str)]) {
    let mut wanted = ZONE.to_owned();
    for (old, new) in edits {
        assert!(wanted.contains(old), "{old}");
        wanted = wanted.replacen(old, new, 1);
    }
    assert_eq!(changed(ZONE, owner, rtype, new).expect("rewritten"), wanted);
}

#[test]
fn a_value_is_replaced_in_its_line_and_its_comment_stays() {
    let new = rrset("A", 3600, &["192.0.2.7", "192.0.2.2"]);
    // In the order in which values are wanted: all lines of the RRset are written anew.
    becomes("www.example.com.", "A", Some(new), &[("192.0.2.1 ", "192.0.2.7 ")]);
    let new = rrset("A", 3600, &["192.0.2.54"]);
    becomes("ns1.example.com.", "A", Some(new), &[("192.0.2.53", "192.0.2.54")]);
}

#[test]
fn values_come_and_go_beside_the_others() {
    let new = rrset("A", 3600, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    let line = "        A     192.0.2.2\n";
    let more = format!("{line}www\t3600\tIN\tA\t192.0.2.3\n");
    becomes("www.example.com.", "A", Some(new), &[(line, &more)]);
    // The owner of what follows was stated in the line that goes.
    let first = "www     A     192.0.2.1   ; first\n";
    becomes(
        "www.example.com.",
        "A",
        Some(rrset("A", 3600, &["192.0.2.2"])),
        &[(first, ""), (line, &format!("www{line}"))],
    );
    becomes(
        "www.example.com.",
        "A",
        None,
        &[(first, ""), (line, ""), ("        AAAA", "www        AAAA")],
    );
    let end = "mail    300 A  192.0.2.25\n";
    let new = rrset("TXT", 60, &["\"a b\" \"c;d\""]);
    becomes(
        "new.example.com.",
        "TXT",
        Some(new),
        &[(end, &format!("{end}new\t60\tIN\tTXT\t\"a b\" \"c;d\"\n"))],
    );
    becomes("mail.example.com.", "A", None, &[(end, "")]);
}

#[test]
fn a_ttl_is_stated_and_a_serial_replaced_in_its_place() {
    let new = rrset("A", 60, &["192.0.2.25"]);
    becomes(
        "mail.example.com.",
        "A",
        Some(new),
        &[("mail    300 A  192.0.2.25", "mail\t60\tIN\tA\t192.0.2.25")],
    );
    let soa = "ns1.example.com. hostmaster.example.com. 2025010102 7200 900 1209600 300";
    becomes(
        "example.com.",
        "SOA",
        Some(rrset("SOA", 3600, &[soa])),
        &[("2025010101", "2025010102")],
    );
}

#[test]
fn where_lines_depend_on_each_other_all_are_written_below_the_comment() {
    // Without $TTL a record has the TTL that was stated last.
    let text = "; Ours\n@ 60 SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 300 A 192.0.2.53\nwww A 192.0.2.1\n";
    let text = changed(text, "ns1.example.com.", "A", None).expect("rewritten");
    assert_eq!(
        text,
        "; Ours\n@\t60\tIN\tSOA\tns1.example.com. h.example.com. 1 2 3 4 5\n@\t60\tIN\tNS\tns1.example.com.\n\
         www\t300\tIN\tA\t192.0.2.1\n"
    );
}

#[test]
fn what_has_no_line_of_its_own_is_not_changed() {
    let text = format!("{ZONE}$GENERATE 1-3 host$ A 192.0.2.$\n");
    let error = changed(&text, "host2.example.com.", "A", None).expect_err("made");
    assert_eq!(error, NotRewritten::Made(name("host2.example.com."), RecordType::A));
    // Beside it all goes on.
    let new = rrset("A", 3600, &["192.0.2.54"]);
    let text = changed(&text, "ns1.example.com.", "A", Some(new)).expect("rewritten");
    assert!(
        text.contains("ns1     A     192.0.2.54\n") && text.ends_with("192.0.2.$\n"),
        "{text}"
    );
}

#[test]
fn other_origins_line_ends_and_no_last_line_end() {
    let text = ZONE
        .replace('\n', "\r\n")
        .replace("mail  ", "$ORIGIN sub.example.com.\r\nmail  ");
    let text = text.trim_end();
    let new = rrset("A", 60, &["192.0.2.9"]);
    let new = changed(text, "new.example.com.", "A", Some(new)).expect("rewritten");
    assert!(
        new.ends_with("192.0.2.25\nnew.example.com.\t60\tIN\tA\t192.0.2.9\r\n"),
        "{new:?}"
    );
}

#[test]
fn a_new_file_says_what_it_is_made_of() {
    let content = editable(ZONE).content();
    let text = render(&name("example.com."), &content);
    assert!(
        text.starts_with("; The zone example.com.\n@\t3600\tIN\tSOA\t"),
        "{text}"
    );
    assert_eq!(editable(&text).content(), content);
}
