//! The running server with real clients: dig, kdig, dnsperf, HTTP, signals, two namespaces.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use tests::frames::{Query, wire_name};
use tests::net::{Namespace, PATIENCE, VethOptions, VethPair, is_skipped, run};
use tests::server::{Server, ZONE, eventually, free_port, program};

#[test]
fn dig_gets_every_kind_of_answer_over_udp_and_tcp() -> Result<()> {
    let server = Server::start("")?;
    let cases = [
        (["www.example.com", "A"], "192.0.2.80"),
        (["www.example.com", "AAAA"], "2001:db8::80"),
        (["wWw.eXample.com", "TXT"], "\"hello\""),
        (["example.com", "MX"], "10 mail.example.com."),
        (["example.com", "NS"], "ns1.example.com."),
        (
            ["example.com", "SOA"],
            "ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 300",
        ),
        (["_sip._udp.example.com", "SRV"], "1 2 5060 www.example.com."),
        (["alias.example.com", "A"], "www.example.com.\n192.0.2.80"),
        (["a.b.wild.example.com", "A"], "192.0.2.99"),
    ];
    for (question, expected) in cases {
        for transport in ["+notcp", "+tcp"] {
            let answer = server.dig(&[&question[..], &["+short", transport]].concat())?;
            assert_eq!(answer.trim(), expected, "{question:?} {transport}");
        }
    }
    let nxdomain = server.dig(&["nope.example.com"])?;
    assert!(nxdomain.contains("NXDOMAIN") && nxdomain.contains("SOA"), "{nxdomain}");
    let nodata = server.dig(&["www.example.com", "SRV"])?;
    assert!(
        nodata.contains("NOERROR") && nodata.contains("ANSWER: 0") && nodata.contains("SOA"),
        "{nodata}"
    );
    let referral = server.dig(&["x.sub.example.com"])?;
    assert!(
        referral.contains("ns.sub.example.com.\t300\tIN\tA\t192.0.2.54"),
        "{referral}"
    );
    assert!(!referral.contains("flags: qr aa"), "{referral}");
    let refused = server.dig(&["example.net"])?;
    assert!(refused.contains("REFUSED"), "{refused}");
    Ok(())
}

#[test]
fn what_does_not_fit_is_truncated_and_whole_over_tcp() -> Result<()> {
    let server = Server::start("")?;
    let cut = server.dig(&["big.example.com", "TXT", "+noedns", "+ignore"])?;
    assert!(cut.contains(" tc"), "{cut}");
    let whole = server.dig(&["big.example.com", "TXT", "+noedns", "+short"])?;
    assert!(whole.contains("\"4123"), "dig comes back over TCP: {whole}");
    let kdig = Command::new("kdig")
        .args([
            &format!("@{}", server.dns.ip()),
            "-p",
            &server.dns.port().to_string(),
            "big.example.com",
            "TXT",
        ])
        .output()
        .context("kdig")?;
    assert!(String::from_utf8_lossy(&kdig.stdout).contains("4123"), "{kdig:?}");
    Ok(())
}

#[test]
fn the_idle_time_out_of_tcp_is_configured_told_and_kept() -> Result<()> {
    let server = Server::start("tcp: {idle_timeout: 1500ms}\n")?;
    let told = server.dig(&["www.example.com", "+tcp", "+keepalive"])?;
    assert!(told.contains("KEEPALIVE: 1.5 secs"), "{told}");
    let over_udp = server.dig(&["www.example.com", "+notcp", "+keepalive"])?;
    assert!(!over_udp.contains("KEEPALIVE"), "{over_udp}");

    let mut idle = std::net::TcpStream::connect(server.dns)?;
    idle.set_read_timeout(Some(PATIENCE))?;
    assert_eq!(std::io::Read::read(&mut idle, &mut [0])?, 0, "closed by the server");
    eventually("its place comes back", || {
        Ok(server.metric("hotdns_tcp_connections")? == 0.0)
    })?;
    Ok(())
}

