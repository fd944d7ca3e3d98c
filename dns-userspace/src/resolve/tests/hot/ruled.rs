//! What rules say, from the fast path: the same octets as from the rules themselves, and never what they do not say.

use super::*;
use crate::model::views::Clients;
use crate::rules::{Pattern, Rewrite, RewriteScope, RuleViews, Template};

impl Hot {
    /// What the client gets of the rules, past the fast path; `None` where that is nothing, or upstream is to be asked.
    fn ruled_reply(&self, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let arrival = Arrival::by(Protocol::Udp, client);
        let disposition = self.forwarder.take_on(query, None, &arrival, &mut out);
        matches!(disposition, Disposition::Reply).then_some(out)
    }

    /// Asks often, past the fast path, and has it promoted where it may.
    fn heat_rule(&mut self, ask: &Ask) {
        for _ in 0..OFTEN {
            self.ruled_reply(&ask.query(2 * u8::from(ask.dnssec_ok)), ask.client);
        }
        self.forwarder.tend_hot();
        self.set_time();
    }
}

fn rule(name: &str, action: Action) -> Rule {
    Rule {
        name: name.into(),
        clients: None,
        views: None,
        action,
    }
}

fn block(name: &str, blocked: &str, answer: BlockAnswer) -> Rule {
    let block = Block {
        files: Vec::new(),
        urls: Vec::new(),
        names: vec![blocked.into()],
        answer,
    };
    rule(name, Action::Block(block))
}

fn template(name: &str, qtype: Option<RecordType>, pattern: &str, answer: &[&str]) -> Rule {
    let pattern = Pattern::new(pattern).unwrap();
    let template = Template::new(qtype, None, Some(pattern), answer, true).unwrap();
    rule(name, Action::Template(template))
}

const ADS: Ask = Ask::a("x.ads.example.");

