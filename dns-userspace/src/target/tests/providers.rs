//! Cloudflare and Route 53, against servers with answers in the shapes that their documentation has. No account was
//! asked: these are not recordings.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::super::cloudflare::Cloudflare;
use super::super::managed::Managed;
use super::super::route53::Route53;
use super::replies::{Asked, Replies, Reply};
use super::*;
use crate::config::{CloudflareConfig, Route53Config, TokenPlace};

fn cloudflare(folder: &tempfile::TempDir, url: &str) -> Managed<Cloudflare> {
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").expect("written");
    let config = CloudflareConfig {
        provider: provider(url, &["example.org"]),
        token: TokenPlace::File(token.into()),
    };
    Managed::new(config.provider.clone(), Cloudflare::new(&config))
}

/// Cloudflare with one zone and these records.
fn answer_cloudflare(records: &Mutex<BTreeMap<String, Value>>, asked: &Asked) -> Reply {
    let ok = |result: Value| {
        let info = json!({"page": 1, "total_pages": 1});
        Reply::new(
            200,
            json!({"success": true, "errors": [], "messages": [], "result": result, "result_info": info}).to_string(),
        )
    };
    let error = |status: u16, code: u64, message: &str| {
        let errors = json!([{"code": code, "message": message}]);
        Reply::new(
            status,
            json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string(),
        )
    };
    if !asked
        .headers
        .to_ascii_lowercase()
        .contains("authorization: bearer secret")
    {
        return error(403, 9109, "Invalid access token");
    }
    let mut records = records.lock().expect("not poisoned");
    let (method, path) = asked.line.split_once(' ').expect("a method and a path");
    let id = path.rsplit('/').next().unwrap_or_default().to_owned();
    match method {
        "GET" if path == "/zones?name=example.org" => ok(json!([{"id": "z1", "name": "example.org"}])),
        "GET" => ok(Value::Array(records.values().cloned().collect())),
        "POST" => {
            let mut record: Value = serde_json::from_str(&asked.body).expect("JSON");
            let is_same = |known: &Value| ["name", "type", "content"].iter().all(|key| known[key] == record[key]);
            if records.values().any(is_same) {
                return error(400, 81058, "An identical record already exists.");
            }
            let id = format!("r{}", records.len() + 1);
            record["id"] = json!(id);
            records.insert(id, record.clone());
            ok(record)
        }
        "PATCH" => {
            let mut record: Value = serde_json::from_str(&asked.body).expect("JSON");
            record["id"] = json!(id);
            records.insert(id, record.clone());
            ok(record)
        }
        "DELETE" => {
            records.remove(&id);
            ok(json!({ "id": id }))
        }
        _ => error(405, 10000, "no such method"),
    }
}

#[test]
fn cloudflare_gets_ours_and_keeps_what_others_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let by_hand = json!({"id": "hand", "name": "www.example.org", "type": "A", "content": "192.0.2.9", "ttl": 1,
        "comment": null, "proxied": true});
    let records = Arc::new(Mutex::new(BTreeMap::from([("hand".to_owned(), by_hand.clone())])));
    let shared = Arc::clone(&records);
    let server = Replies::start(move |asked| answer_cloudflare(&shared, asked));
    let mut target = cloudflare(&folder, &server.url);
    let around = around();
    let wishes = [
        "www.example.org. 30 A 192.0.2.1",
        "t.example.org. 300 TXT \"say \\\"a\\\"\"",
        "www.other. 300 A 192.0.2.1",
    ];
    target.write(&wanted(&wishes), &around).expect("written");
    let shown = |records: &Mutex<BTreeMap<String, Value>>| {
        let records = records.lock().expect("not poisoned");
        let shown = records.values().map(|record| {
            let [name, rtype, content] =
                ["name", "type", "content"].map(|key| record[key].as_str().unwrap_or_default());
            format!(
                "{name} {} {rtype} {content} {}",
                record["ttl"],
                record["comment"].is_string()
            )
        });
        shown.collect::<std::collections::BTreeSet<_>>()
    };
    let expected = [
        "t.example.org 300 TXT \"say \\\"a\\\"\" true",
        "www.example.org 1 A 192.0.2.9 false",
        "www.example.org 60 A 192.0.2.1 true",
    ];
    assert_eq!(shown(&records), expected.map(str::to_owned).into());
    let comment = records.lock().expect("not poisoned")["r2"]["comment"].clone();
    assert!(
        comment
            .as_str()
            .is_some_and(|text| text.starts_with("hotdns/home: kubernetes/prod, ")),
        "{comment}"
    );
    let asked = server.asked().len();
    target.write(&wanted(&wishes), &around).expect("nothing to do");
    assert_eq!(
        server.asked().len(),
        asked + 1,
        "the zone is read once, and nothing is written"
    );
    target
        .write(&wanted(&["www.example.org. 600 A 192.0.2.1"]), &around)
        .expect("written");
    target.write(&wanted(&[]), &around).expect("written");
    assert_eq!(
        *records.lock().expect("not poisoned"),
        BTreeMap::from([("hand".to_owned(), by_hand)])
    );
}

