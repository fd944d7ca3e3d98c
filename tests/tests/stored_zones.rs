//! Zones with `store: file`: edits over HTTP are written into the zone file, and edits of the file are served.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::server::{HttpReply, Server, eventually};

const ZONE: &str = "; Our zone\n$TTL 1h\n@       SOA   ns1 hostmaster (\n              10 ; serial\n              2h \
15m 2w 5m )\n\
                    \x20       NS    ns1\nns1     A     192.0.2.53\n\n; the web\nwww     A     192.0.2.1   ; first\n\
                    \x20       AAAA  2001:db8::1\n";

const CONFIG: &str = "zone_folder: {path: data/zones}\n";

fn start(config: &str) -> Result<Server> {
    let mut server = Server::start("records: []\n")?;
    server.stop()?;
    std::fs::create_dir_all(server.path("data/zones"))?;
    server.write("data/zones/a.example.zone", ZONE)?;
    let before = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let before = match config.contains("files:") {
        true => before.replace("files: {watch: false}\n", ""),
        false => before,
    };
    server.write("hotdns.yaml", &format!("{before}{config}"))?;
    server.run()?;
    Ok(server)
}

fn file(server: &Server, zone: &str) -> Result<String> {
    Ok(std::fs::read_to_string(
        server.path("data/zones").join(format!("{zone}.zone")),
    )?)
}

fn answer(server: &Server, name: &str, rtype: &str) -> Result<String> {
    Ok(server.dig(&[name, rtype, "+short"])?.trim().to_owned())
}

fn upsert(server: &Server, zone: &str, body: Value) -> Result<HttpReply> {
    server.request("POST", &format!("/v1/zones/{zone}/records"), Some(&body))
}

fn is_refused(reply: &HttpReply, code: &str) -> Result<()> {
    ensure!(reply.status == 409 && reply.json["code"] == code, "{reply:?}");
    Ok(())
}

#[test]
fn what_is_said_over_http_is_in_the_file_and_the_rest_of_it_stays() -> Result<()> {
    let mut server = start(CONFIG)?;
    ensure!(answer(&server, "www.a.example", "A")? == "192.0.2.1");
    let zones = server.request("GET", "/api/v1/zones", None)?.json;
    let stores = zones["zones"].as_array().context("zones")?.iter();
    let stores: Vec<_> = stores.map(|zone| (&zone["name"], &zone["store"])).collect();
    let wanted = [
        (&json!("example.com."), &json!("database")),
        (&json!("a.example."), &json!("file")),
    ];
    ensure!(stores == wanted, "{zones}");
    let body = json!({"name": "www", "type": "A", "value": "192.0.2.2", "ttl": 3600});
    let reply = upsert(&server, "a.example", body)?;
    ensure!(reply.status == 200, "{reply:?}");
    // On disk, and served, when the reply is there.
    let first = "www     A     192.0.2.1   ; first\n";
    let wanted = ZONE
        .replace("10 ; serial", "11 ; serial")
        .replace(first, &format!("{first}www\t3600\tIN\tA\t192.0.2.2\n"));
    ensure!(file(&server, "a.example")? == wanted, "{}", file(&server, "a.example")?);
    ensure!(answer(&server, "www.a.example", "A")?.lines().count() == 2);
    ensure!(answer(&server, "a.example", "SOA")?.contains(" 11 "));

    // The other API, by its rules, and the serial goes on.
    let put = json!({"type": "A", "ttl": 3600, "value": ["192.0.2.7"]});
    let reply = server.request("PUT", "/api/v1/records/www.a.example", Some(&put))?;
    ensure!(reply.status == 200 && reply.json["source"] == "zone_file", "{reply:?}");
    let wanted = ZONE
        .replace("10 ; serial", "12 ; serial")
        .replace("192.0.2.1 ", "192.0.2.7 ");
    ensure!(file(&server, "a.example")? == wanted, "{}", file(&server, "a.example")?);
    let reply = server.request("DELETE", "/api/v1/records/www.a.example?type=A", None)?;
    ensure!(reply.status == 204, "{reply:?}");
    ensure!(file(&server, "a.example")?.contains("; the web\nwww        AAAA  2001:db8::1\n"));
    let history = server.request("GET", "/api/v1/history?zone=a.example", None)?;
    ensure!(
        history.json["entries"].as_array().is_some_and(|all| all.len() == 3),
        "{history:?}"
    );

    // What the file has no place for, and more than one file at a time.
    let locked = json!({"name": "x.a.example", "type": "A", "value": ["192.0.2.1"], "locked": true});
    is_refused(
        &server.request("POST", "/api/v1/records", Some(&locked))?,
        "not_in_zone_file",
    )?;
    let edit = |name: &str| json!({"op": "put", "name": name, "type": "A", "ttl": 60, "value": ["192.0.2.1"]});
    let both = json!({"edits": [edit("x.a.example"), edit("x.other.example")]});
    let reply = server.request("POST", "/api/v1/changes", Some(&both))?;
    ensure!(
        reply.status == 422 && reply.json["code"] == "one_zone_file",
        "{reply:?}"
    );
    ensure!(answer(&server, "x.other.example", "A")?.is_empty());

    // A restart reads the file, and the database has nothing of it.
    let before = file(&server, "a.example")?;
    server.kill()?;
    server.run()?;
    ensure!(answer(&server, "www.a.example", "A")?.is_empty());
    ensure!(answer(&server, "a.example", "SOA")?.contains(" 13 "));
    ensure!(file(&server, "a.example")? == before);
    ensure!(server.stop()?.success());
    Ok(())
}

