//! A server that answers as Technitium's does: HTTP 200 to all, values by their parameters, errors in `status`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::config::{ProviderConfig, TechnitiumConfig, TokenPlace};

/// Records by owner, type and value: TTL and comment.
type Records = BTreeMap<(String, String, String), (u32, String)>;

#[derive(Default)]
pub(super) struct Shown {
    pub(super) records: Records,
    pub(super) requests: Vec<String>,
    /// So many requests are answered by an error.
    pub(super) faults: usize,
    token: String,
}

pub(super) struct Fake {
    shown: Arc<Mutex<Shown>>,
    address: SocketAddr,
}

impl Fake {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let shown: Arc<Mutex<Shown>> = Arc::default();
        shown.lock().expect("not poisoned").token = "secret".to_owned();
        let served = Arc::clone(&shown);
        // Ends with the process: it only waits.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(stream, &served));
            }
        });
        Self { shown, address }
    }

    pub(super) fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().expect("not poisoned")
    }

    pub(super) fn target(&self, folder: &tempfile::TempDir, zones: &[&str]) -> Managed<Technitium> {
        self.target_with(folder, zones, |_| {})
    }

    pub(super) fn target_with(
        &self,
        folder: &tempfile::TempDir,
        zones: &[&str],
        change: impl FnOnce(&mut ProviderConfig),
    ) -> Managed<Technitium> {
        let token = folder.path().join("token");
        std::fs::write(&token, "secret\n").expect("written");
        let mut provider = provider(&format!("http://{}", self.address), zones);
        change(&mut provider);
        let config = TechnitiumConfig {
            provider,
            token: TokenPlace::File(token.into()),
        };
        Managed::new(config.provider.clone(), Technitium::new(&config))
    }

    /// `owner TTL type value` of each record, our mark behind those that have it.
    pub(super) fn records(&self) -> Vec<String> {
        let shown = self.shown();
        let records = shown.records.iter().map(|((owner, rtype, value), (ttl, comment))| {
            let mark = if comment.starts_with("hotdns/home: kubernetes/prod, Ingress") {
                " (ours)"
            } else {
                ""
            };
            format!("{owner} {ttl} {rtype} {value}{mark}")
        });
        records.collect()
    }

    pub(super) fn add(&self, owner: &str, rtype: &str, value: &str) {
        let key = (owner.to_owned(), rtype.to_owned(), value.to_owned());
        self.shown().records.insert(key, (3600, String::new()));
    }
}

fn serve(stream: std::net::TcpStream, shown: &Mutex<Shown>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let path = first.split(' ').nth(1).expect("a path").to_owned();
        let form: BTreeMap<String, String> = String::from_utf8(body)
            .expect("text")
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), decode(value)))
            .collect();
        let reply = answer(&path, &form, &mut shown.lock().expect("not poisoned")).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            reply.len()
        );
        if reader.get_mut().write_all((head + &reply).as_bytes()).is_err() {
            return;
        }
    }
}

fn decode(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => octets.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("digits");
                octets.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                rest = &rest[2..];
            }
            other => octets.push(other),
        }
    }
    String::from_utf8(octets).expect("text")
}

fn answer(path: &str, form: &BTreeMap<String, String>, shown: &mut Shown) -> Value {
    let of = |key: &str| form.get(key).cloned().unwrap_or_default();
    shown.requests.push(format!("{path} {} {}", of("domain"), of("type")));
    let error = |message: &str| json!({"server": "dns", "status": "error", "errorMessage": message});
    if of("token") != shown.token {
        return json!({"status": "invalid-token", "errorMessage": "Invalid token or session expired."});
    }
    if shown.faults > 0 {
        shown.faults -= 1;
        return error("Access was denied.");
    }
    let (field, rtype) = match of("type").as_str() {
        "CNAME" => ("cname", "CNAME"),
        "TXT" => ("text", "TXT"),
        "AAAA" => ("ipAddress", "AAAA"),
        _ => ("ipAddress", "A"),
    };
    let key = (of("domain"), rtype.to_owned(), of(field));
    match path {
        "/api/zones/records/get" => {
            let zone = of("zone");
            let within = |owner: &str| owner == zone || owner.ends_with(&format!(".{zone}"));
            let records = shown.records.iter().filter(|((owner, ..), _)| within(owner));
            let records: Vec<Value> = records
                .map(|((owner, rtype, value), (ttl, comment))| {
                    let field = match rtype.as_str() {
                        "CNAME" => "cname",
                        "TXT" => "text",
                        _ => "ipAddress",
                    };
                    json!({"name": owner, "type": rtype, "ttl": ttl, "comments": comment, "rData": {field: value}})
                })
                .collect();
            json!({"status": "ok", "response": {"zone": {"name": zone}, "records": records}})
        }
        "/api/zones/records/add" if shown.records.contains_key(&key) => {
            error("Cannot add record: record already exists.")
        }
        "/api/zones/records/add" | "/api/zones/records/update" => {
            let is_update = path.ends_with("update");
            if is_update && !shown.records.contains_key(&key) {
                return error("no such record");
            }
            shown
                .records
                .insert(key, (of("ttl").parse().expect("a TTL"), of("comments")));
            json!({"status": "ok", "response": {}})
        }
        "/api/zones/records/delete" => match shown.records.remove(&key) {
            Some(_) => json!({"status": "ok", "response": {}}),
            None => error("Cannot delete record: no such record exists."),
        },
        _ => error("unknown"),
    }
}

