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
            views: None,
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
        RewriteScope::Name(name("a.example."), name("b.example.")),
        RewriteScope::Suffix(name("old.example."), name("new.example.net.")),
        RewriteScope::Match(pattern, to),
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
            views: None,
            action: Action::Block(Block {
                files: vec![file.clone()],
                urls: Vec::new(),
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
        urls: Vec::new(),
        names: vec!["ads.example".into()],
        answer: BlockAnswer::Drop,
    });
    let rule = Rule {
        name: "ads".into(),
        clients: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        views: None,
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

fn rpz(text: &str) -> Result<PolicyZone, String> {
    let rpz = Rpz {
        zone: Name::parse("rpz.example.").unwrap(),
        source: RpzSource::File("feed".into()),
    };
    rpz.read(text)
}

const RPZ: &str = "$TTL 30\n@ SOA localhost. root.localhost. 1 2 3 4 5\n@ NS localhost.\n\
    bad.example CNAME .\n*.bad.example CNAME .\nok.bad.example CNAME rpz-passthru.\nempty.example CNAME *.\n\
    gone.example CNAME rpz-drop.\nslow.example CNAME rpz-tcp-only.\n*.wall.example CNAME *.garden.example.\n\
    moved.example CNAME other.example.\nlocal.example A 192.0.2.1\nlocal.example TXT \"here\"\n\
    32.1.2.0.192.rpz-ip CNAME .\nns.example.rpz-nsdname CNAME .\n";

#[test]
fn a_response_policy_zone_says_what_names_get() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed");
    std::fs::write(&file, RPZ).unwrap();
    let rule = Action::Rpz(Rpz {
        zone: Name::parse("rpz.example.").unwrap(),
        source: RpzSource::File(file.clone()),
    });
    let later = Action::Block(Block {
        files: Vec::new(),
        urls: Vec::new(),
        names: vec!["ok.bad.example".into(), "all.example".into()],
        answer: BlockAnswer::Refused,
    });
    let book = book(vec![rule, later]);
    let code = |name: &str| {
        let (rcode, records) = answered(ask(&book, name, RecordType::A));
        (rcode, records.len())
    };
    for (name, expected) in [
        ("BAD.example.", (3, 0)),
        ("a.b.bad.example.", (3, 0)),
        ("empty.example.", (0, 0)),
        ("local.example.", (0, 1)),
        ("all.example.", (5, 0)),
    ] {
        assert_eq!(code(name), expected, "{name}");
    }
    // It passes by later rules too; names above and beside are not meant.
    for name in [
        "ok.bad.example.",
        "wall.example.",
        "slow.example.",
        "a.local.example.",
        "other.",
    ] {
        assert_eq!(ask(&book, name, RecordType::A), Verdict::Pass, "{name}");
    }
    assert_eq!(ask(&book, "gone.example.", RecordType::A), Verdict::Drop);
    let (_, records) = answered(ask(&book, "x.Wall.example.", RecordType::A));
    assert_eq!(
        (records[0].rtype, &records[0].rdata),
        (5, &wire("x.Wall.example.garden.example."))
    );
    let (_, records) = answered(ask(&book, "moved.example.", RecordType::A));
    assert_eq!((records[0].ttl, &records[0].rdata), (30, &wire("other.example.")));
    assert_eq!(
        answered(ask(&book, "local.example.", RecordType::TXT)).1[0].rdata,
        b"\x04here"
    );
    assert_eq!(answered(ask(&book, "local.example.", RecordType::MX)), (0, Vec::new()));
    assert_eq!(rpz(RPZ).unwrap().left_out, 3);
    assert_eq!(book.list()[0].names, Some(8));

    // A damaged file: what was there stays.
    std::fs::write(&file, "$TTL 30\nbad.example CNAME\n").unwrap();
    let rules: Vec<Rule> = book.rules.load().iter().map(|active| active.rule.clone()).collect();
    let errors = book.replace(&rules);
    assert_eq!((errors.len(), book.list()[0].names), (1, Some(8)));
    assert!(errors[0].to_string().contains("line 2"), "{}", errors[0]);
}

fn answer_of(records: &[(&str, u16, u32, &[u8])]) -> Arc<Message> {
    let records = records.iter().map(|(owner, rtype, ttl, rdata)| Record {
        owner: wire(owner),
        rtype: *rtype,
        class: 1,
        ttl: *ttl,
        rdata: rdata.to_vec(),
    });
    Arc::new(Message::of_answer(records.collect()))
}

