//! RFC 8906 §8: every row of its tests, as it is printed there, by dig against the running server; each over UDP and
//! over TCP. Never silence.

use tests::server::Server;

/// The zone of the running server.
const ZONE: &str = "example.com";

/// What dig has to show for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    status: &'static str,
    has_soa: bool,
    authoritative: bool,
    /// Whether there is an OPT; its version is 0 then.
    has_opt: bool,
}

const ANSWER: Expected = Expected {
    status: "NOERROR",
    has_soa: true,
    authoritative: true,
    has_opt: false,
};

const EDNS_ANSWER: Expected = Expected {
    has_opt: true,
    ..ANSWER
};

const BADVERS: Expected = Expected {
    status: "BADVERS",
    has_soa: false,
    authoritative: false,
    has_opt: true,
};

/// Section of the RFC, dig's arguments, what has to be shown, and flags that the header or the OPT must or must not
/// have.
type Row = (
    &'static str,
    &'static str,
    Expected,
    &'static [&'static str],
    &'static [&'static str],
);

const ROWS: &[Row] = &[
    // Basic DNS.
    ("8.1.1", "+noedns +noad +norec soa", ANSWER, &[], &["rd", "ra", "tc"]),
    (
        "8.1.2",
        "+noedns +noad +norec type1000",
        Expected {
            has_soa: false,
            ..ANSWER
        },
        &[],
        &["rd"],
    ),
    ("8.1.3.1", "+noedns +noad +norec +cd soa", ANSWER, &[], &["rd"]),
    ("8.1.3.2", "+noedns +norec +ad soa", ANSWER, &[], &["ad", "rd"]),
    ("8.1.3.3", "+noedns +noad +norec +zflag soa", ANSWER, &[], &["MBZ"]),
    ("8.1.3.4", "+noedns +noad +rec soa", ANSWER, &["rd"], &[]),
    (
        "8.1.4",
        "+noedns +noad +norec +opcode=15 +header-only",
        Expected {
            status: "NOTIMP",
            has_soa: false,
            authoritative: false,
            has_opt: false,
        },
        &[],
        &["rd"],
    ),
    (
        "8.1.4, RD set",
        "+noedns +noad +rec +opcode=15 +header-only",
        Expected {
            status: "NOTIMP",
            has_soa: false,
            authoritative: false,
            has_opt: false,
        },
        &[],
        &["rd"],
    ),
    ("8.1.5", "+noedns +noad +norec +tcp soa", ANSWER, &[], &["tc"]),
    // EDNS.
    ("8.2.1", "+nocookie +edns=0 +noad +norec soa", EDNS_ANSWER, &[], &[]),
    (
        "8.2.2",
        "+nocookie +edns=1 +noednsneg +noad +norec soa",
        BADVERS,
        &[],
        &[],
    ),
    (
        "8.2.3",
        "+nocookie +edns=0 +noad +norec +ednsopt=100 soa",
        EDNS_ANSWER,
        &[],
        &["OPT=100"],
    ),
    (
        "8.2.4",
        "+nocookie +edns=0 +noad +norec +ednsflags=0x40 soa",
        EDNS_ANSWER,
        &[],
        &["MBZ"],
    ),
    (
        "8.2.5",
        "+nocookie +edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa",
        BADVERS,
        &[],
        &["MBZ"],
    ),
    (
        "8.2.6",
        "+nocookie +edns=1 +noednsneg +noad +norec +ednsopt=100 soa",
        BADVERS,
        &[],
        &["OPT=100"],
    ),
    (
        "8.2.7",
        "+nocookie +norec +dnssec +bufsize=512 +ignore dnskey",
        Expected {
            has_soa: false,
            ..EDNS_ANSWER
        },
        &["do"],
        &[],
    ),
    (
        "8.2.8",
        "+nocookie +edns=0 +noad +norec +dnssec soa",
        EDNS_ANSWER,
        &["do"],
        &[],
    ),
    (
        "8.2.9",
        "+nocookie +edns=1 +noednsneg +noad +norec +dnssec soa",
        BADVERS,
        &["do"],
        &[],
    ),
    (
        "8.2.10",
        "+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa",
        EDNS_ANSWER,
        &[],
        &[],
    ),
];

#[test]
fn rfc8906_8_every_row_over_udp_and_tcp() {
    let server = Server::start("").expect("a server");
    let mut wrong = Vec::new();
    for &(section, arguments, expected, flags, no_flags) in ROWS {
        for transport in ["+notcp", "+tcp"] {
            let mut words = vec!["+qr", "+noall", "+comments", "+answer"];
            words.extend(arguments.split(' '));
            words.push(transport);
            if !arguments.contains("header-only") {
                words.push(ZONE);
            }
            let shown = server.dig(&words).unwrap_or_else(|error| error.to_string());
            // `+qr` shows the query first.
            let reply = shown.split("Got answer:").nth(1).unwrap_or_default();
            let seen = Expected {
                status: if reply.contains(&format!("status: {},", expected.status)) {
                    expected.status
                } else {
                    "another one"
                },
                has_soa: reply
                    .lines()
                    .any(|line| !line.starts_with(';') && line.contains("\tSOA\t")),
                authoritative: has_flag(reply, "aa"),
                has_opt: reply.contains("; EDNS: version: 0,"),
            };
            let has_flags = flags.iter().all(|flag| has_flag(reply, flag));
            let has_others = no_flags.iter().any(|flag| has_flag(reply, flag));
            if seen != expected || !has_flags || has_others || !has_flag(reply, "qr") {
                wrong.push(format!("§{section} {arguments} {transport}: {seen:?}\n{shown}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the reply has a flag in its header or its OPT, or a line that begins with this.
fn has_flag(reply: &str, flag: &str) -> bool {
    reply.lines().any(|line| {
        let Some((_, flags)) = line.split_once("flags:") else {
            return line.trim_start_matches("; ").starts_with(flag);
        };
        flags.split([' ', ';', ',', ':']).any(|word| word == flag)
    })
}

/// RFC 8906 §2 and §3.1.4: what is no query at all gets no reply, and the server lives on; all else gets one.
#[test]
fn rfc8906_2_scraps_do_no_harm() {
    let server = Server::start("").expect("a server");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.dns).expect("connected");
    let name = tests::frames::wire_name(ZONE);
    let query = tests::frames::Query::new(&name, 6).build();
    let mut response = query.clone();
    response[2] |= 0x80;
    for scrap in [&response[..], &[], &query[..11]] {
        socket.send(scrap).expect("sent");
    }
    // Replies come in the order of the queries: the first one is that to the query with this ID.
    for cut in 12..query.len() {
        let mut cut = query[..cut].to_vec();
        let id = (cut.len() as u16).to_be_bytes();
        cut[..2].copy_from_slice(&id);
        socket.send(&cut).expect("sent");
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).expect("a reply");
        assert_eq!(
            (&reply[..2], reply[3] & 15),
            (&cut[..2], 1),
            "{:02x?}",
            &reply[..length]
        );
    }
    let shown = server.dig(&["+short", "soa", ZONE]).expect("an answer");
    assert!(shown.starts_with("ns1.example.com."), "{shown}");
}