#[test]
fn odd_queries_get_the_right_error_and_never_silence() -> Result<()> {
    let server = Server::start("")?;
    for (arguments, expected) in [
        (["www.example.com", "+opcode=notify"], "NOTIMP"),
        (["www.example.com", "+edns=1"], "BADVERS"),
        (["www.example.com", "+header-only"], "FORMERR"),
        (["version.bind", "+short"], ""),
    ] {
        // dig would ask again, in version 0; a cookie would be all that a query without a question asks for.
        let answer = server.dig(&[&arguments[..], &["+noednsnegotiation", "+nocookie"]].concat())?;
        assert!(answer.contains(expected), "{arguments:?}: {answer}");
    }
    Ok(())
}

#[test]
fn workers_come_before_what_comes_in() -> Result<()> {
    let server = Server::start("")?;
    // Capabilities are a mask in hexadecimal; CAP_SYS_NICE is bit 23 (include/uapi/linux/capability.h).
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = u64::from_str_radix(effective.context("no CapEff")?.trim(), 16)?;
    let may = effective & 1 << 23 != 0;
    let expected = if may { -5 } else { 0 };
    // The server is ready once its workers are started, which may be before they have run.
    eventually("every worker has its niceness", || {
        let workers = server.niceness("dns-")?;
        Ok(!workers.is_empty() && workers.iter().all(|&niceness| niceness == expected))
    })?;
    // The others stay as they are: the API, and what reads zone files.
    assert!(server.niceness("hotdns")?.iter().all(|&niceness| niceness == 0));
    Ok(())
}

#[test]
fn a_change_is_answered_by_the_time_it_is_acknowledged() -> Result<()> {
    let server = Server::start("")?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.dns)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let query = Query::new(&wire_name("new.example.com"), 1).build();
    for round in 0..200u8 {
        let address = format!("192.0.2.{round}");
        let body = json!({"name": "new.example.com", "type": "A", "ttl": 60, "value": [address]});
        let reply = server.request("PUT", "/api/v1/records/new.example.com", Some(&body))?;
        ensure!(matches!(reply.status, 200 | 201), "{reply:?}");
        client.send(&query)?;
        let mut answer = [0; 512];
        let length = client.recv(&mut answer)?;
        assert_eq!(
            answer[length - 4..length],
            [192, 0, 2, round],
            "round {round}: {:?}",
            &answer[..length]
        );
        if round % 10 == 9 {
            let reply = server.request("DELETE", "/api/v1/records/new.example.com?type=A", None)?;
            ensure!(reply.status == 204, "{reply:?}");
            client.send(&query)?;
            let _ = client.recv(&mut answer)?;
            assert_eq!(answer[3] & 15, 3, "NXDOMAIN after the deletion");
        }
    }
    Ok(())
}