#[test]
fn records_are_added_updated_and_deleted_by_value_and_those_of_others_are_left_alone() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    fake.add("grafana.talos00", "A", "192.0.2.99");
    fake.add("hand.talos00", "A", "192.168.1.54");
    let mut target = fake.target(&folder, &["talos00", "sub.talos00"]);
    let all = [
        "grafana.talos00. 300 A 192.168.1.54,192.168.1.55",
        "hand.talos00. 300 A 192.168.1.54",
        "www.other. 300 A 192.168.1.54",
        "alias.talos00. 300 CNAME grafana.talos00",
        "note.talos00. 60 TXT hello",
    ];
    target.write(&wanted(&all), &around()).expect("written");
    let by_hand = ["grafana.talos00 3600 A 192.0.2.99", "hand.talos00 3600 A 192.168.1.54"];
    assert_eq!(
        fake.records(),
        [
            "alias.talos00 300 CNAME grafana.talos00 (ours)",
            "grafana.talos00 3600 A 192.0.2.99",
            "grafana.talos00 300 A 192.168.1.54 (ours)",
            "grafana.talos00 300 A 192.168.1.55 (ours)",
            "hand.talos00 3600 A 192.168.1.54",
            "note.talos00 60 TXT hello (ours)",
        ]
    );
    let requests = fake.shown().requests.len();
    target.write(&wanted(&all), &around()).expect("nothing to do");
    assert_eq!(fake.shown().requests.len(), requests + 2, "it only reads the zones");

    // Another TTL and an address less; after a restart, which knows nothing but the comments.
    let mut target = fake.target(&folder, &["talos00"]);
    target
        .write(&wanted(&["grafana.talos00. 60 A 192.168.1.54"]), &around())
        .expect("written");
    let mut left = fake.records();
    left.retain(|record| !by_hand.contains(&record.as_str()));
    assert_eq!(left, ["grafana.talos00 60 A 192.168.1.54 (ours)"]);
    target.write(&wanted(&[]), &around()).expect("written");
    assert_eq!(fake.records(), by_hand);
}

#[test]
fn a_change_that_fails_is_tried_again_and_a_refused_token_is_said() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let mut target = fake.target(&folder, &["talos00"]);
    let one = wanted(&["a.talos00. 300 A 192.168.1.54"]);
    fake.shown().token = "other".to_owned();
    let error = target.write(&one, &around()).expect_err("refused");
    assert!(error.contains("the token is refused: Invalid token"), "{error}");
    fake.shown().token = "secret".to_owned();
    fake.shown().faults = 1;
    let error = target.write(&one, &around()).expect_err("denied");
    assert!(error.contains("Access was denied"), "{error}");
    target.write(&one, &around()).expect("written");
    assert_eq!(fake.records(), ["a.talos00 300 A 192.168.1.54 (ours)"]);
}

#[test]
fn requests_keep_to_the_rate() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let mut target = fake.target_with(&folder, &["talos00"], |config| {
        config.max_rate = 20;
        config.resync = Some(Duration::from_secs(300));
    });
    let records: Vec<String> = (0..9).map(|n| format!("n{n}.talos00. 300 A 192.168.1.54")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let start = Instant::now();
    target.write(&wanted(&records), &around()).expect("written");
    assert_eq!(fake.shown().requests.len(), 10);
    assert!(
        start.elapsed() >= Duration::from_millis(9 * 50),
        "{:?}",
        start.elapsed()
    );
}
