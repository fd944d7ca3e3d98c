//! Traces of the control plane, as a collector gets them: `cargo xtask test --traces`, since they are compiled only
//! with the feature `otel`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

// What is read of `opentelemetry/proto/collector/trace/v1/trace_service.proto`, and of what it is made of.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

fn shown(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let all = attributes.iter().map(|attribute| {
        let value = attribute.value.clone().unwrap_or_default();
        let number = value.number.map(|number| number.to_string());
        (attribute.key.clone(), value.text.or(number).unwrap_or_default())
    });
    all.collect()
}

/// A collector, and all it has got.
struct Collector {
    url: String,
    got: Arc<Mutex<Vec<ResourceSpans>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let got = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || while take(&stream, &all).is_some() {});
            }
        });
        Self { url, got }
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().expect("not poisoned");
        let scopes = got.iter().flat_map(|resource| &resource.scopes);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits for a span of this name, with this attribute.
    fn wait_for(&self, name: &str, (key, value): (&str, &str)) -> Span {
        let started = Instant::now();
        loop {
            let spans = self.spans();
            let is_it = |span: &&Span| {
                span.name == name && shown(&span.attributes).get(key).is_some_and(|found| found == value)
            };
            if let Some(span) = spans.iter().find(is_it) {
                return span.clone();
            }
            let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
            assert!(
                started.elapsed() < PATIENCE,
                "no span `{name}` with {key}={value} among {names:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn children(&self, of: &Span) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == of.trace_id && span.parent == of.span_id);
        spans
    }

    fn child(&self, of: &Span, name: &str) -> Span {
        let started = Instant::now();
        loop {
            let children = self.children(of);
            if let Some(child) = children.iter().find(|span| span.name == name) {
                return child.clone();
            }
            assert!(
                started.elapsed() < PATIENCE,
                "`{}` has no `{name}`: {children:?}",
                of.name
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// One request over HTTP/1.1; `None` where there are no more.
fn take(mut stream: &TcpStream, all: &Mutex<Vec<ResourceSpans>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    reader.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let (key, value) = line.trim().split_once(':').unwrap_or_default();
        if key.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a length");
        }
        if key.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = Request::decode(&*body).expect("protobuf");
    all.lock().expect("not poisoned").extend(request.resources);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_change_is_one_trace_from_the_request_to_the_publication() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (dns, http) = (free_port(), free_port());
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.9 printer\n").expect("written");
    let config = format!(
        "dns_port: {dns}\nhttp_port: {http}\nlisten: [127.0.0.1]\nstorage: {{path: state}}\nxdp: {{mode: 'off'}}\n\
         http: {{socket: 'off'}}\ntracing: {{otlp: \"{}\"}}\n\
         sources: {{hosts: [{{name: lan, path: hosts, domain: lan.}}]}}\n",
        collector.url
    );
    let path = folder.path().join("hotdns.yaml");
    std::fs::write(&path, config).expect("written");
    let program = Command::new(env!("CARGO_BIN_EXE_hotdns"))
        .args(["run", "--config"])
        .arg(&path)
        .spawn()
        .expect("started");
    let _server = Server(program);
    let url = |path: &str| format!("http://127.0.0.1:{http}{path}");
    let started = Instant::now();
    while !ureq::get(url("/ready"))
        .call()
        .is_ok_and(|response| response.status() == 200)
    {
        assert!(started.elapsed() < PATIENCE, "it is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }

    // The trace is the client's own.
    let made = ureq::post(url("/api/v1/records"))
        .header("content-type", "application/json")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .send("{\"name\":\"new.example.com.\",\"type\":\"A\",\"ttl\":300,\"value\":[\"192.0.2.53\"]}")
        .expect("made");
    assert_eq!(made.status(), 201);
    let request = collector.wait_for("request", ("url.path", "/api/v1/records"));
    assert_eq!(
        data_encoding::HEXLOWER.encode(&request.trace_id),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(data_encoding::HEXLOWER.encode(&request.parent), "b7ad6b7169203331");
    assert_eq!(shown(&request.attributes)["http.response.status_code"], "201");
    let set = collector.child(&request, "change set");
    assert_eq!(shown(&set.attributes)["source"], "api");
    let transaction = collector.child(&set, "transaction");
    collector.child(&transaction, "journal");
    let published = collector.child(&transaction, "publish");
    assert_eq!(
        shown(&published.attributes)["version"],
        shown(&set.attributes)["version"]
    );

    ureq::post(url("/api/v1/reload"))
        .header("content-type", "application/json")
        .send_empty()
        .expect("reloaded");
    let request = collector.wait_for("request", ("url.path", "/api/v1/reload"));
    let reload = collector.child(&request, "reload");
    collector.child(&reload, "read files");

    let list = collector.wait_for("list a source", ("source", "hosts/lan"));
    collector.child(&list, "ask the world");
    collector.child(&list, "publish");

    let got = collector.got.lock().expect("not poisoned");
    let service = got.iter().filter_map(|resource| resource.resource.as_ref());
    assert!(
        service
            .map(|resource| shown(&resource.attributes))
            .all(|all| all["service.name"] == "hotdns")
    );
}
