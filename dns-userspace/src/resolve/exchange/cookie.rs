//! Our cookies at a server (RFC 7873 §5.1 and §5.3, RFC 9018 §3): whoever does not see our queries cannot answer them.
//!
//! ```text
//! the first query: our part ─► a reply with both parts ─► both go with each query from then on
//!                               ├ our part is another: it is forged, and passed over
//!                               ├ no cookie, though the server has given one: the answer is fetched over TCP
//!                               └ BADCOOKIE: once more with the new one, then over TCP
//! ```
//!
//! Our part is drawn for each address of a server, and anew each day and where we ask from another address: it tells
//! nobody that two queries are of one client. A server that does not know cookies ignores them, and nothing is asked of
//! its replies.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Message, cookie_of, write_cookie};

/// RCODE of a reply to a cookie that the server has not made, or not lately (RFC 7873 §8).
const BADCOOKIE: u16 = 23;
/// Octets of our part, and those of the server's at least and at most (RFC 7873 §4).
const CLIENT_BYTES: usize = 8;
const LEAST_SERVER_BYTES: usize = 8;
const MOST_SERVER_BYTES: usize = 32;
/// Octets of a cookie as an option, with its code and length.
pub(super) const MOST_OPTION_BYTES: usize = 4 + CLIENT_BYTES + MOST_SERVER_BYTES;
/// A server's part is asked for in its replies as long as one came lately.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// RFC 7873 §7.1: a day is good.
const DRAW_AFTER: Duration = Duration::from_secs(86_400);
/// Addresses of a server whose cookies are kept.
const MOST_ADDRESSES: usize = 16;

/// What goes with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cookie {
    ours: [u8; CLIENT_BYTES],
    theirs: Theirs,
}

/// The server's part; it has no octets where none was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Theirs {
    octets: [u8; MOST_SERVER_BYTES],
    length: u8,
}

/// What a reply's cookie says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is the server's, as far as the cookie can tell.
    Good,
    /// It has none, and the server has given one before.
    Missing,
    /// It answers none of our queries.
    Forged,
}

impl Theirs {
    fn of(octets: &[u8]) -> Option<Self> {
        let mut theirs = Self::default();
        theirs.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        theirs.length = u8::try_from(octets.len()).ok()?;
        Some(theirs).filter(|_| octets.len() >= LEAST_SERVER_BYTES)
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Cookie {
    fn draw() -> Self {
        Self {
            ours: rand::random(),
            theirs: Theirs::default(),
        }
    }

    /// Appends it as an option.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_cookie(&[&self.ours, self.theirs.octets()], out);
    }

    pub(super) fn judge(&self, reply: &Message) -> Judged {
        match self.read(reply) {
            Read::Theirs(_) => Judged::Good,
            Read::Other => Judged::Forged,
            Read::Nothing if self.theirs.length > 0 => Judged::Missing,
            Read::Nothing => Judged::Good,
        }
    }

    fn read(&self, reply: &Message) -> Read {
        let found = reply.opt.as_ref().and_then(|opt| cookie_of(&opt.rdata));
        match found.map(|found| found.split_first_chunk::<CLIENT_BYTES>()) {
            None => Read::Nothing,
            // Some servers send back what they do not know.
            Some(Some((ours, []))) if *ours == self.ours => Read::Nothing,
            Some(Some((ours, theirs))) if *ours == self.ours => Theirs::of(theirs).map_or(Read::Other, Read::Theirs),
            Some(_) => Read::Other,
        }
    }
}

/// The cookie of a reply.
enum Read {
    /// Ours, with the server's part.
    Theirs(Theirs),
    /// Another's, or malformed.
    Other,
    Nothing,
}

/// Whether the server wants another cookie.
pub(super) fn is_refusal(reply: &Message) -> bool {
    reply.rcode() == BADCOOKIE
}

/// The cookies of a server.
#[derive(Debug, Default)]
pub(super) struct Jar(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    server: SocketAddr,
    /// From where it is asked.
    local: IpAddr,
    cookie: Cookie,
    drawn: Instant,
    /// When the server has given its part last.
    given: Instant,
}

impl Jar {
    /// What goes with a query to this address of the server, from this one of ours.
    pub(super) fn cookie(&self, server: SocketAddr, local: IpAddr, now: Instant) -> Cookie {
        let mut jar = self.lock();
        let found = jar.iter_mut().find(|kept| kept.server == server);
        if let Some(kept) = found.filter(|kept| kept.local == local && now < kept.drawn + DRAW_AFTER) {
            if now >= kept.given + FORGET_AFTER {
                kept.cookie.theirs = Theirs::default();
            }
            return kept.cookie;
        }
        jar.retain(|kept| kept.server != server);
        if jar.len() >= MOST_ADDRESSES {
            jar.remove(0);
        }
        let cookie = Cookie::draw();
        jar.push(Kept {
            server,
            local,
            cookie,
            drawn: now,
            given: now,
        });
        cookie
    }