#[test]
fn a_hundred_clients_change_records_at_once() -> Result<()> {
    let server = Server::start("")?;
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..100)
            .map(|client| {
                let server = &server;
                scope.spawn(move || -> Result<()> {
                    for change in 0..10 {
                        let name = format!("c{client}-{change}.example.com");
                        let body = json!({"name": name, "type": "A", "value": [format!("10.0.{client}.{change}")]});
                        let reply = server.request("POST", "/api/v1/records", Some(&body))?;
                        ensure!(reply.status == 201, "{reply:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        for client in clients {
            client.join().expect("no panic")?;
        }
        Ok(())
    })?;
    assert_eq!(server.metric("hotdns_records{source=\"api\"}")?, 1000.0);
    for (client, change) in [(0, 0), (57, 3), (99, 9)] {
        let answer = server.dig(&[&format!("c{client}-{change}.example.com"), "+short"])?;
        assert_eq!(answer.trim(), format!("10.0.{client}.{change}"));
    }
    Ok(())
}

#[test]
fn acknowledged_records_and_serials_survive_kill_9() -> Result<()> {
    let mut server = Server::start("")?;
    for number in 0..20 {
        let body = json!({"name": format!("k{number}.example.com"), "type": "TXT", "value": [format!("v{number}")]});
        ensure!(server.request("POST", "/api/v1/records", Some(&body))?.status == 201);
    }
    let serial = |server: &Server| -> Result<u32> {
        let soa = server.dig(&["example.com", "SOA", "+short"])?;
        soa.split_whitespace()
            .nth(2)
            .context("a serial")?
            .parse()
            .context("a number")
    };
    let before = serial(&server)?;
    server.kill()?;
    server.run()?;
    for number in 0..20 {
        let answer = server.dig(&[&format!("k{number}.example.com"), "TXT", "+short"])?;
        assert_eq!(answer.trim(), format!("\"v{number}\""));
    }
    assert!(serial(&server)? >= before);
    assert!(server.stop()?.success());
    Ok(())
}

#[test]
fn reloads_take_what_is_good_and_keep_the_rest() -> Result<()> {
    let server = Server::start("")?;
    server.write("example.com.zone", &ZONE.replace("192.0.2.80", "192.0.2.81"))?;
    let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!(
        (reply.status, &reply.json["changed"]),
        (200, &json!([{"name": "www.example.com.", "type": "A"}]))
    );
    assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.81");

    server.write("example.com.zone", &format!("{ZONE}bad A not-an-address\n"))?;
    let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!(reply.status, 200);
    let failed = reply.json["failed"].to_string();
    assert!(
        failed.contains("example.com.zone") && failed.contains("not-an-address"),
        "{failed}"
    );
    assert_eq!(
        server.dig(&["www.example.com", "+short"])?.trim(),
        "192.0.2.81",
        "the last good content"
    );

    server.write("example.com.zone", ZONE)?;
    server.signal(Signal::SIGHUP)?;
    eventually("SIGHUP reloads", || {
        Ok(server.dig(&["www.example.com", "+short"])?.trim() == "192.0.2.80")
    })?;

    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &format!("{config}no_such_key: 1\n"))?;
    let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("reload_failed")));
    assert!(reply.text.contains("no_such_key"), "{}", reply.text);
    assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");

    // A pipe that nobody writes to holds nothing up.
    std::fs::remove_file(server.path("hotdns.yaml"))?;
    nix::unistd::mkfifo(&server.path("hotdns.yaml"), nix::sys::stat::Mode::S_IRWXU)?;
    let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("reload_failed")));
    assert!(reply.text.contains("not a regular file"), "{}", reply.text);
    assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");
    std::fs::remove_file(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &config)?;
    assert_eq!(server.request("POST", "/api/v1/reload", Some(&json!({})))?.status, 200);
    Ok(())
}

#[test]
fn a_broken_zone_is_servfail_with_the_reason_and_others_are_untouched() -> Result<()> {
    let mut server = Server::start("")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let both = config.replace("zones: [", "zones: [{name: broken.test., file: broken.test.zone}, ");
    assert_ne!(both, config);
    server.write(
        "broken.test.zone",
        "@ 300 SOA ns host 1 2 3 4 5\n@ 300 NS ns\nwww 300 A not-an-address\n",
    )?;
    server.write("hotdns.yaml", &both)?;
    let is_right = |server: &Server| -> Result<()> {
        for question in ["www.broken.test", "broken.test", "nx.broken.test"] {
            for transport in ["+notcp", "+tcp"] {
                let answer = server.dig(&[question, transport])?;
                assert!(
                    answer.contains("SERVFAIL") && answer.contains("EDE: 24 (Invalid Data)"),
                    "{answer}"
                );
            }
            let plain = server.dig(&[question, "+noedns"])?;
            assert!(plain.contains("SERVFAIL") && !plain.contains("EDE"), "{plain}");
        }
        assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");
        Ok(())
    };
    let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(
        reply.json["failed"].to_string().contains("broken.test.zone:3:"),
        "{}",
        reply.text
    );
    is_right(&server)?;
    server.kill()?;
    server.run()?;
    is_right(&server)?;
    // And it comes back by itself.
    server.write(
        "broken.test.zone",
        "@ 300 SOA ns host 1 2 3 4 5\n@ 300 NS ns\nwww 300 A 192.0.2.7\n",
    )?;
    server.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!(server.dig(&["www.broken.test", "+short"])?.trim(), "192.0.2.7");
    Ok(())
}