#[test]
fn cloudflares_errors_are_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Replies::start(|asked| match asked.line.starts_with("GET /zones?") {
        true => Reply::new(200, r#"{"success":true,"errors":[],"result":[{"id":"z1"}]}"#),
        false => Reply::new(
            429,
            r#"{"success":false,"errors":[{"code":10429,"message":"slow down"}],"result":null}"#,
        ),
    });
    let error = cloudflare(&folder, &server.url)
        .write(&wanted(&["www.example.org. 60 A 192.0.2.1"]), &around())
        .expect_err("too fast");
    assert!(
        error.contains("429") && error.contains("slow down") && !error.contains("secret"),
        "{error}"
    );
    let server = Replies::start(|_| {
        Reply::new(
            403,
            r#"{"success":false,"errors":[{"code":9109,"message":"Invalid access token"}],"result":null}"#,
        )
    });
    let error = cloudflare(&folder, &server.url)
        .write(&wanted(&["www.example.org. 60 A 192.0.2.1"]), &around())
        .expect_err("refused");
    assert!(error.contains("the token is refused: Invalid access token"), "{error}");
}

const ZONES: &str = r#"<?xml version="1.0"?>
<ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones><HostedZone>
<Id>/hostedzone/Z1</Id><Name>example.org.</Name><CallerReference>x</CallerReference>
<Config><PrivateZone>false</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>
</HostedZones><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListHostedZonesByNameResponse>"#;

