use super::*;

const ZONE: &str = "@ 60 SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";

fn settings(zones: &[(&str, &str)]) -> TextSettings {
    let zones = zones
        .iter()
        .map(|(file, apex)| ((*file).into(), Name::parse(apex).expect("a name")));
    TextSettings {
        zones: zones.collect(),
        ttl: 300,
    }
}

fn part(path: &str, text: &str) -> Result<Part, String> {
    let settings = settings(&[("odd", "odd.example.")]);
    let kind = kind_of(path, &settings).expect("a file for us");
    read(path, path, text.as_bytes(), kind, &settings)
}

fn apex(path: &str, text: &str) -> String {
    part(path, text).expect("valid").apex.expect("a zone").to_string()
}

#[test]
fn files_are_known_by_their_names() {
    let settings = settings(&[("odd", "odd.example.")]);
    for zone in ["a/example.com.zone", "example.com.db", "db.example.com", "odd"] {
        assert_eq!(kind_of(zone, &settings), Some(Kind::Zone), "{zone}");
    }
    for records in ["a.yaml", "x/a.yml", "a.json"] {
        assert_eq!(kind_of(records, &settings), Some(Kind::Records), "{records}");
    }
    for other in ["README.md", ".github/workflows/ci.yaml", "Makefile", "a/.hidden.zone"] {
        assert_eq!(kind_of(other, &settings), None, "{other}");
    }
}

#[test]
fn a_zone_is_named_by_the_mapping_its_origin_or_its_file() {
    assert_eq!(apex("zones/example.com.zone", ZONE), "example.com.");
    assert_eq!(apex("db.example.com", ZONE), "example.com.");
    let with_origin = format!("; exported\n$TTL 60\n$ORIGIN example.net.\n{ZONE}");
    assert_eq!(apex("one.zone", &with_origin), "example.net.");
    assert_eq!(
        apex("odd", &with_origin.replace("example.net", "odd.example")),
        "odd.example."
    );
    // An origin behind the first record is of that part alone.
    assert_eq!(
        apex("example.com.zone", &format!("{ZONE}$ORIGIN a.example.com.\n")),
        "example.com."
    );
}

#[test]
fn errors_have_file_and_line() {
    let error = part("z/example.com.zone", &format!("{ZONE}www 60 A 192.0.2.300\n")).expect_err("no address");
    assert!(error.starts_with("z/example.com.zone:4:10: "), "{error}");
    let error = part("a.yaml", "records: [{name: a.example, type: A, value: x}]").expect_err("no address");
    assert!(error.starts_with("a.yaml:/records/0: "), "{error}");
    let error = part(
        "a.yaml",
        "records: [{name: a.example, type: A, value: 192.0.2.1, view: v}]",
    )
    .expect_err("a view");
    assert!(error.contains("view"), "{error}");
}

#[test]
fn records_are_read_with_what_they_say() {
    let text = "records:\n- {name: a.example, type: A, value: [192.0.2.1, 192.0.2.2], \
                order: weighted, weights: [1, 2]}\n\
                - {name: b.example, type: A, value: 192.0.2.1, disabled: true}\n";
    let part = part("a.yaml", text).expect("valid");
    let [claim] = &part.claims[..] else { panic!("{part:?}") };
    assert_eq!((claim.ttl, claim.handling.order().weights()), (300, &[1, 2][..]));
}

#[test]
fn a_zone_below_another_is_its_own() {
    let upper = format!(
        "{ZONE}sub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\nsub 60 DS 1 8 2 {}\n",
        "ab".repeat(32)
    );
    let parts = [("example.com.zone", upper.as_str()), ("sub.example.com.zone", ZONE)];
    let parts: Parts = parts
        .into_iter()
        .map(|(path, text)| (path.into(), Arc::new(part(path, text).expect("valid"))))
        .collect();
    let objects = objects(&parts).expect("two zones");
    let shown = |at: usize| -> Vec<String> {
        let claims = objects[at].claims.as_ref().expect("claims").iter();
        claims.map(|claim| format!("{} {}", claim.owner, claim.rtype)).collect()
    };
    let ds = "sub.example.com. DS".to_owned();
    assert_eq!(shown(0)[3..], [ds], "what is below the cut is the lower zone's");
    assert_eq!(shown(1).len(), 3);

    let twice: Parts = ["a.zone", "b.zone"]
        .into_iter()
        .map(|path| {
            let text = format!("$ORIGIN x.\n{ZONE}");
            (path.into(), Arc::new(part(path, &text).expect("valid")))
        })
        .collect();
    let error = super::objects(&twice).expect_err("one zone");
    assert!(error.contains("a.zone and b.zone both hold"), "{error}");
}