#[test]
fn no_input_of_a_reload_ends_the_process_or_another_zone() -> Result<()> {
    let server = Server::start("records: [{name: over.test., type: A, value: [192.0.2.7]}]\n")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let reload = || server.request("POST", "/api/v1/reload", Some(&json!({})));
    let serves = || -> Result<()> {
        assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");
        Ok(())
    };
    let links = (1..50_000).map(|link| format!("- &a{link} [*a{}]\n", link - 1));
    let chain = format!("views:\n- &a0 [x]\n{}", links.collect::<String>());
    let keys = (0..100_000).map(|key| format!("k{key}: 1\n")).collect::<String>();
    for (more, complaint) in [
        (chain, "more than 32 deep"),
        (format!("views: {}\n", "[".repeat(100_000)), "more than 32 deep"),
        (keys, "and 99900 more errors"),
    ] {
        server.write("hotdns.yaml", &format!("{config}{more}"))?;
        let reply = reload()?;
        assert_eq!((reply.status, &reply.json["code"]), (422, &json!("reload_failed")));
        assert!(reply.text.contains(complaint), "{}", reply.text);
        serves()?;
    }
    server.write("hotdns.yaml", &format!("&root\n{config}"))?;
    assert_eq!(reload()?.status, 200, "an anchor at the root");

    // One zone takes more memory than there is; the others load.
    let zones = "zones: [{name: large.test., file: large.zone}, ";
    server.write(
        "hotdns.yaml",
        &format!("{}limits: {{memory: 16MiB}}\n", config.replace("zones: [", zones)),
    )?;
    server.write(
        "large.zone",
        "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n$GENERATE 1-10000000 h$ A 192.0.2.1\n",
    )?;
    server.write("example.com.zone", &format!("{ZONE}new A 192.0.2.81\n"))?;
    let reply = reload()?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json["failed"][0]["zone"], "large.test.", "{}", reply.text);
    assert!(reply.text.contains("of 16MiB (`limits.memory`)"), "{}", reply.text);
    assert_eq!(server.dig(&["new.example.com", "+short"])?.trim(), "192.0.2.81");

    // A body of many values is answered, and costs the others nothing.
    let address = |at: u32| format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
    let values: Vec<String> = (0..70_000).map(address).collect();
    let body = json!({"name": "many.example.com", "type": "A", "value": values});
    let reply = server.request("POST", "/api/v1/records", Some(&body))?;
    assert_eq!((reply.status, &reply.json["code"]), (400, &json!("invalid_value")));
    serves()
}

#[test]
fn a_clash_with_a_zone_file_fails_that_zone_alone() -> Result<()> {
    let mut server = Server::start("records: [{name: www.example.com., type: A, value: [192.0.2.7]}]\n")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let log = server.log();
    assert!(
        log.contains("www.example.com. A is also in the zone file example.com.zone"),
        "{log}"
    );
    assert!(log.contains("a reload leaves the zone example.com. as it is"), "{log}");
    server.write(
        "other.test.zone",
        "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.8\n",
    )?;
    let both = config.replace("zones: [", "zones: [{name: other.test., file: other.test.zone}, ");
    server.write("hotdns.yaml", &both)?;
    let reload = |server: &Server| server.request("POST", "/api/v1/reload", Some(&json!({})));
    let reply = reload(&server)?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json["failed"][0]["zone"], "example.com.", "{}", reply.text);
    assert_eq!(server.dig(&["www.other.test", "+short"])?.trim(), "192.0.2.8");
    assert_eq!(server.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");

    // A record that is new is an error of the configuration, as any other there.
    let new = both.replace(
        "records: [",
        "records: [{name: www.other.test., type: A, value: [192.0.2.9]}, ",
    );
    assert_ne!(new, both);
    server.write("hotdns.yaml", &new)?;
    let reply = reload(&server)?;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("reload_failed")));
    assert!(reply.text.contains("www.other.test. A is also in"), "{}", reply.text);

    // Once it is corrected, the zone loads again.
    server.write(
        "hotdns.yaml",
        &both.replace("name: www.example.com.", "name: www.example.net."),
    )?;
    let reply = reload(&server)?;
    assert_eq!(
        (reply.status, &reply.json["failed"]),
        (200, &json!([])),
        "{}",
        reply.text
    );
    server.stop()?;
    Ok(())
}

