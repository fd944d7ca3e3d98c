//! Against upstream servers that are real sockets on loopback and misbehave as told.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hickory_proto::op::{Message as Read, ResponseCode};
use hickory_proto::rr::{RData, RecordType as Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::answer::Resumed;
use crate::config::{FailoverOn, Policy, ProbeConfig, UpstreamServer};
use crate::message::{Limit, Message, Protocol};
use crate::model::record::RrSet;
use crate::model::record::{Handling, RecordType};
use crate::model::source::Origin;
use crate::model::views::ViewName;
use crate::serve::worker::testing;

mod amplification;
mod attacks;
pub(in crate::resolve) mod caching;
mod chains;
mod cookies;
mod hot;
mod loops;
mod routing;
mod ruled;
mod secure;
mod servers;
mod truncated;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a client gets in the end, without a worker and its jobs.
impl Forwarder {
    /// The reply to a client's `query`, as upstream has it, or SERVFAIL. RA=1 and AA=0.
    pub async fn forward(&self, query: &[u8], client: IpAddr, limit: Limit) -> Vec<u8> {
        self.reply(query, client, limit, None).await
    }

    /// As [`Forwarder::forward`], for a chain that began with us: upstream resolves its target, and its sections follow
    /// ours. AA=1: it tells of the first owner name in the answer section (RFC 1035 §4.1.1).
    pub async fn complete(&self, query: &[u8], chain: &PartialChain, client: IpAddr, limit: Limit) -> Vec<u8> {
        self.reply(query, client, limit, Some(chain)).await
    }

    /// The reply to a `query` that cannot be sent upstream now: SERVFAIL.
    pub fn decline(&self, query: &[u8], client: IpAddr) -> Vec<u8> {
        match Query::read(query) {
            Some(query) => self.write(&query, Err(Failure::Overloaded), client, usize::from(u16::MAX)),
            None => bare_servfail(query),
        }
    }

    async fn reply(&self, query: &[u8], client: IpAddr, limit: Limit, chain: Option<&PartialChain>) -> Vec<u8> {
        let Some(query) = Query::read(query) else {
            return bare_servfail(query);
        };
        let limit = query.limit(limit, self.settings.udp_payload);
        let mut walk = Walk::new(self, &query, client, limit, chain);
        let walked = match walk.advance(self) {
            Ok(Progress::Done) => Ok(walk),
            Ok(Progress::Ask(stale)) => self.go_on(walk, stale, &query, client).await,
            Err(failure) => Err(failure),
        };
        self.write(&query, walked, client, limit)
    }
}

/// Makes replies from the query as it came and whether it came over TCP; each is sent, in order.
type Script = fn(&[u8], bool) -> Vec<Vec<u8>>;

#[test]
fn a_failure_has_the_rd_of_queries_alone() {
    for opcode in 0..16u8 {
        for rd in [0, 1] {
            // AA, TC and the lower octet are not copied in any case.
            let query = [0x12, 0x34, opcode << 3 | 0x06 | rd, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
            let mut reply = Vec::new();
            failure(&query, 1, &mut reply);
            let kept = if opcode == 0 { rd } else { opcode << 3 };
            assert_eq!(reply[..4], [0x12, 0x34, 0x80 | kept, 1], "opcode {opcode}");
        }
    }
}

struct Upstream {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
    /// Whether it replies over UDP, or keeps its replies back for now.
    replies: watch::Sender<bool>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Upstream {
    async fn start(script: Script) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let (replies, mut replying) = watch::channel(true);
        let counted = Arc::clone(&queries);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
                counted.fetch_add(1, Ordering::SeqCst);
                replying.wait_for(|replies| *replies).await.unwrap();
                for reply in script(&buffer[..length], false) {
                    udp.send_to(&reply, client).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.unwrap();
                let mut query = vec![0; usize::from(length)];
                stream.read_exact(&mut query).await.unwrap();
                for reply in script(&query, true) {
                    stream.write_u16(reply.len() as u16).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            }
        });
        Self {
            address,
            queries,
            replies,
            _tasks: tasks,
        }
    }
}

/// Header, question and RRs: `counts` of answer, authority and additional.
fn respond(query: &[u8], rcode: u8, counts: [u8; 3], records: &[u8]) -> Vec<u8> {
    let question = 12 + crate::model::name::wire_name_length(&query[12..]).unwrap() + 4;
    let mut reply = query[..question].to_vec();
    reply[2] = 0x85;
    reply[3] = 0x80 | rcode;
    for (place, count) in counts.into_iter().enumerate() {
        reply[7 + 2 * place] = count;
    }
    reply.extend_from_slice(records);
    reply
}

const A: &[u8] = b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x01";
const OPT: &[u8] = b"\0\0\x29\x10\0\0\0\x80\0\0\x04\xFD\xE9\0\0";

fn good(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    vec![respond(query, 0, [1, 0, 1], &[A, OPT].concat())]
}

fn silent(_: &[u8], _: bool) -> Vec<Vec<u8>> {
    Vec::new()
}

fn servfail(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    vec![respond(query, 2, [0; 3], b"")]
}

/// What a query may take, where a test says nothing else.
const BUDGET: Duration = Duration::from_secs(2);
/// Patience with a busy machine: far more than what is awaited takes.
const SOON: Duration = Duration::from_secs(60);

fn forwarder(servers: &[SocketAddr]) -> Forwarder {
    forwarder_within(servers, BUDGET)
}

fn forwarder_within(servers: &[SocketAddr], timeout: Duration) -> Forwarder {
    make(settings(servers, timeout))
}

/// One set, the default.
fn settings(servers: &[SocketAddr], timeout: Duration) -> ForwardSettings {
    ForwardSettings {
        sets: vec![set(crate::config::DEFAULT_SET, servers, timeout)],
        routes: Vec::new(),
        bootstrap: Vec::new(),
        listening: Vec::new(),
        udp_payload: 1232,
        nsid: Some("ns1".into()),
        in_flight: 100,
        in_flight_per_client: 100,
        max_cname_depth: 10,
    }
}

fn set(name: &str, servers: &[SocketAddr], timeout: Duration) -> UpstreamSet {
    UpstreamSet {
        name: name.into(),
        servers: servers.iter().copied().map(UpstreamServer::plain).collect(),
        policy: Policy::Sequential,
        failover_on: FailoverOn::ALL,
        timeout,
        probe: ProbeConfig::default(),
    }
}

fn make(settings: ForwardSettings) -> Forwarder {
    let cookies = Arc::new(Cookies::new(None).unwrap());
    Forwarder::new(settings, cookies, &Clock::system(), &UpstreamMetrics::default())
}

async fn ask(servers: &[SocketAddr], query: &[u8]) -> Vec<u8> {
    forwarder(servers).forward(query, CLIENT, Limit::Datagram).await
}

fn with_opt(mut query: Vec<u8>, payload: u16, dnssec_ok: bool) -> Vec<u8> {
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&payload.to_be_bytes());
    query.extend_from_slice(&[0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    query
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn the_reply_has_the_clients_id_case_and_bits_and_no_opt_it_did_not_ask_for() {
    let upstream = Upstream::start(good).await;
    let mut query = testing::query(0x1234, "wWw.Example.");
    query[3] = 0x10;
    let reply = ask(&[upstream.address], &query).await;
    let mut expected = query.clone();
    // QR RD, RA CD: AA and AD are not ours to say.
    expected[2..12].copy_from_slice(&[0x81, 0x90, 0, 1, 0, 1, 0, 0, 0, 0]);
    expected.extend_from_slice(A);
    assert_eq!(reply, expected);
}

#[tokio::test]
async fn a_client_with_opt_gets_our_opt() {
    let upstream = Upstream::start(good).await;
    let reply = ask(&[upstream.address], &with_opt(testing::query(1, "a."), 4096, true)).await;
    assert!(reply.ends_with(b"\0\0\x29\x04\xD0\0\0\x80\0\0\0"), "{reply:?}");
    assert_eq!(reply[11], 1);
}

#[tokio::test]
async fn what_goes_upstream_is_ours() {
    let upstream = Upstream::start(|query, _| {
        let read = Read::from_vec(query).unwrap();
        assert!(read.metadata.recursion_desired && read.metadata.checking_disabled);
        let edns = read.edns.clone().expect("an OPT");
        assert!(edns.flags().dnssec_ok && edns.max_payload() == 1232);
        good(query, false)
    })
    .await;
    let mut query = with_opt(testing::query(1, "a."), 4096, true);
    query[3] = 0x10;
    assert_eq!(ask(&[upstream.address], &query).await[3] & 0x0F, 0);
}

#[tokio::test]
async fn ids_differ_from_query_to_query() {
    static SEEN: Mutex<Vec<[u8; 2]>> = Mutex::new(Vec::new());
    let upstream = Upstream::start(|query, _| {
        SEEN.lock().unwrap().push([query[0], query[1]]);
        good(query, false)
    })
    .await;
    for _ in 0..8 {
        ask(&[upstream.address], &testing::query(1, "a.")).await;
    }
    let mut seen = SEEN.lock().unwrap().clone();
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 6, "{seen:?}");
}

#[tokio::test]
async fn servfail_errors_and_silence_go_to_the_next_server() {
    let last = Upstream::start(good).await;
    for script in [silent as Script, servfail, |query, _| {
        vec![respond(query, 5, [0; 3], b"")]
    }] {
        let first = Upstream::start(script).await;
        let reply = ask(&[first.address, last.address], &testing::query(1, "a.")).await;
        assert_eq!((reply[3] & 0x0F, reply[7]), (0, 1));
        assert!(first.queries.load(Ordering::SeqCst) > 0);
    }
}

#[tokio::test]
async fn a_refused_port_costs_no_time_out() {
    let last = Upstream::start(good).await;
    let forwarder = forwarder_within(&[nobody().await, last.address], 100 * SOON);
    let query = testing::query(1, "a.");
    let asked = forwarder.forward(&query, CLIENT, Limit::Datagram);
    assert_eq!(timeout(SOON, asked).await.expect("no time-out")[7], 1);
}

#[tokio::test]
async fn without_servers_left_it_is_servfail_within_the_budget() {
    let (one, two) = (Upstream::start(silent).await, Upstream::start(servfail).await);
    let start = Instant::now();
    let query = with_opt(testing::query(9, "a."), 1232, false);
    let servers = [one.address, two.address];
    let reply = timeout(SOON, ask(&servers, &query)).await.expect("it ends");
    assert!(start.elapsed() >= BUDGET / 2, "the first has its share");
    assert_eq!(reply, servfail_with(&query, 23));
}

/// SERVFAIL with this extended error, without a text, in the OPT that ends the query.
fn servfail_with(query: &[u8], info_code: u8) -> Vec<u8> {
    let mut expected = query.to_vec();
    expected[2..4].copy_from_slice(&[0x81, 0x82]);
    let length = expected.len();
    expected[length - 1] = 6;
    expected.extend_from_slice(&[0, 15, 0, 2, 0, info_code]);
    expected
}

/// INFO-CODE and EXTRA-TEXT of the extended error that is the only option of the OPT that ends a reply.
fn error_of(reply: &[u8]) -> (u16, String) {
    let at = reply
        .windows(3)
        .rposition(|octets| octets == [0, 0, 41])
        .expect("an OPT");
    let option = &reply[at + 11..];
    assert_eq!(option[..2], [0, 15], "{reply:02x?}");
    let text = String::from_utf8(option[6..].to_vec()).unwrap();
    (u16::from_be_bytes([option[4], option[5]]), text)
}

#[tokio::test]
async fn rfc8914_4_23_servers_that_are_all_silent_are_said_to_be() {
    let query = with_opt(testing::query(9, "a."), 1232, true);
    assert_eq!(ask(&[nobody().await], &query).await, servfail_with(&query, 22));
    let query = testing::query(9, "a.");
    assert_eq!(ask(&[nobody().await], &query).await.len(), query.len());
}

#[tokio::test]
async fn rfc5001_the_nsid_is_ours_also_in_what_is_forwarded() {
    let server = Upstream::start(good).await;
    let mut query = with_opt(testing::query(9, "a."), 1232, false);
    let length = query.len();
    query[length - 1] = 4;
    query.extend_from_slice(&[0, 3, 0, 0]);
    let reply = ask(&[server.address], &query).await;
    assert!(reply.ends_with(b"\0\x07\0\x03\0\x03ns1"), "{reply:02x?}");
}

#[tokio::test]
async fn rfc7873_the_cookie_is_ours_also_in_what_is_forwarded() {
    let server = Upstream::start(good).await;
    let mut query = with_opt(testing::query(9, "a."), 1232, false);
    let length = query.len();
    query[length - 1] = 12;
    query.extend_from_slice(b"\0\x0A\0\x08client!!");
    let forwarder = forwarder(&[server.address]);
    let expected = [
        &b"\0\x1C\0\x0A\0\x18"[..],
        &forwarder.cookies.source(CLIENT).cookie(*b"client!!"),
    ]
    .concat();
    assert!(
        forwarder
            .forward(&query, CLIENT, Limit::Datagram)
            .await
            .ends_with(&expected)
    );
    assert!(forwarder.decline(&query, CLIENT).ends_with(&expected));
}

#[tokio::test]
async fn nxdomain_is_final() {
    let first = Upstream::start(|query, _| vec![respond(query, 3, [0; 3], b"")]).await;
    let second = Upstream::start(good).await;
    assert_eq!(
        ask(&[first.address, second.address], &testing::query(1, "a.")).await[3],
        0x83
    );
    assert_eq!(second.queries.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_lost_datagram_is_made_up_for() {
    static LOST: AtomicUsize = AtomicUsize::new(0);
    let upstream = Upstream::start(|query, _| {
        if LOST.fetch_add(1, Ordering::SeqCst) == 0 {
            vec![]
        } else {
            good(query, false)
        }
    })
    .await;
    assert_eq!(ask(&[upstream.address], &testing::query(1, "a.")).await[7], 1);
}

#[tokio::test]
async fn rfc5452_9_1_replies_that_answer_something_else_are_passed_over() {
    let upstream = Upstream::start(|query, _| {
        let forged = |change: fn(&mut Vec<u8>)| {
            let mut reply = respond(query, 3, [0; 3], b"");
            change(&mut reply);
            reply
        };
        vec![
            forged(|reply| reply[0] ^= 1),
            forged(|reply| reply[13] = b'z'),
            forged(|reply| *reply.last_mut().unwrap() = 3),
            forged(|reply| reply[2] &= 0x7F),
            forged(|reply| reply[5] = 0),
            forged(|reply| reply.truncate(11)),
            respond(query, 0, [1, 0, 1], &[A, OPT].concat()),
        ]
    })
    .await;
    let reply = ask(&[upstream.address], &testing::query(1, "a.")).await;
    assert_eq!((reply[3], reply[7]), (0x80, 1));
}

#[tokio::test]
async fn rfc6891_6_2_2_a_server_without_edns_is_asked_without() {
    let upstream = Upstream::start(|query, _| match query[11] {
        0 => vec![respond(query, 0, [1, 0, 0], A)],
        _ => vec![{
            let mut header = query[..12].to_vec();
            header[2..12].copy_from_slice(&[0x80, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
            header
        }],
    })
    .await;
    assert_eq!(ask(&[upstream.address], &testing::query(1, "a.")).await[7], 1);
}

fn truncating(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    if tcp {
        return vec![respond(query, 0, [100, 0, 0], &A.repeat(100))];
    }
    let mut reply = respond(query, 0, [0, 0, 1], OPT);
    reply[2] |= 0x02;
    vec![reply]
}

#[tokio::test]
async fn a_truncated_reply_is_fetched_whole_for_who_can_take_it() {
    let upstream = Upstream::start(truncating).await;
    let forwarder = forwarder(&[upstream.address]);
    let query = testing::query(1, "a.");
    let tcp = forwarder.forward(&query, CLIENT, Limit::STREAM).await;
    assert_eq!((tcp[2] & 0x02, tcp[7]), (0, 100));
    let udp = forwarder.forward(&query, CLIENT, Limit::Datagram).await;
    assert_eq!((udp[2] & 0x02, udp[7]), (2, 0), "the client is to come over TCP");
}

#[tokio::test]
async fn what_is_too_large_for_the_client_loses_additional_data_first_and_then_says_tc() {
    let extra = b"\x01x\xC0\x0C\0\x10\0\x01\0\0\0\x01\0\xC8"
        .iter()
        .copied()
        .chain([b'x'; 200]);
    static EXTRA: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    EXTRA.set(extra.collect()).unwrap();
    let upstream = Upstream::start(|query, _| {
        let extra = EXTRA.get().unwrap();
        vec![respond(
            query,
            0,
            [20, 0, 2],
            &[&A.repeat(20), &extra[..], OPT].concat(),
        )]
    })
    .await;
    // 12 + 7 + 20 * 16 = 339: the answer fits, the additional record does not.
    let reply = ask(&[upstream.address], &testing::query(1, "a.")).await;
    assert_eq!((reply.len(), reply[2] & 0x02, reply[7], reply[11]), (339, 0, 20, 0));
    let whole = ask(&[upstream.address], &with_opt(testing::query(1, "a."), 1232, false)).await;
    assert_eq!((whole[2] & 0x02, whole[7], whole[11]), (0, 20, 2));

    let large = Upstream::start(|query, _| vec![respond(query, 0, [60, 0, 0], &A.repeat(60))]).await;
    let reply = ask(&[large.address], &testing::query(1, "a.")).await;
    assert_eq!(
        (reply.len(), reply[2] & 0x02, reply[7]),
        (19, 2, 0),
        "an RRset is whole or absent (RFC 2181 §9)"
    );
}

#[tokio::test]
async fn rfc3597_unknown_types_pass_octet_for_octet_and_known_names_are_expanded() {
    const RECORDS: &[u8] = b"\xC0\x0C\xFE\xED\0\x01\0\0\0\x05\0\x04\xC0\x0C\0\xFF\xC0\x0C\0\x21\0\x01\0\0\0\x05\0\x0B\
    \0\x01\0\x02\0\x03\x02ns\xC0\x0C";
    let upstream = Upstream::start(|query, _| vec![respond(query, 0, [2, 0, 0], RECORDS)]).await;
    let reply = ask(&[upstream.address], &testing::query(1, "a.")).await;
    assert_eq!(reply[19..35], RECORDS[..16]);
    let read = Read::from_vec(&reply).unwrap();
    let RData::SRV(srv) = &read.answers[1].data else {
        panic!("{read:?}")
    };
    assert_eq!(srv.target.to_ascii(), "ns.a.");
    assert!(reply.ends_with(b"\x02ns\x01a\0"), "SRV targets are not compressed");
}

#[tokio::test]
async fn a_chain_of_ours_is_completed() {
    let upstream = Upstream::start(|query, _| {
        assert_eq!(
            &query[12..],
            [&b"\x06target\x08upstream\0\0\x01\0\x01"[..], &query[query.len() - 36..]].concat()
        );
        good(query, false)
    })
    .await;
    let alias = |from: Option<&str>, to: &str| {
        let rdatas = [to.parse::<Name>().unwrap().as_wire()].into();
        let rrset = RrSet {
            rtype: RecordType::CNAME,
            ttl: 60,
            rdatas,
            origin: Origin::config(),
            handling: Handling::default(),
        };
        (from.map(|from| from.parse().unwrap()), Arc::new(rrset))
    };
    let aliases = vec![
        alias(None, "middle.ours."),
        alias(Some("middle.ours."), "target.upstream."),
    ];
    let chain = PartialChain::of("target.upstream.".parse().unwrap(), RecordType::A, aliases);
    let query = testing::query(4, "WWW.ours.");
    let reply = forwarder(&[upstream.address])
        .complete(&query, &chain, CLIENT, Limit::Datagram)
        .await;
    let read = Read::from_vec(&reply).unwrap();
    assert_eq!(read.metadata.response_code, ResponseCode::NoError);
    assert!(read.metadata.authoritative && read.metadata.recursion_available);
    let owners: Vec<_> = read
        .answers
        .iter()
        .map(|record| (record.name.to_ascii(), record.record_type()))
        .collect();
    let expected = [
        ("WWW.ours.", Type::CNAME),
        ("middle.ours.", Type::CNAME),
        ("target.upstream.", Type::A),
    ];
    assert_eq!(owners, expected.map(|(name, rtype)| (name.to_owned(), rtype)));

    let dead = forwarder(&[nobody().await])
        .complete(&query, &chain, CLIENT, Limit::Datagram)
        .await;
    assert_eq!((dead[2], dead[3], dead[7]), (0x81, 0x82, 0));
}

#[tokio::test]
async fn the_number_of_queries_on_their_way_is_bounded() {
    let forwarder = make(ForwardSettings {
        in_flight: 1,
        ..settings(&[nobody().await], Duration::from_secs(1))
    });
    let permit = forwarder.admit(CLIENT);
    assert!(permit.is_some() && forwarder.admit(CLIENT).is_none());
    drop(permit);
    assert!(forwarder.admit(CLIENT).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarding_holds_up_neither_udp_nor_tcp() {
    let listen = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let upstream = Upstream::start(good).await;
    upstream.replies.send(false).unwrap();
    let slow = forwarder_within(&[upstream.address], 100 * SOON);
    let test = testing::start(&listen, Some(slow), testing::settings());
    let server = test.plane.addresses()[0];

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let mut buffer = [0; 512];
    for (id, name) in [(1, "forward.example."), (2, "chain.test."), (3, "a.test.")] {
        socket.send(&testing::query(id, name)).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        let length = socket.recv(&mut buffer).await.unwrap();
        order.push((buffer[1], buffer[..length][7]));
        assert_eq!(order[0], (3, 0), "ours comes first");
        upstream.replies.send(true).unwrap();
    }
    order.sort();
    assert_eq!(order, [(1, 1), (2, 2), (3, 0)]);

    // RFC 7766 §7: out of order over TCP.
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut queries = Vec::new();
    for (id, name) in [(1, "forward.example."), (2, "a.test.")] {
        let query = testing::query(id, name);
        queries.extend_from_slice(&(query.len() as u16).to_be_bytes());
        queries.extend_from_slice(&query);
    }
    upstream.replies.send(false).unwrap();
    stream.write_all(&queries).await.unwrap();
    for expected in [2, 1] {
        let length = stream.read_u16().await.unwrap();
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[1], expected);
        upstream.replies.send(true).unwrap();
    }
    assert_eq!(test.counts.wait(5).await.len(), 5);
}