    /// Keeps what a reply to a query with this cookie gives. Over TCP no reply is forged: there one without a cookie
    /// says that the server gives none any more.
    pub(super) fn note(&self, server: SocketAddr, sent: &Cookie, reply: &Message, is_tcp: bool, now: Instant) {
        let theirs = match sent.read(reply) {
            Read::Theirs(theirs) => theirs,
            Read::Nothing if is_tcp => Theirs::default(),
            Read::Nothing | Read::Other => return,
        };
        let mut jar = self.lock();
        let found = jar.iter_mut().find(|kept| kept.server == server);
        if let Some(kept) = found.filter(|kept| kept.cookie.ours == sent.ours) {
            (kept.cookie.theirs, kept.given) = (theirs, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Record;

    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 53);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A reply with these octets as its cookie.
    fn reply(cookie: &[u8]) -> Message {
        let mut rdata = vec![0xFD, 0xE9, 0, 0];
        write_cookie(&[cookie], &mut rdata);
        Message {
            opt: Some(Record {
                owner: vec![0],
                rtype: 41,
                class: 1232,
                ttl: 0,
                rdata,
            }),
            ..Message::of_answer(Vec::new())
        }
    }

    #[test]
    fn rfc7873_5_3_a_reply_is_good_with_our_part_and_one_without_is_none_once_the_server_has_given_one() {
        let (jar, server, now) = (Jar::default(), SocketAddr::from(SERVER), Instant::now());
        let first = jar.cookie(server, HERE, now);
        let none = Message::of_answer(Vec::new());
        let echo = reply(&first.ours);
        let whole = reply(&[&first.ours[..], b"12345678"].concat());
        assert_eq!(
            [&none, &echo, &whole].map(|reply| first.judge(reply)),
            [Judged::Good; 3]
        );
        for forged in [&b"another!12345678"[..], b"", b"short", b"another!"] {
            assert_eq!(first.judge(&reply(forged)), Judged::Forged, "{forged:?}");
        }
        for length in [1, 7, 33, 100] {
            let malformed = [&first.ours[..], &vec![7; length]].concat();
            assert_eq!(first.judge(&reply(&malformed)), Judged::Forged, "{length}");
        }
        jar.note(server, &first, &none, false, now);
        assert_eq!(jar.cookie(server, HERE, now), first);
        jar.note(server, &first, &whole, false, now);
        let second = jar.cookie(server, HERE, now);
        let mut written = Vec::new();
        second.write(&mut written);
        assert_eq!(written, [&b"\0\x0A\0\x10"[..], &first.ours, b"12345678"].concat());
        assert_eq!(
            [&none, &echo, &whole].map(|reply| second.judge(reply)),
            [Judged::Missing, Judged::Missing, Judged::Good]
        );
        // Without one over TCP, and without any for a while, it is forgotten.
        jar.note(server, &second, &none, false, now);
        assert_eq!(jar.cookie(server, HERE, now), second);
        jar.note(server, &second, &none, true, now);
        assert_eq!(jar.cookie(server, HERE, now), first);
        jar.note(server, &first, &whole, false, now);
        assert_eq!(jar.cookie(server, HERE, now + FORGET_AFTER), first);
    }

    #[test]
    fn rfc9018_3_each_address_and_each_day_has_a_cookie_of_its_own() {
        let (jar, now) = (Jar::default(), Instant::now());
        let at = |last: u8| SocketAddr::from(([192, 0, 2, last], 53));
        let first = jar.cookie(at(1), HERE, now);
        let elsewhere = IpAddr::from([127, 0, 0, 2]);
        let others = [
            jar.cookie(at(2), HERE, now),
            jar.cookie(at(1), elsewhere, now),
            jar.cookie(at(1), elsewhere, now + DRAW_AFTER),
        ];
        for (place, other) in others.iter().enumerate() {
            assert!(*other != first && !others[..place].contains(other));
        }
        // What was asked with the one before gives nothing any more.
        let late = reply(&[&first.ours[..], b"12345678"].concat());
        jar.note(at(1), &first, &late, false, now);
        assert_eq!(jar.cookie(at(1), elsewhere, now + DRAW_AFTER), others[2]);
        for last in 0..100 {
            jar.cookie(at(last), HERE, now);
        }
        assert_eq!(jar.lock().len(), MOST_ADDRESSES);
    }
}