#[test]
fn what_somebody_wrote_into_the_file_is_never_written_over() -> Result<()> {
    let server = start(CONFIG)?;
    // An edit that nobody has read yet comes first, and the change on top of it.
    let edited = ZONE
        .replace("10 ; serial", "20 ; serial")
        .replace("192.0.2.53", "192.0.2.54");
    server.write("data/zones/a.example.zone", &edited)?;
    let body = json!({"name": "new", "type": "TXT", "value": "hello", "ttl": 60});
    let reply = upsert(&server, "a.example", body.clone())?;
    ensure!(reply.status == 200, "{reply:?}");
    let merged = file(&server, "a.example")?;
    ensure!(
        merged == format!("{}new\t60\tIN\tTXT\t\"hello\"\n", edited.replace("20 ;", "21 ;")),
        "{merged}"
    );
    ensure!(answer(&server, "ns1.a.example", "A")? == "192.0.2.54");

    // One with an error stops changes, and what was served is served.
    let broken = merged.replace("192.0.2.54", "192.0.2.540");
    server.write("data/zones/a.example.zone", &broken)?;
    let reply = upsert(
        &server,
        "a.example",
        json!({"name": "b", "type": "A", "value": "192.0.2.8", "ttl": 60}),
    )?;
    is_refused(&reply, "zone_file_broken")?;
    ensure!(
        reply.json["detail"]
            .as_str()
            .is_some_and(|text| text.contains("a.example.zone:7:15")),
        "{reply:?}"
    );
    ensure!(file(&server, "a.example")? == broken);
    ensure!(answer(&server, "ns1.a.example", "A")? == "192.0.2.54");
    // Put right, the file is the truth again.
    server.write("data/zones/a.example.zone", &merged)?;
    let reply = upsert(
        &server,
        "a.example",
        json!({"name": "b", "type": "A", "value": "192.0.2.8", "ttl": 60}),
    )?;
    ensure!(reply.status == 200, "{reply:?}");
    // One without most of its records is held by the deletion guard: it is not written over either.
    let many: String = (0..30).map(|number| format!("h{number} 60 A 192.0.2.9\n")).collect();
    server.write(
        "data/zones/a.example.zone",
        &format!("{}{many}", file(&server, "a.example")?),
    )?;
    ensure!(server.request("POST", "/api/v1/reload", None)?.status == 200);
    server.write("data/zones/a.example.zone", &merged)?;
    let reply = upsert(
        &server,
        "a.example",
        json!({"name": "c", "type": "A", "value": "192.0.2.8", "ttl": 60}),
    )?;
    is_refused(&reply, "zone_file_changed")?;
    ensure!(file(&server, "a.example")? == merged);
    ensure!(answer(&server, "h29.a.example", "A")? == "192.0.2.9");
    Ok(())
}