#[test]
fn the_server_says_of_itself_what_it_may() -> Result<()> {
    let server = Server::start("edns: {nsid: ns1.example}\nchaos: {version: \"hotdns 1\", id: one}\n")?;
    for transport in ["+notcp", "+tcp"] {
        let answer = server.dig(&["www.example.com", "+nsid", transport])?;
        assert!(
            answer.contains("(\"ns1.example\")") && answer.contains("192.0.2.80"),
            "{answer}"
        );
        let chaos = |name| server.dig(&[name, "CH", "TXT", transport]);
        assert!(chaos("version.bind")?.contains("\"hotdns 1\""));
        assert!(chaos("id.server")?.contains("\"one\""));
        assert!(chaos("hostname.bind")?.contains("REFUSED"));
    }
    assert!(!server.dig(&["www.example.com"])?.contains("NSID"));
    let refused = server.dig(&["example.net"])?;
    assert!(
        refused.contains("REFUSED") && refused.contains("EDE: 20 (Not Authoritative)"),
        "{refused}"
    );
    Ok(())
}

/// The cookie that dig shows: the client's and the server's.
fn cookie_in(answer: &str) -> Result<&str> {
    let shown = answer.split_once("; COOKIE: ").context("no cookie")?.1;
    Ok(shown.split_whitespace().next().unwrap_or_default())
}

#[test]
fn clients_get_cookies_from_every_plane() -> Result<()> {
    let server = Server::start("")?;
    let cookie = "+cookie=2464c4abcf10c957";
    let mut seen = Vec::new();
    // Answered by XDP where that may be, by the fast path over UDP, and by the reference answerer.
    for question in [
        &["www.example.com", cookie][..],
        &["www.example.com", "ANY", "+notcp", cookie],
        &["www.example.com", "+tcp", cookie],
        &["example.net", cookie],
        &["nope.example.com", cookie],
    ] {
        let answer = server.dig(question)?;
        assert!(answer.contains("(good)"), "{answer}");
        let shown = cookie_in(&answer)?.to_owned();
        assert!(
            shown.len() == 48 && shown.starts_with("2464c4abcf10c95701000000"),
            "{shown}"
        );
        // One that comes back gets the like, and an answer.
        let back = server.dig(&[&question[..question.len() - 1], &[&format!("+cookie={shown}")]].concat())?;
        assert!(back.contains("(good)"), "{back}");
        seen.push(shown);
    }
    assert!(seen.iter().all(|cookie| cookie[..24] == seen[0][..24]), "{seen:?}");
    let malformed = server.dig(&["www.example.com", "+nocookie", "+ednsopt=10:0102"])?;
    assert!(malformed.contains("FORMERR"), "{malformed}");
    let alone = server.dig(&["www.example.com", "+header-only", cookie])?;
    assert!(alone.contains("NOERROR") && alone.contains("(good)"), "{alone}");
    Ok(())
}

#[test]
fn servers_with_one_secret_make_the_same_cookies() -> Result<()> {
    let mut first = Server::start("")?;
    let mut second = Server::start("")?;
    let (one, two) = ("e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715");
    let cookie = |server: &Server| -> Result<String> {
        let answer = server.dig(&["www.example.com", "+cookie=2464c4abcf10c957"])?;
        Ok(cookie_in(&answer)?.to_owned())
    };
    // Of one second: XDP has another secret within one.
    let same =
        |left: &Server, right: &Server| eventually("the same cookie from both", || Ok(cookie(left)? == cookie(right)?));
    for server in [&mut first, &mut second] {
        let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
        server.write(
            "hotdns.yaml",
            &format!("{config}edns: {{cookie_secret_file: cookie.secret}}\n"),
        )?;
        server.write("cookie.secret", one)?;
        server.stop()?;
        server.run()?;
    }
    same(&first, &second)?;
    for server in [&first, &second] {
        server.write("cookie.secret", &format!("{two}\n{one}\n"))?;
        let reply = server.request("POST", "/api/v1/reload", Some(&json!({})))?;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    same(&first, &second)?;
    first.write("cookie.secret", "nonsense")?;
    let reply = first.request("POST", "/api/v1/reload", Some(&json!({})))?;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("reload_failed")));
    assert!(reply.text.contains("cookie.secret"), "{}", reply.text);
    same(&first, &second)
}

