//! Replies that are cut off, too large, or malformed.

use super::*;

const SERVFAIL: u8 = 2;

/// Fewer octets than the records that the header counts.
fn cut_in_a_record(query: &[u8], tc: bool) -> Vec<u8> {
    let mut reply = respond(query, 0, [100, 0, 1], &A.repeat(30));
    reply.truncate(reply.len() - 5);
    reply[2] |= if tc { 0x02 } else { 0 };
    reply
}

fn whole(query: &[u8]) -> Vec<Vec<u8>> {
    vec![respond(query, 0, [100, 0, 0], &A.repeat(100))]
}

fn cut_with_tc(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    if tcp {
        whole(query)
    } else {
        vec![cut_in_a_record(query, true)]
    }
}

fn cut_without_tc(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    if tcp {
        whole(query)
    } else {
        vec![cut_in_a_record(query, false)]
    }
}

/// Header and question alone.
fn cut_behind_the_question(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    if tcp {
        return whole(query);
    }
    let mut reply = respond(query, 0, [100, 0, 1], b"");
    reply[2] |= 0x02;
    vec![reply]
}

fn too_large(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    if tcp {
        whole(query)
    } else {
        vec![respond(query, 0, [255, 0, 0], &A.repeat(257))]
    }
}

/// No TCP.
async fn over_udp_alone(script: Script) -> Upstream {
    let mut upstream = Upstream::start(script).await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    upstream.address = udp.local_addr().unwrap();
    let counted = Arc::clone(&upstream.queries);
    upstream._tasks.spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
            counted.fetch_add(1, Ordering::SeqCst);
            for reply in script(&buffer[..length], false) {
                udp.send_to(&reply, client).await.unwrap();
            }
        }
    });
    upstream
}

#[tokio::test]
async fn what_is_cut_off_is_fetched_over_tcp() {
    for script in [
        cut_with_tc as Script,
        cut_without_tc,
        cut_behind_the_question,
        too_large,
    ] {
        let upstream = Upstream::start(script).await;
        let forwarder = forwarder(&[upstream.address]);
        let query = testing::query(1, "a.");
        let reply = forwarder.forward(&query, CLIENT, Limit::STREAM).await;
        assert_eq!((reply[2] & 0x02, reply[3] & 0x0F, reply[7]), (0, 0, 100));
        assert_eq!(upstream.queries.load(Ordering::SeqCst), 1, "once over UDP");
    }
}

#[tokio::test]
async fn a_client_with_little_room_is_told_tc() {
    for script in [
        cut_with_tc as Script,
        cut_without_tc,
        cut_behind_the_question,
        too_large,
    ] {
        let upstream = Upstream::start(script).await;
        let reply = ask(&[upstream.address], &testing::query(1, "a.")).await;
        assert_eq!((reply.len(), reply[2] & 0x02, reply[3] & 0x0F, reply[7]), (19, 2, 0, 0));
    }
}

#[tokio::test]
async fn tc_and_no_tcp_goes_to_the_next_server() {
    let last = Upstream::start(good).await;
    for script in [cut_with_tc as Script, cut_without_tc, too_large] {
        let first = over_udp_alone(script).await;
        let reply = forwarder(&[first.address, last.address])
            .forward(&testing::query(1, "a."), CLIENT, Limit::STREAM)
            .await;
        assert_eq!((reply[2] & 0x02, reply[3] & 0x0F, reply[7]), (0, 0, 1));
        assert_eq!(first.queries.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn the_extended_error_says_that_tcp_failed() {
    let only = over_udp_alone(cut_with_tc).await;
    let query = with_opt(testing::query(9, "a."), 1232, false);
    let reply = forwarder(&[only.address]).forward(&query, CLIENT, Limit::STREAM).await;
    assert_eq!(reply[3] & 0x0F, SERVFAIL);
    assert_eq!(
        error_of(&reply),
        (
            23,
            "the reply is too large for UDP, and was not to be had over TCP".to_owned()
        )
    );
    // A server that answers nothing before it changes nothing of that.
    let reply = forwarder(&[nobody().await, only.address, nobody().await])
        .forward(&query, CLIENT, Limit::STREAM)
        .await;
    assert_eq!(error_of(&reply).0, 23);
}

#[tokio::test]
async fn what_is_malformed_over_tcp_too_is_said_and_goes_to_the_next_server() {
    fn malformed(query: &[u8], _: bool) -> Vec<Vec<u8>> {
        vec![cut_in_a_record(query, false)]
    }
    let first = Upstream::start(malformed).await;
    let last = Upstream::start(good).await;
    let reply = ask(&[first.address, last.address], &testing::query(1, "a.")).await;
    assert_eq!((reply[3] & 0x0F, reply[7]), (0, 1));
    let query = with_opt(testing::query(9, "a."), 1232, false);
    assert_eq!(error_of(&ask(&[first.address], &query).await).0, 23);
}