#[test]
fn ttls_become_others_below_a_suffix() {
    let ttl = |suffix: &str, ttl| {
        Action::Ttl(TtlRule {
            suffix: Name::parse(suffix).unwrap(),
            ttl,
        })
    };
    let book = book(vec![
        ttl(".", NewTtl::Within(60, 3600)),
        ttl("short.example.", NewTtl::Fixed(5)),
    ]);
    let treated = |name: &str, ttl: u32| {
        let answer = book.treat(&wire(name), 0, answer_of(&[(name, 1, ttl, &[192, 0, 2, 1])]));
        answer.answer[0].ttl
    };
    assert_eq!(
        [
            treated("a.", 1),
            treated("a.", 600),
            treated("a.", 90_000),
            treated("a.", u32::MAX)
        ],
        [60, 600, 3600, 60]
    );
    assert_eq!(treated("x.SHORT.example.", 600), 5);
    assert_eq!(book.list()[1].changed, Some(1));
    assert_eq!(ask(&book, "a.", RecordType::A), Verdict::Pass);
}

#[test]
fn addresses_of_inner_networks_are_left_out_of_upstreams_answers() {
    let book = book(vec![Action::Filter(Filter {
        addresses: PRIVATE.iter().map(|text| text.parse().unwrap()).collect(),
        except: vec![Name::parse("corp.example.").unwrap()],
    })]);
    let mapped = "::ffff:192.168.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let translated = "64:ff9b::10.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let global = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    // 1 x. ipv4hint=10.0.0.1
    let hinted = b"\0\x01\x01x\0\0\x04\0\x04\x0A\0\0\x01";
    let records: &[(&str, u16, u32, &[u8])] = &[
        ("evil.example.", 5, 60, &wire("inner.example.")),
        ("inner.example.", 1, 60, &[10, 0, 0, 1]),
        ("inner.example.", 1, 60, &[192, 0, 2, 1]),
        ("inner.example.", 28, 60, &mapped),
        ("inner.example.", 28, 60, &translated),
        ("inner.example.", 28, 60, &global),
        ("inner.example.", 65, 60, hinted),
    ];
    let left = |name: &str| {
        let answer = book.treat(&wire(name), 0, answer_of(records));
        answer
            .answer
            .iter()
            .map(|record| record.rdata.clone())
            .collect::<Vec<_>>()
    };
    let expected = [wire("inner.example."), vec![192, 0, 2, 1], global.to_vec()];
    assert_eq!(left("evil.example."), expected);
    // The question decides, not the owner: an alias into the excepted names leads nobody past the rule.
    assert_eq!(left("a.CORP.example.").len(), records.len());
    assert_eq!(book.list()[0].changed, Some(1));
}

#[test]
fn rules_can_be_for_views() {
    let views = [crate::model::views::ViewClients {
        name: "office".into(),
        clients: vec!["10.0.0.0/8".parse().unwrap()],
    }];
    let of_office = RuleViews {
        clients: Arc::new(Clients::new(&views)),
        numbers: vec![1],
    };
    let rule = |name: &str, action| Rule {
        name: name.into(),
        clients: None,
        views: Some(of_office.clone()),
        action,
    };
    let book = RuleBook::default();
    book.replace(&[
        rule(
            "ads",
            Action::Block(Block {
                files: Vec::new(),
                urls: Vec::new(),
                names: vec!["ads.example".into()],
                answer: BlockAnswer::Drop,
            }),
        ),
        rule(
            "short",
            Action::Ttl(TtlRule {
                suffix: Name::root(),
                ttl: NewTtl::Fixed(1),
            }),
        ),
    ]);
    let from = |client: &str| book.evaluate(&wire("ads.example."), RecordType::A, client.parse().unwrap(), true);
    assert_eq!((from("10.1.2.3"), from("192.0.2.1")), (Verdict::Drop, Verdict::Pass));
    let ttl = |view| {
        book.treat(&wire("a."), view, answer_of(&[("a.", 1, 60, &[192, 0, 2, 1])]))
            .answer[0]
            .ttl
    };
    assert_eq!((ttl(1), ttl(0)), (1, 60));
}

