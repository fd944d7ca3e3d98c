//! Rules on the way of a query.

use super::chains::Ours;
use super::*;
use crate::rules::{Action, Autopath, Block, BlockAnswer, Pattern, Rewrite, RewriteScope, Rule, Template, Text};

fn forwarder_with(servers: &[SocketAddr], actions: Vec<Action>) -> Arc<Forwarder> {
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
    let book = Arc::new(RuleBook::default());
    assert_eq!(book.replace(&rules), []);
    Arc::new(forwarder(servers).beside(Arc::new(Ours)).ruled(book))
}

fn rewrite(pattern: &str, to: &str) -> Action {
    let pattern = Pattern::new(pattern).unwrap();
    let to = Text::parse(to, Some(&pattern)).unwrap();
    Action::Rewrite(Rewrite {
        scope: RewriteScope::Match(pattern, to),
    })
}

fn template(pattern: &str, answer: &str) -> Action {
    let pattern = Pattern::new(pattern).unwrap();
    Action::Template(Template::new(None, None, Some(pattern), &[answer], true).unwrap())
}

/// At once, or as a job; `None` where the client gets nothing.
async fn ask(forwarder: &Arc<Forwarder>, name: &str) -> Option<Message> {
    let mut out = Vec::new();
    let query = with_opt(testing::query(1, name), 1232, false);
    match forwarder.take_on(&query, None, &Arrival::by(Protocol::Udp, CLIENT), &mut out) {
        Disposition::Reply => Message::read(&out),
        Disposition::Later(mut job) => Message::read(&std::future::poll_fn(|context| job.poll_next(context)).await?),
        _ => None,
    }
}

fn owner(message: &Message, place: usize) -> String {
    Name::from_wire(&message.answer[place].owner).unwrap().to_string()
}

#[tokio::test]
async fn a_rewritten_name_is_looked_up_in_our_data_and_its_answer_is_given_for_the_name_that_was_asked() {
    let upstream = Upstream::start(good).await;
    let forwarder = forwarder_with(&[upstream.address], vec![rewrite(r"^(.+)\.traefik\.$", "$1.ours.")]);
    let reply = ask(&forwarder, "HOST.traefik.").await.unwrap();
    assert_eq!(
        (owner(&reply, 0), &reply.answer[0].rdata[..]),
        ("HOST.traefik.".to_owned(), &[10, 0, 0, 1][..])
    );
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 0);
    // Our data lead on: upstream's part follows.
    let reply = ask(&forwarder, "back.traefik.").await.unwrap();
    assert_eq!(
        (owner(&reply, 0), owner(&reply, 1)),
        ("back.traefik.".to_owned(), "far.".to_owned())
    );
    // The access list of our zone holds behind a rule too.
    let reply = ask(&forwarder, "secret.traefik.").await.unwrap();
    assert_eq!((reply.rcode(), reply.answer.len()), (5, 0));
}

#[tokio::test]
async fn a_rewritten_name_goes_upstream_where_it_is_not_ours_and_is_not_rewritten_again() {
    let upstream = Upstream::start(|query, _| {
        assert_eq!(query[12..26], *b"\x01x\x03new\x07example");
        good(query, false)
    })
    .await;
    let rules = vec![
        rewrite(r"^(.+)\.old\.example\.$", "$1.new.example."),
        rewrite(r"^(.+)\.new\.example\.$", "$1.old.example."),
    ];
    let reply = ask(&forwarder_with(&[upstream.address], rules), "x.old.example.")
        .await
        .unwrap();
    assert_eq!(owner(&reply, 0), "x.old.example.");
}

#[tokio::test]
async fn a_template_answers_at_once_and_its_alias_is_followed() {
    let upstream = Upstream::start(good).await;
    let rules = vec![
        template(r"^([^.]+)\.traefik\.$", "{name} 60 IN A 172.20.0.3"),
        template(r"^([^.]+)\.alias\.$", "{name} 30 IN CNAME {1}.ours."),
        template(r"^([^.]+)\.away\.$", "{name} 30 IN CNAME {1}.example."),
    ];
    let forwarder = forwarder_with(&[upstream.address], rules);
    let reply = ask(&forwarder, "tEst.traefik.").await.unwrap();
    assert_eq!(
        (owner(&reply, 0), reply.answer[0].ttl),
        ("tEst.traefik.".to_owned(), 60)
    );
    assert_eq!(reply.flags & 0x0400, 0x0400, "AA");
    let reply = ask(&forwarder, "host.alias.").await.unwrap();
    assert_eq!((reply.answer.len(), owner(&reply, 1)), (2, "host.ours.".to_owned()));
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 0);
    let reply = ask(&forwarder, "www.away.").await.unwrap();
    assert_eq!((reply.answer.len(), owner(&reply, 1)), (2, "www.example.".to_owned()));
    assert!(ask(&forwarder, "a.b.traefik.").await.is_some());
    assert_eq!(
        upstream.queries.load(Ordering::SeqCst),
        2,
        "what no rule covers goes upstream"
    );
}