#[test]
fn an_alias_at_the_apex_follows_its_target() -> Result<()> {
    let server = Server::start("records: [{name: edge.test., type: A, ttl: 60, value: [192.0.2.1]}]\n")?;
    let alias = json!({"name": "example.com.", "type": "ALIAS", "ttl": 600, "value": ["edge.test."]});
    assert_eq!(server.request("POST", "/api/v1/records", Some(&alias))?.status, 201);
    for transport in ["+notcp", "+tcp"] {
        let answer = server.dig(&["example.com", "A", "+noall", "+answer", transport])?;
        let fields: Vec<_> = answer.split_whitespace().collect();
        assert_eq!(fields, ["example.com.", "60", "IN", "A", "192.0.2.1"]);
    }
    let listed = server.request("GET", "/api/v1/records/example.com.?type=ALIAS", None)?;
    assert_eq!(
        listed.json["records"][0]["value"],
        json!(["edge.test."]),
        "{}",
        listed.text
    );
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &config.replace("192.0.2.1]", "192.0.2.2]"))?;
    assert_eq!(server.request("POST", "/api/v1/reload", Some(&json!({})))?.status, 200);
    assert_eq!(server.dig(&["example.com", "A", "+short"])?.trim(), "192.0.2.2");
    let beside = json!({"name": "example.com.", "type": "A", "value": ["192.0.2.3"]});
    let reply = server.request("POST", "/api/v1/records", Some(&beside))?;
    assert_eq!((reply.status, &reply.json["code"]), (409, &json!("alias_conflict")));
    Ok(())
}

#[test]
fn names_that_are_not_ours_go_upstream_for_those_who_may() -> Result<()> {
    let upstream = Server::start("records: [{name: far.example.net., type: A, ttl: 300, value: [192.0.2.7]}]\n")?;
    let more = format!(
        "backend: {{upstream: {{enabled: true, servers: [\"{}\"]}}}}\n",
        upstream.dns
    );
    let server = Server::start(&more.replace(": [\"127", ": [127").replace("\"]", "]"))?;
    let answer = server.dig(&["far.example.net", "+short"])?;
    assert_eq!(answer.trim(), "192.0.2.7");
    assert!(server.dig(&["far.example.net", "+norec"])?.contains("REFUSED"));
    assert!(server.dig(&["www.example.com"])?.contains("flags: qr aa rd ra"));
    Ok(())
}

#[test]
fn a_second_server_on_the_same_address_says_so() -> Result<()> {
    let server = Server::start("")?;
    let second = Command::new(program()?)
        .args(["run", "--http", "127.0.0.1:1", "--config"])
        .arg(server.path("hotdns.yaml"))
        .output()?;
    assert_eq!(second.status.code(), Some(1));
    let third = Command::new(program()?)
        .arg("run")
        .arg("--config")
        .arg(server.path("hotdns.yaml"))
        .output()?;
    assert_eq!(third.status.code(), Some(1));
    let text = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(text.contains(&server.http.port().to_string()), "{text}");
    Ok(())
}

