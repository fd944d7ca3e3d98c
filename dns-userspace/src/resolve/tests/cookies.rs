//! Servers that know cookies (RFC 7873), those that do not, and those who forge their replies.

use super::*;
use crate::message::{cookie_of, write_cookie};

/// The server's part of all cookies here.
const THEIRS: &[u8] = b"of the server";
/// An address that nobody should get.
const FORGED: &[u8] = b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x42";

/// The cookie in a query.
fn cookie(query: &[u8]) -> Vec<u8> {
    let opt = Message::read(query).and_then(|message| message.opt);
    let cookie = opt.as_ref().and_then(|opt| cookie_of(&opt.rdata));
    cookie.unwrap_or_default().to_vec()
}

/// The server's cookie for whoever sent this.
fn baked(query: &[u8]) -> Vec<u8> {
    [&cookie(query)[..8], THEIRS].concat()
}

fn has_been_given(query: &[u8]) -> bool {
    cookie(query).ends_with(THEIRS)
}

/// A reply with this RCODE, an answer or none, and a cookie.
fn reply_with(query: &[u8], rcode: u8, answer: &[u8], cookie: &[u8]) -> Vec<u8> {
    let mut option = Vec::new();
    write_cookie(&[cookie], &mut option);
    let mut records = answer.to_vec();
    records.extend_from_slice(&[0, 0, 41, 0x04, 0xD0, rcode >> 4, 0, 0, 0, 0, option.len() as u8]);
    records.extend_from_slice(&option);
    respond(query, rcode & 0x0F, [u8::from(!answer.is_empty()), 0, 1], &records)
}

async fn last_octet(forwarder: &Forwarder, id: u16) -> Option<u8> {
    let reply = forwarder
        .forward(&testing::query(id, "a."), CLIENT, Limit::Datagram)
        .await;
    (reply[7] == 1).then(|| reply[reply.len() - 1])
}

#[tokio::test]
async fn rfc7873_5_3_the_servers_cookie_goes_with_later_queries_and_replies_without_ours_are_passed_over() {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let upstream = Upstream::start(|query, _| {
        GIVEN.fetch_add(usize::from(has_been_given(query)), Ordering::SeqCst);
        let mut other = baked(query);
        other[0] ^= 1;
        vec![
            reply_with(query, 0, FORGED, &other),
            reply_with(query, 0, FORGED, b"short"),
            reply_with(query, 23, b"", &other),
            reply_with(query, 0, A, &baked(query)),
        ]
    })
    .await;
    let forwarder = forwarder(&[upstream.address]);
    for id in 0..4 {
        assert_eq!(last_octet(&forwarder, id).await, Some(1));
        assert_eq!(GIVEN.load(Ordering::SeqCst), usize::from(id));
    }
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_reply_without_a_cookie_where_there_has_been_one_is_not_believed_before_tcp() {
    static OVER_TCP: AtomicUsize = AtomicUsize::new(0);
    static LACKS: AtomicBool = AtomicBool::new(false);
    let upstream = Upstream::start(|query, tcp| {
        OVER_TCP.fetch_add(usize::from(tcp), Ordering::SeqCst);
        match (LACKS.load(Ordering::SeqCst), tcp) {
            (false, _) => vec![reply_with(query, 0, A, &baked(query))],
            (true, true) => vec![respond(query, 0, [1, 0, 0], A)],
            // Forged, or of a server that gives no cookies any more.
            (true, false) if has_been_given(query) => vec![respond(query, 0, [1, 0, 0], FORGED)],
            (true, false) => vec![respond(query, 0, [1, 0, 0], A)],
        }
    })
    .await;
    let forwarder = forwarder(&[upstream.address]);
    assert_eq!(last_octet(&forwarder, 1).await, Some(1));
    LACKS.store(true, Ordering::SeqCst);
    assert_eq!(last_octet(&forwarder, 2).await, Some(1));
    assert_eq!(OVER_TCP.load(Ordering::SeqCst), 1);
    // It is known by now.
    assert_eq!(last_octet(&forwarder, 3).await, Some(1));
    assert_eq!(OVER_TCP.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rfc7873_5_3_a_server_that_wants_its_cookie_gets_it_and_one_that_never_is_content_is_asked_over_tcp() {
    let strict = Upstream::start(|query, _| match has_been_given(query) {
        true => vec![reply_with(query, 0, A, &baked(query))],
        false => vec![reply_with(query, 23, b"", &baked(query))],
    })
    .await;
    let asked = forwarder(&[strict.address]);
    for (id, queries) in [(1, 2), (2, 3)] {
        assert_eq!(last_octet(&asked, id).await, Some(1));
        assert_eq!(strict.queries.load(Ordering::SeqCst), queries);
    }
    let never = Upstream::start(|query, tcp| match tcp {
        true => vec![reply_with(query, 0, A, &baked(query))],
        false => vec![reply_with(query, 23, b"", &baked(query))],
    })
    .await;
    assert_eq!(last_octet(&forwarder(&[never.address]), 1).await, Some(1));
    assert_eq!(never.queries.load(Ordering::SeqCst), 2, "twice over UDP");
}

#[tokio::test]
async fn a_server_that_sends_back_what_it_does_not_know_or_cannot_bear_it_is_asked_all_the_same() {
    let echo = Upstream::start(|query, _| vec![reply_with(query, 0, A, &cookie(query))]).await;
    let asked = forwarder(&[echo.address]);
    for id in 0..2 {
        assert_eq!(last_octet(&asked, id).await, Some(1));
    }
    assert_eq!(echo.queries.load(Ordering::SeqCst), 2);
    let strict = Upstream::start(|query, _| match cookie(query).is_empty() {
        true => good(query, false),
        false => vec![respond(query, 1, [0, 0, 1], OPT)],
    })
    .await;
    assert_eq!(last_octet(&forwarder(&[strict.address]), 1).await, Some(1));
}