#[test]
fn zones_are_made_as_files_and_deleted_with_them() -> Result<()> {
    let mut server = start(CONFIG)?;
    let body = json!({"name": "new.example", "records": [{"name": "www", "type": "A", "value": "192.0.2.1"}]});
    let reply = server.request("POST", "/v1/zones", Some(&body))?;
    ensure!(reply.status == 201 && reply.json["name"] == "new.example.", "{reply:?}");
    ensure!(answer(&server, "www.new.example", "A")? == "192.0.2.1");
    let text = file(&server, "new.example")?;
    ensure!(text.contains("www\t3600\tIN\tA\t192.0.2.1\n"), "{text}");
    let again = server.request("POST", "/v1/zones", Some(&body))?;
    ensure!(again.status == 409, "{again:?}");
    let reply = upsert(
        &server,
        "new.example",
        json!({"name": "www", "type": "A", "value": "192.0.2.2"}),
    )?;
    ensure!(reply.status == 200, "{reply:?}");
    // A reload changes nothing: the file says what is served.
    let reply = server.request("POST", "/api/v1/reload", None)?;
    ensure!(
        reply.json["counts"] == json!({"added": 0, "changed": 0, "removed": 0}),
        "{reply:?}"
    );
    server.kill()?;
    server.run()?;
    ensure!(answer(&server, "www.new.example", "A")?.lines().count() == 2);

    let reply = server.request("DELETE", "/v1/zones/new.example", None)?;
    ensure!(reply.status == 204, "{reply:?}");
    ensure!(!server.path("data/zones/new.example.zone").exists());
    ensure!(answer(&server, "www.new.example", "A")?.is_empty());
    // A zone that the configuration lists is not the API's to delete.
    let reply = server.request("DELETE", "/v1/zones/example.com", None)?;
    is_refused(&reply, "managed_by_file")?;
    // A file that is there and not served is not written over.
    server.write("data/zones/odd.example.zone", "not a zone")?;
    let reply = server.request("POST", "/v1/zones", Some(&json!({"name": "odd.example"})))?;
    ensure!(reply.status == 409, "{reply:?}");
    ensure!(std::fs::read_to_string(server.path("data/zones/odd.example.zone"))? == "not a zone");
    ensure!(server.stop()?.success());
    Ok(())
}

#[test]
fn with_watching_both_ways_meet() -> Result<()> {
    let server = start("files: {watch: true}\nzone_folder: {path: data/zones}\n")?;
    // A file that comes is a zone, and its edits come back.
    server.write("data/zones/b.example.zone", ZONE)?;
    eventually("the new zone", || {
        Ok(answer(&server, "www.b.example", "A")? == "192.0.2.1")
    })?;
    let mut before = "192.0.2.53".to_owned();
    for round in 0..10 {
        let address = format!("192.0.2.{}", 100 + round);
        let put = json!({"type": "A", "ttl": 3600, "value": [address]});
        let reply = server.request("PUT", "/api/v1/records/www.b.example", Some(&put))?;
        ensure!(reply.status == 200, "{reply:?}");
        ensure!(answer(&server, "www.b.example", "A")? == address);
        let text = file(&server, "b.example")?;
        let by_hand = format!("192.0.2.{}", 200 + round);
        server.write("saved", &text.replace(&before, &by_hand))?;
        std::fs::rename(server.path("saved"), server.path("data/zones/b.example.zone"))?;
        let put = json!({"type": "TXT", "ttl": 60, "value": [format!("round {round}")]});
        let reply = server.request("PUT", "/api/v1/records/txt.b.example", Some(&put))?;
        ensure!(reply.status < 300, "{reply:?}");
        let text = file(&server, "b.example")?;
        ensure!(
            text.contains(&address) && text.contains(&format!("round {round}")) && text.contains(&by_hand),
            "{text}"
        );
        before = by_hand;
    }
    ensure!(server.log().contains("reload"), "files are watched");
    std::fs::remove_file(server.path("data/zones/b.example.zone"))?;
    eventually("the zone is gone", || {
        Ok(answer(&server, "www.b.example", "A")?.is_empty())
    })
    .context("a removed file")
}

/// Writes under `kill -9`: what was acknowledged is in the file.
#[test]
fn what_was_acknowledged_survives_a_kill() -> Result<()> {
    let mut server = start(CONFIG)?;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        for number in 0..=round * 3 {
            let name = format!("r{round}n{number}");
            let body = json!({"name": name, "type": "A", "value": "192.0.2.9", "ttl": 60});
            let reply = upsert(&server, "a.example", body)?;
            ensure!(reply.status == 200, "{reply:?}");
            acknowledged.push(name);
        }
        server.kill()?;
        server.run()?;
        for name in &acknowledged {
            ensure!(
                answer(&server, &format!("{name}.a.example"), "A")? == "192.0.2.9",
                "{name}"
            );
        }
    }
    Ok(())
}
