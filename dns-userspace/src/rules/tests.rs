use super::*;
use crate::message::Record;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn wire(name: &str) -> Vec<u8> {
    Name::parse(name).unwrap().as_wire().to_vec()
}

fn book(actions: Vec<Action>) -> RuleBook {
    let rules: Vec<Rule> = actions
        .into_iter()
        .enumerate()
        .map(|(number, action)| Rule {
            name: format!("r{number}").into(),
            clients: None,
            action,
        })
        .collect();
    let book = RuleBook::default();
    assert_eq!(book.replace(&rules), []);
    book
}

fn ask(book: &RuleBook, name: &str, qtype: RecordType) -> Verdict {
    book.evaluate(&wire(name), qtype, CLIENT, true)
}

fn template(
    qtype: Option<RecordType>,
    zone: Option<&str>,
    pattern: &str,
    answer: &[&str],
    falls_through: bool,
) -> Action {
    let pattern = Pattern::new(pattern).unwrap();
    let zone = zone.map(|zone| Name::parse(zone).unwrap());
    Action::Template(Template::new(qtype, zone, Some(pattern), answer, falls_through).unwrap())
}

/// The answer section, RCODE before it.
fn answered(verdict: Verdict) -> (u16, Vec<Record>) {
    match verdict {
        Verdict::Answer(message) | Verdict::Blocked(message) => (message.rcode(), message.answer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn seed_000_one_label_below_traefik_has_the_address_and_all_else_goes_on() {
    let ours = ["{name} 60 IN A 172.20.0.3"];
    let coredns = ["{{ .Name }} 60 IN A 172.20.0.3"];
    for answer in [ours, coredns] {
        let rules = book(vec![template(
            Some(RecordType::A),
            Some("traefik."),
            r"^([^.]+)\.traefik\.$",
            &answer,
            true,
        )]);
        for name in ["test.traefik.", "METADATA.Traefik."] {
            let (rcode, records) = answered(ask(&rules, name, RecordType::A));
            assert_eq!((rcode, records.len(), records[0].ttl), (0, 1, 60));
            assert_eq!(records[0].rdata, [172, 20, 0, 3]);
            assert_eq!(records[0].owner, wire(name), "in the question's case");
        }
        for name in [
            "a.b.traefik.",
            "traefik.",
            "test.traefik.example.",
            "xtraefik.",
            "example.",
        ] {
            assert_eq!(ask(&rules, name, RecordType::A), Verdict::Pass, "{name}");
        }
        assert_eq!(ask(&rules, "test.traefik.", RecordType::AAAA), Verdict::Pass);
    }
}

#[test]
fn without_fallthrough_the_zones_other_names_are_denied_as_in_coredns() {
    let rules = book(vec![template(
        Some(RecordType::A),
        Some("traefik."),
        r"^([^.]+)\.traefik\.$",
        &["{name} 60 IN A 192.0.2.1"],
        false,
    )]);
    assert_eq!(answered(ask(&rules, "a.b.traefik.", RecordType::A)).0, 3);
    assert_eq!(
        ask(&rules, "a.b.traefik.", RecordType::AAAA),
        Verdict::Pass,
        "another type is none of its business"
    );
    assert_eq!(ask(&rules, "example.", RecordType::A), Verdict::Pass);
}

#[test]
fn groups_are_found_by_number_and_name_in_each_notation() {
    let pattern = r"^ip-(\d+)-(?P<b>\d+)-(\d+)-(\d+)\.example\.$";
    for answer in [
        "{name} 5 IN A {1}.{b}.{3}.{4}",
        "{{ .Name }} 5 IN A {{ index .Match 1 }}.{{ .Group.b }}.{{ index .Match 3 }}.{{ index .Match 4 }}",
        "{name} 5 A $1.${b}.$3.$4",
    ] {
        let rules = book(vec![template(None, None, pattern, &[answer], true)]);
        let (_, records) = answered(ask(&rules, "ip-192-0-2-7.example.", RecordType::A));
        assert_eq!(
            (records[0].rdata.as_slice(), records[0].ttl),
            (&[192, 0, 2, 7][..], 5),
            "{answer}"
        );
        let (rcode, records) = answered(ask(&rules, "ip-192-0-2-7.example.", RecordType::AAAA));
        assert_eq!((rcode, records.len()), (0, 0), "no data of another type");
        // What was found makes no address.
        assert_eq!(answered(ask(&rules, "ip-192-0-2-777.example.", RecordType::A)).0, 2);
    }
}

#[test]
fn templates_that_can_never_work_are_errors() {
    let pattern = Pattern::new(r"^(.*)\.x\.$").unwrap();
    for bad in [
        "{name} 60 IN A 192.0.2.300",
        "{name} 60 IN",
        "{name}",
        "{name} 60 IN NONSENSE x",
        "{name} 4294967295 IN A 192.0.2.1",
        "{nome} 60 IN A 192.0.2.1",
        "{name} 60 IN A {2}",
        "{name 60 IN A 192.0.2.1",
        "{{ .Remote }} 60 IN A 192.0.2.1",
    ] {
        assert!(
            Template::new(None, None, Some(pattern.clone()), &[bad], true).is_err(),
            "{bad}"
        );
    }
    assert!(Pattern::new("(").is_err());
}

#[test]
fn names_are_rewritten_by_name_suffix_and_pattern_and_only_where_that_is_allowed() {
    let name = |text: &str| Name::parse(text).unwrap();
    let pattern = Pattern::new(r"^(.+)\.traefik\.$").unwrap();
    let to = Text::parse("$1.db.", Some(&pattern)).unwrap();
    let scopes = [
        Scope::Name(name("a.example."), name("b.example.")),
        Scope::Suffix(name("old.example."), name("new.example.net.")),
        Scope::Match(pattern, to),
    ];
    let rules = book(scopes.map(|scope| Action::Rewrite(Rewrite { scope })).into());
    for (from, to) in [
        ("A.example.", "b.example."),
        ("old.example.", "new.example.net."),
        ("x.y.OLD.example.", "x.y.new.example.net."),
        ("x.y.traefik.", "x.y.db."),
    ] {
        assert_eq!(ask(&rules, from, RecordType::A), Verdict::Rewritten(name(to)), "{from}");
        assert_eq!(rules.evaluate(&wire(from), RecordType::A, CLIENT, false), Verdict::Pass);
    }
    for other in ["x.a.example.", "xold.example.", "traefik.", "db."] {
        assert_eq!(ask(&rules, other, RecordType::A), Verdict::Pass, "{other}");
    }
}

#[test]
fn lists_are_read_in_each_notation() {
    let mut list = BlockList::default();
    let lines = "# a comment\n! another\n[Adblock Plus 2.0]\n\n0.0.0.0 hosts.example www.hosts.example # why\n\
                 127.0.0.1 localhost\n::1 ip6-localhost\ndomain.example\n*.star.example\n||adblock.example^\n\
                 @@||good.adblock.example^\n||important.example^$important";
    for line in lines.lines() {
        assert!(list.add_line(line), "{line}");
    }
    for bad in [
        "||half.example",
        "||x.example^$third-party",
        "two words",
        "a..b",
        "/regex/",
    ] {
        assert!(!list.add_line(bad) || bad == "/regex/", "{bad}");
    }
    let has = |name: &str| list.has(&wire(name));
    for blocked in [
        "hosts.example.",
        "www.hosts.example.",
        "domain.example.",
        "a.b.domain.example.",
        "star.example.",
        "a.star.example.",
        "ads.adblock.example.",
        "important.example.",
    ] {
        assert!(has(blocked), "{blocked}");
    }
    for free in [
        "x.hosts.example.",
        "localhost.",
        "example.",
        "good.adblock.example.",
        "x.good.adblock.example.",
    ] {
        assert!(!has(free), "{free}");
    }
}

#[test]
fn a_blocked_name_gets_what_the_rule_says_and_a_list_that_is_gone_keeps_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts.txt");
    std::fs::write(&file, "0.0.0.0 ads.example\n").unwrap();
    let rules = |answer: &BlockAnswer| {
        vec![Rule {
            name: "ads".into(),
            clients: None,
            action: Action::Block(Block {
                files: vec![file.clone()],
                names: vec!["inline.example".into()],
                answer: answer.clone(),
            }),
        }]
    };
    let book = RuleBook::default();
    for (answer, rcode) in [
        (BlockAnswer::Nxdomain, 3),
        (BlockAnswer::Nodata, 0),
        (BlockAnswer::Refused, 5),
    ] {
        assert_eq!(book.replace(&rules(&answer)), []);
        assert_eq!(answered(ask(&book, "ads.example.", RecordType::A)), (rcode, Vec::new()));
        assert_eq!(answered(ask(&book, "x.inline.example.", RecordType::A)).0, rcode);
    }
    let sinkhole = BlockAnswer::Sinkhole(vec!["192.0.2.1".parse().unwrap(), "::".parse().unwrap()]);
    book.replace(&rules(&sinkhole));
    assert_eq!(
        answered(ask(&book, "ads.example.", RecordType::A)).1[0].rdata,
        [192, 0, 2, 1]
    );
    assert_eq!(
        answered(ask(&book, "ads.example.", RecordType::AAAA)).1[0].rdata,
        [0; 16]
    );
    assert!(answered(ask(&book, "ads.example.", RecordType::MX)).1.is_empty());
    std::fs::remove_file(&file).unwrap();
    let errors = book.replace(&rules(&BlockAnswer::Drop));
    assert!(errors.len() == 1 && errors[0].to_string().contains("hosts.txt"));
    assert_eq!(ask(&book, "ads.example.", RecordType::A), Verdict::Drop);
    std::fs::write(&file, "0.0.0.0 other.example\n").unwrap();
    assert_eq!(book.replace(&rules(&BlockAnswer::Drop)), []);
    assert_eq!(ask(&book, "ads.example.", RecordType::A), Verdict::Pass);
    assert_eq!(book.list()[0].names, Some(2));
}

#[test]
fn rules_are_for_their_clients_and_can_be_paused() {
    let block = Action::Block(Block {
        files: Vec::new(),
        names: vec!["ads.example".into()],
        answer: BlockAnswer::Drop,
    });
    let rule = Rule {
        name: "ads".into(),
        clients: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        action: block,
    };
    let book = RuleBook::default();
    book.replace(&[rule]);
    let from = |client: &str| book.evaluate(&wire("ads.example."), RecordType::A, client.parse().unwrap(), true);
    assert_eq!(from("10.1.2.3"), Verdict::Drop);
    assert_eq!(from("192.0.2.1"), Verdict::Pass);
    assert!(!book.pause("other", Duration::from_secs(60)));
    assert!(book.pause("ads", Duration::from_secs(60)));
    assert_eq!(from("10.1.2.3"), Verdict::Pass);
    assert_eq!(book.list()[0].paused_for, Some(60));
    assert!(book.pause("ads", Duration::ZERO));
    assert_eq!(from("10.1.2.3"), Verdict::Drop);
}

#[test]
fn a_million_names_take_less_than_a_hundred_mebibytes() {
    // What the table has: a pointer, a length and flags for each, an octet of its index, a seventh of room at most
    // twice; and the octets of each name in a block of 16.
    let mut list = BlockList::default();
    for number in 0..10_000 {
        list.add_line(&format!("ads{number}.tracker{number}.example"));
    }
    let slots = list.capacity() * (size_of::<(Box<[u8]>, u8)>() + 1) * 8 / 7;
    let names = list.len() * 48;
    assert!((slots + names) * 100 < 100 << 20, "{}", (slots + names) * 100);
}