#[test]
fn what_changes_answers_is_told_where_it_becomes_other() {
    let told = Arc::new(AtomicU64::new(0));
    let book = book(Vec::new());
    let tell = Arc::clone(&told);
    book.on_other_answers(move || {
        tell.fetch_add(1, Ordering::SeqCst);
    });
    let rule = |ttl| Rule {
        name: "short".into(),
        clients: None,
        views: None,
        action: Action::Ttl(TtlRule {
            suffix: Name::root(),
            ttl: NewTtl::Fixed(ttl),
        }),
    };
    for (ttl, times) in [(1, 1), (1, 1), (2, 2)] {
        book.replace(&[rule(ttl)]);
        assert_eq!(told.load(Ordering::SeqCst), times);
    }
    book.replace(&[]);
    assert_eq!(told.load(Ordering::SeqCst), 3);
}

/// A web server with one list, which answers each request as told.
fn web(replies: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ads.txt", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let serve = |reply: &str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut octet = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap() == 1 {
                request.push(octet[0]);
            }
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8(request).unwrap().to_ascii_lowercase()
        };
        replies.into_iter().map(serve).collect()
    });
    (url, served)
}

#[test]
fn a_list_at_a_url_is_fetched_kept_and_only_replaced_by_a_list() {
    const GOOD: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\
        Content-Length: 12\r\nConnection: close\r\n\r\nads.example\n";
    const SAME: &str = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 31\r\nConnection: close\r\n\r\n<html>an error of a \
        proxy</html>";
    const BROKEN: &str = "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const LARGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n\
        a.example\nb.example\nc.example\nd.example\ne.example\n";
    let (url, served) = web(vec![GOOD, SAME, PAGE, BROKEN, LARGE, GOOD]);
    let folder = tempfile::tempdir().unwrap();
    let list = RemoteList {
        url: url.into(),
        folder: folder.path().join("lists"),
        refresh: Duration::from_secs(3600),
        max_octets: 40,
    };
    let rule = Rule {
        name: "ads".into(),
        clients: None,
        views: None,
        action: Action::Block(Block {
            files: Vec::new(),
            urls: vec![list.clone()],
            names: Vec::new(),
            answer: BlockAnswer::Nxdomain,
        }),
    };
    let book = RuleBook::default();
    assert_eq!(book.replace(std::slice::from_ref(&rule)), []);
    let is_blocked = |book: &RuleBook| ask(book, "x.ads.example.", RecordType::A) != Verdict::Pass;
    assert!(!is_blocked(&book));
    let next = book.fetch_due().unwrap();
    assert!(is_blocked(&book) && next > Duration::from_secs(3590), "{next:?}");
    let shown = &book.list()[0].lists[0];
    assert!(shown.age.unwrap() < 10 && shown.error.is_none());

    let fetch = || list.fetch(BlockList::check);
    assert_eq!(fetch(), Ok(Fetched::Same));
    let error = fetch().unwrap_err();
    assert!(error.contains("no names in it"), "{error}");
    assert_eq!(fetch().unwrap_err(), "HTTP status 500");
    let error = fetch().unwrap_err();
    assert!(error.contains("max_bytes") || error.contains("large"), "{error}");
    // After a restart the copy is in force before anybody is asked; one that was damaged is not read, and fetched
    // whole.
    let restarted = RuleBook::default();
    assert_eq!(restarted.replace(std::slice::from_ref(&rule)), []);
    assert!(is_blocked(&restarted));
    let files = || {
        std::fs::read_dir(&list.folder)
            .unwrap()
            .map(|file| file.unwrap().path())
    };
    let copy = files()
        .find(|path| path.extension().is_some_and(|end| end == "list"))
        .unwrap();
    std::fs::write(copy, "ads.exam").unwrap();
    let restarted = RuleBook::default();
    let errors = restarted.replace(std::slice::from_ref(&rule));
    assert!(errors[0].to_string().contains("damaged"), "{errors:?}");
    restarted.fetch_due();
    assert!(is_blocked(&restarted));
    let requests = served.join().unwrap();
    assert!(!requests[0].contains("if-none-match"));
    for request in &requests[1..5] {
        assert!(
            request.contains("if-none-match: \"1\"") && request.contains("if-modified-since: mon"),
            "{request}"
        );
    }
    assert!(!requests[5].contains("if-none-match"), "the whole list is wanted");
}