#[test]
fn check_names_file_line_and_column() -> Result<()> {
    let server = Server::start("")?;
    let check = |config: &str| -> Result<(Option<i32>, String)> {
        let output = Command::new(program()?)
            .arg("check")
            .arg("--config")
            .arg(server.path(config))
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    assert_eq!(check("hotdns.yaml")?.0, Some(0));
    server.write("bad.yaml", "dns_port: 53\nhttp_prt: 8080\n")?;
    let (code, text) = check("bad.yaml")?;
    assert!(
        code == Some(1) && text.contains("bad.yaml:2:1") && text.contains("http_prt"),
        "{text}"
    );
    server.write("example.com.zone", &format!("{ZONE}bad A not-an-address\n"))?;
    let (code, text) = check("hotdns.yaml")?;
    assert!(
        code == Some(1) && text.contains("example.com.zone:") && text.contains("not-an-address"),
        "{text}"
    );
    Ok(())
}

#[test]
fn sigterm_ends_it_cleanly_and_leaves_nothing_attached() -> Result<()> {
    let mut server = Server::start("")?;
    assert!(server.stop()?.success());
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("ends")?;
    namespace.ip(&["link", "set", "lo", "up"])?;
    let mut server = Server::start_in(&namespace, "lo", "")?;
    let attached = || namespace.run("ip", &["link", "show", "lo"]);
    assert!(attached()?.contains("xdp"), "{}", server.log());
    server.kill()?;
    assert!(!attached()?.contains("xdp"), "after kill -9");
    server.run()?;
    assert!(attached()?.contains("xdp"), "attached again");
    server.stop()?;
    assert!(!attached()?.contains("xdp"), "after SIGTERM");
    Ok(())
}

#[test]
fn without_privileges_userspace_answers_and_the_log_says_so() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let folder = tempfile::TempDir::new()?;
    run("chmod", &["0777", &folder.path().display().to_string()])?;
    let server = Server::start("")?;
    let (config, log) = (folder.path().join("c.yaml"), folder.path().join("log"));
    let (port, http) = (free_port()?, free_port()?);
    std::fs::write(
        &config,
        format!(
            "dns_port: {port}\nhttp_port: {http}\nlisten: [\"127.0.0.1\"]\nstorage: {{path: s}}\n\
             xdp: {{interfaces: [lo]}}\nrecords: [{{name: a.example.org, type: A, ttl: 60, value: [192.0.2.1]}}]\n"
        ),
    )?;
    // The program itself may lie where nobody else may look.
    let copy = folder.path().join("hotdns");
    std::fs::copy(program()?, &copy)?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy);
    command.args(["run", "--config"]).arg(&config);
    let mut running = tests::net::Running::start(command, &log)?;
    let is_ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(": ready "));
    running.wait_until("ready", PATIENCE, is_ready)?;
    let text = running.output();
    assert!(text.contains("XDP is off, userspace answers everything"), "{text}");
    let answer = run(
        "dig",
        &["@127.0.0.1", "-p", &port.to_string(), "a.example.org", "+short"],
    )?;
    assert_eq!(answer.trim(), "192.0.2.1");
    assert!(running.stop()?.success());
    drop(server);
    Ok(())
}

#[test]
fn xdp_answers_clients_on_another_host() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
    host.ip(&["link", "set", "lo", "up"])?;
    let mut server = Server::start_in(&host, "eth1", "")?;
    let port = server.dns.port().to_string();
    let answers = || host.enter(|| server.metric("hotdns_xdp_answers_total"));
    let mut asked = 0.0;
    let addresses: Vec<IpAddr> = pair.second.addresses.clone();
    ensure!(addresses.iter().any(IpAddr::is_ipv6) && addresses.iter().any(IpAddr::is_ipv4));
    for address in &addresses {
        let at = format!("@{address}");
        let fixed = [at.as_str(), "-p", port.as_str()];
        let dig = |arguments: &[&str]| client.run("dig", &[&fixed, arguments].concat());
        assert_eq!(dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");
        assert_eq!(dig(&["www.example.com", "TXT", "+short"])?.trim(), "\"hello\"");
        assert!(dig(&["nope.example.com"])?.contains("NXDOMAIN"));
        let kdig = client.run("kdig", &[&fixed, &["www.example.com", "AAAA", "+short"][..]].concat())?;
        assert_eq!(kdig.trim(), "2001:db8::80");
        asked += 4.0;
        assert_eq!(answers()?, asked, "every one of them left from XDP");
        assert_eq!(dig(&["www.example.com", "+short", "+tcp"])?.trim(), "192.0.2.80");
    }

    let queries = server.path("queries");
    std::fs::write(&queries, "www.example.com A\nwww.example.com TXT\nnope.example.com A\n")?;
    let queries = queries.display().to_string();
    let address = addresses[0].to_string();
    let load = [
        "-s", &address, "-p", &port, "-d", &queries, "-n", "200", "-c", "4", "-q", "20",
    ];
    let report = client.run("dnsperf", &load)?;
    assert!(report.contains("Queries completed:    600 (100.00%)"), "{report}");
    assert!(answers()? >= asked + 500.0, "dnsperf's answers left from XDP");

    // What is acknowledged is what XDP answers.
    let ipv4 = *addresses
        .iter()
        .find(|address| address.is_ipv4())
        .context("an IPv4 address")?;
    let query = Query::new(&wire_name("new.example.com"), 1).build();
    for round in 0..100u8 {
        let body = json!({"name": "new.example.com", "type": "A", "ttl": 60, "value": [format!("192.0.2.{round}")]});
        let reply = host.enter(|| server.request("PUT", "/api/v1/records/new.example.com", Some(&body)))?;
        ensure!(matches!(reply.status, 200 | 201), "{reply:?}");
        let answer = client.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send_to(&query, (ipv4, server.dns.port()))?;
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer)?;
            Ok(answer[..length].to_vec())
        })?;
        assert_eq!(answer[answer.len() - 4..], [192, 0, 2, round], "round {round}");
    }

    // Addresses are followed live.
    host.ip(&["address", "add", "198.51.100.1/24", "dev", "eth1"])?;
    client.ip(&["address", "add", "198.51.100.2/24", "dev", "eth0"])?;
    eventually("XDP answers for a new address", || {
        let before = answers()?;
        let answer = client.run("dig", &["@198.51.100.1", "-p", &port, "www.example.com", "+short"])?;
        ensure!(answer.trim() == "192.0.2.80", "{answer}");
        Ok(answers()? > before)
    })?;
    server.stop()?;
    assert!(!host.ip(&["link", "show", "eth1"])?.contains("xdp"));
    Ok(())
}