/// Nothing is ours here but `host.two.svc.cluster.local.`
#[derive(Debug)]
struct Cluster;

impl LocalData for Cluster {
    fn is_ours(&self, name: &Name, _: RecordType, _: IpAddr) -> bool {
        name.to_string() == "host.two.svc.cluster.local."
    }

    fn may_ask(&self, _: &Name, _: RecordType, _: IpAddr) -> bool {
        true
    }

    fn view_of(&self, _: IpAddr) -> u16 {
        0
    }

    fn view_name(&self, _: u16) -> Option<ViewName> {
        None
    }

    fn answer(&self, name: &Name, qtype: RecordType, client: IpAddr, out: &mut Vec<u8>) -> Resumed {
        if !self.is_ours(name, qtype, client) {
            return Resumed::NotOurs;
        }
        let query = testing::query(0, &name.to_string());
        *out = respond(
            &query,
            0,
            [1, 0, 0],
            b"\xC0\x0C\0\x01\0\x01\0\0\0\x07\0\x04\x0A\0\0\x01",
        );
        Resumed::Answered(None)
    }
}

#[tokio::test]
async fn names_of_other_namespaces_and_of_the_world_are_found_by_the_first_question() {
    let upstream = Upstream::start(good).await;
    let book = Arc::new(RuleBook::default());
    let autopath = Arc::new(Autopath::new(&"cluster.local.".parse().unwrap(), true, false));
    autopath.set(CLIENT, &"one".into(), &"pod".into());
    book.go_through(vec![autopath]);
    let forwarder = Arc::new(forwarder(&[upstream.address]).beside(Arc::new(Cluster)).ruled(book));
    let owners = |reply: &Message| {
        (0..reply.answer.len())
            .map(|place| owner(reply, place))
            .collect::<Vec<_>>()
    };
    let reply = ask(&forwarder, "host.two.one.svc.cluster.local.").await.unwrap();
    assert_eq!(
        owners(&reply),
        ["host.two.one.svc.cluster.local.", "host.two.svc.cluster.local."]
    );
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 0);
    // Nobody else is asked for names of the cluster.
    let reply = ask(&forwarder, "www.example.three.svc.cluster.local.").await.unwrap();
    assert_eq!((reply.rcode(), reply.answer.len()), (3, 0));
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 0);
    let reply = ask(&forwarder, "www.example.one.svc.cluster.local.").await.unwrap();
    assert_eq!(owners(&reply), ["www.example.one.svc.cluster.local.", "www.example."]);
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_blocked_name_says_so_and_an_alias_that_leads_to_one_is_blocked_too() {
    let upstream = Upstream::start(|query, _| {
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x0D\x03ads\x07example\0".to_vec();
        records.extend_from_slice(b"\x03ads\x07example\0\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x42");
        vec![respond(query, 0, [2, 0, 0], &records)]
    })
    .await;
    let block = |answer| {
        Action::Block(Block {
            files: Vec::new(),
            urls: Vec::new(),
            names: vec!["ads.example".into()],
            answer,
        })
    };
    let forwarder = forwarder_with(&[upstream.address], vec![block(BlockAnswer::Nxdomain)]);
    let reply = ask(&forwarder, "x.ads.example.").await.unwrap();
    let option = reply.opt.as_ref().map(|opt| opt.rdata.clone());
    assert_eq!(
        (reply.rcode(), option),
        (3, Some(vec![0, 15, 0, 2, 0, 15])),
        "blocked (RFC 8914)"
    );
    let reply = ask(&forwarder, "cloaked.example.").await.unwrap();
    assert_eq!((reply.rcode(), reply.answer.len()), (3, 1));
    let forwarder = forwarder_with(&[upstream.address], vec![block(BlockAnswer::Drop)]);
    assert!(ask(&forwarder, "ads.example.").await.is_none());
    assert!(ask(&forwarder, "cloaked.example.").await.is_none());
}