fn sets(sets: &[(&str, &str, u32, &str)]) -> String {
    let sets: String = sets
        .iter()
        .map(|(name, rtype, ttl, value)| {
            format!(
                "<ResourceRecordSet><Name>{name}</Name><Type>{rtype}</Type><TTL>{ttl}</TTL><ResourceRecords>\
                 <ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\
        \">\
         <ResourceRecordSets>{sets}<ResourceRecordSet><Name>alias.example.org.</Name><Type>A</Type><AliasTarget>\
         <HostedZoneId>Z2</HostedZoneId><DNSName>x.elb.amazonaws.com.</DNSName>\
         <EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget></ResourceRecordSet></ResourceRecordSets>\
         <IsTruncated>false</IsTruncated><MaxItems>300</MaxItems></ListResourceRecordSetsResponse>"
    )
}

/// Route 53 with one zone and these RRsets, and a target that reads it once a minute.
fn route53(folder: &tempfile::TempDir, url: &str, change: impl FnOnce(&mut ProviderConfig)) -> Managed<Route53> {
    let credentials = folder.path().join("credentials");
    std::fs::write(
        &credentials,
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI\n",
    )
    .expect("written");
    let mut provider = ProviderConfig {
        resync: Some(Duration::from_secs(60)),
        ..provider(url, &["example.org"])
    };
    change(&mut provider);
    let config = Route53Config {
        provider,
        credentials: credentials.into(),
        region: "us-east-1".into(),
    };
    Managed::new(config.provider.clone(), Route53::new(&config))
}

/// The batches of changes that were asked for.
fn posts(server: &Replies) -> Vec<Asked> {
    let asked = server.asked().into_iter();
    asked.filter(|asked| asked.line.starts_with("POST")).collect()
}

const DONE: &str = "<?xml version=\"1.0\"?><ChangeResourceRecordSetsResponse/>";

#[test]
fn route_53_rrsets_of_external_dns_are_taken_over_and_its_aliases_are_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let heritage =
        "&quot;heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/demo/web&quot;";
    let old = [
        ("www.example.org.", "A", 300, "192.0.2.9"),
        ("a-www.example.org.", "TXT", 300, heritage),
        ("hand.example.org.", "A", 300, "192.0.2.9"),
    ];
    let server = Replies::start(move |asked| match asked.line.as_str() {
        line if line.contains("hostedzonesbyname") => Reply::new(200, ZONES),
        line if line.starts_with("GET") => Reply::new(200, sets(&old)),
        _ => Reply::new(200, DONE),
    });
    let mut target = route53(&folder, &server.url, |config| {
        config.adopt = Some(adopt::config("", ""));
    });
    let www = wanted(&["www.example.org. 60 A 192.0.2.1"]);
    assert_eq!(target.write(&www, &around()), Ok(Some(Duration::ZERO)));
    target.write(&www, &around()).expect("written");
    let all = posts(&server);
    assert_eq!(all.len(), 2, "the RRset, then its TXT record");
    for (at, part) in [
        (
            0,
            "<Action>UPSERT</Action><ResourceRecordSet><Name>www.example.org.</Name><Type>A</Type><TTL>60</TTL>\
             <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
        ),
        (0, "<Name>_hotdns-a.www.example.org.</Name>"),
        (
            1,
            "<Action>DELETE</Action><ResourceRecordSet><Name>a-www.example.org.</Name><Type>TXT</Type><TTL>300</TTL>",
        ),
    ] {
        assert!(all[at].body.contains(part), "{part}\n{}", all[at].body);
    }
    for name in ["hand", "alias"] {
        let wishes = wanted(&[&format!("{name}.example.org. 60 A 192.0.2.7")]);
        let error = target.write(&wishes, &around()).expect_err("it is another's");
        assert!(
            error.contains(&format!("{name}.example.org A was made by hand there")),
            "{error}"
        );
    }
}

#[test]
fn route_53_gets_whole_rrsets_with_their_marks_in_one_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = "&quot;hotdns/home: kubernetes/prod, Ingress demo/web&quot;";
    let old = [
        ("example.org.", "NS", 172_800, "ns-1.awsdns-01.org."),
        ("hand.example.org.", "A", 300, "192.0.2.9"),
        ("old.example.org.", "A", 300, "192.0.2.1"),
        ("_hotdns-a.old.example.org.", "TXT", 300, mark),
    ];
    let refuses = Arc::new(Mutex::new(false));
    let shared = Arc::clone(&refuses);
    let server = Replies::start(move |asked| {
        if asked
            .line
            .starts_with("GET /2013-04-01/hostedzonesbyname?dnsname=example.org.&maxitems=1")
        {
            return Reply::new(200, ZONES);
        }
        if asked.line.starts_with("GET /2013-04-01/hostedzone/Z1/rrset") {
            return Reply::new(200, sets(&old));
        }
        if *shared.lock().expect("not poisoned") && asked.body.contains("bad.example.org") {
            let message = "<?xml version=\"1.0\"?><InvalidChangeBatch \
                xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Messages><Message>bad is bad</Message>\
                </Messages><RequestId>r</RequestId></InvalidChangeBatch>";
            return Reply::new(400, message);
        }
        Reply::new(200, DONE)
    });
    let mut target = route53(&folder, &server.url, |_| {});
    let around = around();
    let wishes = [
        "www.example.org. 60 A 192.0.2.1,192.0.2.2",
        "*.example.org. 60 CNAME www.example.org",
    ];
    target.write(&wanted(&wishes), &around).expect("written");
    let all = posts(&server);
    assert_eq!(all.len(), 1, "one batch");
    let Asked { headers, body, .. } = &all[0];
    assert!(
        headers.contains("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") && !headers.contains("wJalr"),
        "{headers}"
    );
    for part in [
        "<Action>DELETE</Action><ResourceRecordSet><Name>old.example.org.</Name><Type>A</Type><TTL>300</TTL>",
        "<Name>_hotdns-a.old.example.org.</Name><Type>TXT</Type>",
        "<Action>UPSERT</Action><ResourceRecordSet><Name>www.example.org.</Name><Type>A</Type><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord>\
         <ResourceRecord><Value>192.0.2.2</Value></ResourceRecord></ResourceRecords>",
        "<Name>*.example.org.</Name><Type>CNAME</Type>",
        "<Name>_hotdns-cname._wildcard.example.org.</Name><Type>TXT</Type>",
        "hotdns/home: kubernetes/prod, Ingress demo/web",
    ] {
        assert!(body.contains(part), "{part}\n{body}");
    }
    assert!(!body.contains("hand.example.org"), "{body}");

    // One change of a batch is refused: the others are made.
    *refuses.lock().expect("not poisoned") = true;
    let wishes = [
        wishes[0],
        wishes[1],
        "bad.example.org. 60 A 192.0.2.1",
        "new.example.org. 60 A 192.0.2.1",
    ];
    let error = target.write(&wanted(&wishes), &around).expect_err("one is refused");
    assert!(error.contains("InvalidChangeBatch: bad is bad"), "{error}");
    let all = posts(&server);
    assert_eq!(all.len(), 4, "both, then each alone");
    assert!(all[3].body.contains("new.example.org"));
    // What was made by hand is not changed.
    let wishes = ["hand.example.org. 60 A 192.0.2.7"];
    let error = target.write(&wanted(&wishes), &around).expect_err("it is another's");
    assert!(error.contains("hand.example.org A was made by hand there"), "{error}");
}