#[test]
fn clients_of_a_view_get_its_records_from_xdp_and_userspace() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let _pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
    host.ip(&["link", "set", "lo", "up"])?;
    host.ip(&["address", "add", "10.66.0.1/24", "dev", "eth1"])?;
    for address in ["10.66.0.2/24", "10.66.0.3/24"] {
        client.ip(&["address", "add", address, "dev", "eth0"])?;
    }
    let views = "views: [{name: office, clients: [10.66.0.2]}]\n\
                 records: [{name: www.example.com, type: A, value: [10.0.0.1], view: office}]\n";
    let server = Server::start_in(&host, "eth1", views)?;
    let port = server.dns.port().to_string();
    let dig = |from: &str, arguments: &[&str]| {
        let fixed = ["@10.66.0.1", "-b", from, "-p", port.as_str(), "+short"];
        Ok::<_, anyhow::Error>(client.run("dig", &[&fixed, arguments].concat())?.trim().to_owned())
    };
    let (office, other) = ("10.66.0.2", "10.66.0.3");
    let answers = || host.enter(|| server.metric("hotdns_xdp_answers_total"));
    let before = answers()?;
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(dig(office, &["www.example.com", transport])?, "10.0.0.1");
        assert_eq!(dig(office, &["www.example.com", "AAAA", transport])?, "");
        assert_eq!(dig(other, &["www.example.com", transport])?, "192.0.2.80");
        assert_eq!(dig(other, &["www.example.com", "AAAA", transport])?, "2001:db8::80");
    }
    assert_eq!(answers()?, before + 4.0, "what came over UDP left from XDP");

    let body = json!({"type": "A", "value": "10.0.0.2"});
    let put = |path: &str| host.enter(|| server.request("PUT", path, Some(&body)));
    assert_eq!(put("/api/v1/records/new.example.com?view=office")?.status, 201);
    assert_eq!(put("/api/v1/records/new.example.com?view=nowhere")?.status, 400);
    assert_eq!(dig(office, &["new.example.com"])?, "10.0.0.2");
    assert_eq!(dig(other, &["new.example.com"])?, "");

    // Who is in the view changes with a reload.
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &config.replace("[10.66.0.2]", "[10.66.0.3]"))?;
    let reply = host.enter(|| server.request("POST", "/api/v1/reload", Some(&json!({}))))?;
    assert_eq!(reply.status, 200, "{reply:?}");
    for (from, address) in [(office, "192.0.2.80"), (other, "10.0.0.1")] {
        assert_eq!(dig(from, &["www.example.com"])?, address, "{from}");
    }
    assert_eq!(dig(other, &["new.example.com"])?, "10.0.0.2");
    Ok(())
}