#[test]
fn both_give_the_same_octets_of_what_rules_say_and_these_do_not_age() {
    let mut hot = Hot::new();
    let sinkhole = ["0.0.0.0", "192.0.2.1", "::"].map(|address| address.parse().unwrap());
    let many: Vec<String> = (1..=9).map(|last| format!("{{name}} 60 IN A 192.0.2.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    hot.rules.replace(&[
        block("nxdomain", "ads.example", BlockAnswer::Nxdomain),
        block("nodata", "nodata.example", BlockAnswer::Nodata),
        block("refused", "refused.example", BlockAnswer::Refused),
        block("sinkhole", "sink.example", BlockAnswer::Sinkhole(sinkhole.into())),
        template(
            "wild",
            Some(RecordType::A),
            r"^([^.]+)\.traefik\.$",
            &["{name} 60 IN A 172.20.0.3"],
        ),
        template(
            "text",
            Some(RecordType::TXT),
            r"^([^.]+)\.traefik\.$",
            &["{name} 30 IN TXT {1}"],
        ),
        template(
            "mail",
            Some(RecordType::MX),
            r"^([^.]+)\.traefik\.$",
            &["{name} 30 IN MX 10 mail.{name}"],
        ),
        template("many", None, r"^many\.example\.$", &many),
    ]);
    let of_type = |name, qtype: RecordType| Ask {
        qtype: qtype.0,
        ..Ask::a(name)
    };
    let asks = [
        ADS,
        Ask {
            dnssec_ok: true,
            checking_disabled: true,
            ..ADS
        },
        of_type("ads.example.", RecordType(65)),
        Ask::a("nodata.example."),
        Ask::a("refused.example."),
        Ask::a("sink.example."),
        of_type("sink.example.", RecordType::AAAA),
        of_type("sink.example.", RecordType::TXT),
        Ask::a("host.traefik."),
        of_type("host.traefik.", RecordType::TXT),
        of_type("host.traefik.", RecordType::MX),
        Ask::a("many.example."),
        of_type("many.example.", RecordType::AAAA),
    ];
    for ask in &asks {
        assert!(!hot.is_promoted(ask));
        hot.heat_rule(ask);
        assert!(hot.is_promoted(ask), "{ask:?}");
    }
    for _ in 0..3 {
        for (ask, shape) in asks.iter().flat_map(|ask| (0..8).map(move |shape| (ask, shape))) {
            let query = ask.query(shape);
            let table = hot.table_reply(&query, CLIENT);
            assert!(table.is_some(), "{ask:?} in shape {shape}");
            assert_eq!(table, hot.ruled_reply(&query, CLIENT), "{ask:?} in shape {shape}");
        }
        hot.pass(Duration::from_secs(1000));
    }
    assert!(hot.worker.is_ruled());
    // Nobody has asked for them for a while.
    hot.pass(Duration::from_secs(100));
    hot.forwarder.tend_hot();
    assert_eq!(hot.cache().figures().hot_entries.load(Ordering::Relaxed), 0);
    assert_eq!(hot.cache().figures().hits.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_not_said_to_all_of_a_view_or_leads_on_is_never_promoted() {
    let mut hot = Hot::new();
    let some = Rule {
        clients: Some(vec!["127.0.0.0/8".parse().unwrap()]),
        ..block("some", "some.example", BlockAnswer::Nxdomain)
    };
    let other = Rule {
        clients: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ..block("other", "other.example", BlockAnswer::Nodata)
    };
    let pattern = Pattern::new(r"^(.+)\.renamed\.$").unwrap();
    let to = crate::rules::Text::parse("$1.ads.example.", Some(&pattern)).unwrap();
    hot.rules.replace(&[
        some,
        other,
        block("all", "other.example", BlockAnswer::Nxdomain),
        block("silence", "silent.example", BlockAnswer::Drop),
        rule(
            "renamed",
            Action::Rewrite(Rewrite {
                scope: RewriteScope::Match(pattern, to),
            }),
        ),
        block("ads", "ads.example", BlockAnswer::Nxdomain),
        template(
            "alias",
            None,
            r"^(.+)\.alias\.$",
            &["{name} 60 IN CNAME {1}.ads.example."],
        ),
        template("short", None, r"^(.+)\.short\.$", &["{name} 0 IN A 192.0.2.1"]),
        template("beside", None, r"^(.+)\.beside\.$", &["x.{name} 60 IN A 192.0.2.1"]),
    ]);
    for name in [
        "some.example.",
        "other.example.",
        "silent.example.",
        "x.renamed.",
        "x.alias.",
        "x.short.",
        "x.beside.",
    ] {
        let ask = Ask::a(name);
        hot.heat_rule(&ask);
        assert!(!hot.is_promoted(&ask), "{name}");
    }
    // That is what was looked at, and not nothing.
    hot.heat_rule(&ADS);
    assert!(hot.is_promoted(&ADS));
    assert_eq!(hot.cache().figures().hot_entries.load(Ordering::Relaxed), 1);
}

#[test]
fn a_pause_other_rules_and_names_of_ours_take_it_back_at_once() {
    let mut hot = Hot::new();
    let [first, second] =
        [BlockAnswer::Nxdomain, BlockAnswer::Nodata].map(|answer| block("ads", "ads.example", answer));
    let later = block("later", "x.ads.example", BlockAnswer::Refused);
    let rcode = |hot: &mut Hot| hot.table_reply(&ADS.query(0), CLIENT).map(|reply| reply[3] & 0x0F);
    hot.rules.replace(&[first.clone(), later.clone()]);
    hot.heat_rule(&ADS);
    assert_eq!(rcode(&mut hot), Some(3));
    // What it says in the end is not known as long as one of its rules is paused.
    assert!(hot.rules.pause("ads", Duration::from_secs(3600)));
    assert_eq!(rcode(&mut hot), None);
    hot.pass(Duration::from_secs(10));
    hot.heat_rule(&ADS);
    assert_eq!(rcode(&mut hot), None);
    assert!(hot.rules.pause("ads", Duration::ZERO));
    hot.pass(Duration::from_secs(10));
    hot.heat_rule(&ADS);
    assert_eq!(rcode(&mut hot), Some(3));
    // A pause of a rule that is not asked keeps it away for a moment.
    assert!(hot.rules.pause("later", Duration::from_secs(3600)));
    assert_eq!(rcode(&mut hot), None);
    hot.forwarder.tend_hot();
    assert_eq!(rcode(&mut hot), Some(3));
    // Other rules.
    hot.rules.replace(&[second]);
    assert_eq!(rcode(&mut hot), None);
    hot.forwarder.tend_hot();
    assert_eq!(rcode(&mut hot), Some(0));
    hot.rules.replace(&[]);
    hot.forwarder.tend_hot();
    assert_eq!(rcode(&mut hot), None);
    // Our own data, and a name of ours above.
    hot.rules.replace(&[first]);
    hot.heat_rule(&ADS);
    hot.pass(Duration::from_secs(10));
    hot.heat_rule(&ADS);
    assert_eq!(rcode(&mut hot), Some(3));
    for owned in ["x.ads.example.", "*.ads.example."] {
        let mut stages = 0;
        let changes = vec![overlays(&[owned])];
        hot.apply(changes, &mut |_| stages += 1);
        assert!(stages > 0 && rcode(&mut hot).is_none(), "{owned}");
        hot.own(&[]);
        assert_eq!(rcode(&mut hot), Some(3), "{owned}");
    }
}

#[test]
fn each_view_gets_what_its_rules_say() {
    let mut hot = Hot::new();
    let office = ViewClients {
        name: "office".into(),
        clients: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let view = ConfiguredView {
        view: office.clone(),
        records: Vec::new(),
    };
    hot.apply(vec![Change::Views(vec![view])], &mut |_| {});
    let views = |clients: &[ViewClients]| RuleViews {
        clients: Arc::new(Clients::new(clients)),
        numbers: vec![1],
    };
    let inner = |clients: &[ViewClients]| Rule {
        views: Some(views(clients)),
        ..block("office", "ads.example", BlockAnswer::Nodata)
    };
    let outer = block("all", "ads.example", BlockAnswer::Nxdomain);
    hot.rules
        .replace(&[inner(std::slice::from_ref(&office)), outer.clone()]);
    let theirs = Ask {
        client: IpAddr::from([10, 0, 0, 1]),
        ..ADS
    };
    for (ask, rcode) in [(theirs, 0), (ADS, 3)] {
        hot.heat_rule(&ask);
        let query = ask.query(0);
        let reply = hot.table_reply(&query, ask.client);
        assert_eq!(reply.as_ref().map(|reply| reply[3] & 0x0F), Some(rcode), "{ask:?}");
        assert_eq!(reply, hot.ruled_reply(&query, ask.client));
    }
    // The rules are of a reload that has other views than those that are in force.
    hot.rules.replace(&[inner(&[]), outer]);
    hot.pass(Duration::from_secs(10));
    hot.heat_rule(&theirs);
    assert!(!hot.is_promoted(&theirs));
}
