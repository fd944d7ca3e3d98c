mod discovery;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::host::memory::Size;
use crate::model::access::Access;
use crate::model::record::{Handling, Order, RecordType, Wildcard};

mod forwarding;

/// A folder with a configuration file in it.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("hotdns.yaml", text);
        folder
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).expect("written");
    }

    fn source(&self) -> ConfigSource {
        ConfigSource {
            path: self.0.path().join("hotdns.yaml"),
            overrides: Overrides::default(),
        }
    }

    fn load(&self) -> Result<Loaded, Vec<ConfigError>> {
        self.source().load()
    }
}

fn loaded(text: &str) -> Loaded {
    Folder::with(text)
        .load()
        .unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// The errors of `text` as "line:column: message", the file's name cut off.
fn errors(text: &str) -> Vec<String> {
    let folder = Folder::with(text);
    let errors = folder.load().expect_err(text);
    let prefix = format!("{}:", folder.source().path.display());
    let cut = |error: &ConfigError| error.to_string().trim_start_matches(&prefix).to_owned();
    errors.iter().map(cut).collect()
}

/// Asserts that `text` has exactly one error, there, which has `part` in its message.
fn refused(text: &str, at: &str, part: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{text}: {errors:#?}");
    assert!(
        errors[0].starts_with(&format!("{at}: ")),
        "{text}: expected {at}, got {errors:#?}"
    );
    assert!(errors[0].contains(part), "{text}: expected `{part}`, got {errors:#?}");
}

const CONTRACT: &str = r#"
dns_port: 53
http_port: 8080                # loopback by default, see http.listen
log_level: info
listen: ["10.77.0.1"]          # addresses, optionally with a port; default: all
xdp:
  interfaces: [eth0]           # default: none
  mode: auto                   # auto | native | generic | off
zones:
  - name: example.com.
    file: zones/example.com.zone   # RFC 1035 master file
records:                       # inside a zone above, or overlays (below)
  - name: www.example.net.
    type: A
    ttl: 300
    value: [192.0.2.1, 192.0.2.2]
backend:
  default_ttl: 300
  resolve_cname_chain: true
  max_cname_depth: 10
  return_soa_on_nxdomain: true
  upstream:
    enabled: false
    servers: ["1.1.1.1:53", "8.8.8.8:53"]
    timeout: 5s
"#;

#[test]
fn the_documented_example_loads() {
    let folder = Folder::with(CONTRACT);
    let config = folder.load().expect("valid").config;
    assert_eq!(config.listen, ["10.77.0.1:53".parse().expect("an address")]);
    assert_eq!(
        config.xdp,
        XdpConfig {
            interfaces: vec!["eth0".to_owned()],
            mode: XdpMode::Auto
        }
    );
    assert_eq!(config.zones[0].file, folder.0.path().join("zones/example.com.zone"));
    assert_eq!(&*config.zones[0].shown_as, "zones/example.com.zone");
    let [record] = &config.records[..] else {
        panic!("one record")
    };
    assert_eq!(
        (record.rrset.rtype, record.rrset.ttl, record.rrset.rdatas.len()),
        (RecordType::A, 300, 2)
    );
    assert_eq!(record.at, FilePosition { line: 13, column: 5 });
    assert_eq!(config.backend.upstream.servers.len(), 2);
    assert!(!config.backend.upstream.enabled);
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = loaded("").config;
    assert_eq!(
        config,
        Config {
            file: config.file.clone(),
            ..Config::default()
        }
    );
    assert!(config.listen.is_empty() && config.xdp.interfaces.is_empty());
    assert_eq!(config.http.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(config.storage.path, Path::new("/var/lib/hotdns"));
    assert_eq!(config.ttl_bounds, TtlBounds { min: 60, max: 86_400 });
    assert_eq!((config.edns.udp_payload, config.backend.default_ttl), (1232, 300));
    assert_eq!(config.backend.upstream.timeout, Duration::from_secs(5));
    assert_eq!(
        config.tcp,
        TcpConfig {
            idle_timeout: Duration::from_secs(10),
            max_connections: None,
            max_connections_per_client: None
        }
    );
    let client = "192.168.7.7".parse::<std::net::IpAddr>().expect("an address");
    assert!(
        config
            .backend
            .upstream
            .allow
            .iter()
            .any(|prefix| prefix.contains(&client))
    );
}

#[test]
fn sections_without_content_are_absent() {
    let config = loaded("xdp:\nrecords:\nzones:\nbackend:\n  upstream:\n").config;
    assert_eq!(
        config,
        Config {
            file: config.file.clone(),
            ..Config::default()
        }
    );
}

#[test]
fn every_further_key_is_read() {
    let folder = Folder::with(
        "tcp: {idle_timeout: 1m, max_connections: 100, max_connections_per_client: 100}\nlog_format: json\nstorage: \
         {path: data}\nhttp: {listen: [\"127.0.0.1:9090\", \"[::1]\"], token_file: token}\n\
         ttl_bounds: {min: 1, max: 10}\nedns: {udp_payload: 4096}\nhttp_port: 9091\n\
         backend: {upstream: {enabled: true, servers: [192.0.2.53], timeout: 500ms, allow: [10.0.0.0/8]}}\n",
    );
    folder.write("token", "0123456789abcdef\n");
    let config = folder.load().expect("valid").config;
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.storage.path, folder.0.path().join("data"));
    let http: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
    assert_eq!(http, ["127.0.0.1:9090", "[::1]:9091"]);
    assert_eq!(config.http.token_file, Some(folder.0.path().join("token")));
    assert_eq!(config.ttl_bounds, TtlBounds { min: 1, max: 10 });
    assert_eq!(
        config.backend.default_ttl, 10,
        "the default TTL keeps within the bounds"
    );
    assert_eq!(
        config.backend.upstream.servers,
        [UpstreamServer::plain("192.0.2.53:53".parse().expect("an address"))]
    );
    assert_eq!(config.backend.upstream.timeout, Duration::from_millis(500));
    assert_eq!(
        config.tcp,
        TcpConfig {
            idle_timeout: Duration::from_secs(60),
            max_connections: Some(100),
            max_connections_per_client: Some(100)
        }
    );
}

#[test]
fn the_command_line_replaces_the_files_values() {
    let folder = Folder::with(CONTRACT);
    let mut source = folder.source();
    source.overrides = Overrides {
        listen: vec!["127.0.0.1:5300".to_owned(), "[::1]:5300".to_owned()],
        http: Some("127.0.0.1:9090".to_owned()),
        interfaces: vec!["lo".to_owned()],
        xdp_mode: Some(XdpMode::Generic),
        dev_mode: false,
        environment: EnvironmentVariables::default(),
        dry_run: None,
    };
    let config = source.load().expect("valid").config;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.listen[0], "127.0.0.1:5300".parse().expect("an address"));
    assert_eq!(config.http.listen, ["127.0.0.1:9090".parse().expect("an address")]);
    assert_eq!(
        config.xdp,
        XdpConfig {
            interfaces: vec!["lo".to_owned()],
            mode: XdpMode::Generic
        }
    );

    source.overrides.listen = vec!["localhost:5300".to_owned()];
    let errors = source.load().expect_err("no address");
    assert!(
        errors[0]
            .to_string()
            .starts_with("command line: `--listen`: `localhost:5300` is not an address")
    );
}

#[test]
fn unknown_keys() {
    refused(
        "dns_prot: 53\n",
        "1:1",
        "unknown key `dns_prot` in the configuration: did you mean `dns_port`?",
    );
    refused(
        "xdp:\n  mode: auto\n  speed: 9\n",
        "3:3",
        "unknown key `speed` in `xdp`: remove it; known are interfaces, mode",
    );
    refused(
        "records:\n  - {name: a., type: A, value: [192.0.2.1], weight: x}\n",
        "2:45",
        "unknown key `weight` in a record",
    );
    refused(
        "zones:\n  - name: a.\n    file: f\n    acls: {}\n",
        "4:5",
        "unknown key `acls` in a zone",
    );
    refused("view: []\n", "1:1", "unknown key");
    refused("edns:\n  cookie: x\n", "2:3", "unknown key");
    refused("[a]: 1\n", "1:1", "a key that is a list");
}

#[test]
fn keys_given_twice() {
    refused(
        "dns_port: 53\nhttp_port: 8080\ndns_port: 54\n",
        "3:1",
        "`dns_port` is given a second time (first at line 1, column 1)",
    );
    refused(
        "backend:\n  upstream: {enabled: false, enabled: true}\n",
        "2:30",
        "`backend.upstream.enabled`",
    );
}

#[test]
fn wrong_types() {
    refused(
        "dns_port: \"53\"\n",
        "1:11",
        "`dns_port` is text, not a whole number: write it as `dns_port: 53`",
    );
    refused("dns_port: 5.3\n", "1:11", "not a whole number");
    refused("dns_port: [53]\n", "1:11", "is a list, not a whole number");
    refused("dns_port:\n", "1:9", "is nothing, not a whole number");
    refused("listen: 127.0.0.1\n", "1:9", "`listen` is text, not a list");
    refused("listen: [53]\n", "1:10", "`listen` is a number, not text");
    refused(
        "backend:\n  resolve_cname_chain: \"true\"\n",
        "2:24",
        "is text, not a boolean",
    );
    refused(
        "backend:\n  resolve_cname_chain: yes\n",
        "2:24",
        "is text, not a boolean",
    );
    refused("xdp: [lo]\n", "1:6", "`xdp` is a list, not a mapping");
    refused("zones: [a]\n", "1:9", "`a zone` is text, not a mapping");
    refused("- a\n", "1:1", "is a list, not a mapping");
    refused(
        "records:\n  - name: a.\n    type: A\n    value: 192.0.2.1\n",
        "4:12",
        "`value` is text, not a list: write it as `value: [192.0.2.1]`",
    );
    refused(
        "records:\n  - name: 5\n    type: A\n    value: [192.0.2.1]\n",
        "2:11",
        "`name` is a number, not text",
    );
    refused(
        "records:\n  - name: a.\n    type: A\n    value: [[192.0.2.1]]\n",
        "4:13",
        "is a list, not",
    );
    refused(
        "backend:\n  upstream:\n    timeout: 5\n",
        "3:14",
        "is a number, not text: write it as `timeout: 5s`",
    );
}

#[test]
fn numbers_outside_their_range() {
    refused(
        "dns_port: 0\n",
        "1:11",
        "`dns_port` is 0: write a number from 1 to 65535",
    );
    refused("http_port: 65536\n", "1:12", "from 1 to 65535");
    refused("dns_port: -1\n", "1:11", "from 1 to 65535");
    refused(
        "dns_port: 99999999999999999999999999999999999999999999\n",
        "1:11",
        "from 1 to 65535",
    );
    for payload in ["511", "4097"] {
        refused(
            &format!("edns:\n  udp_payload: {payload}\n"),
            "2:16",
            "from 512 to 4096 octets",
        );
    }
    for payload in ["512", "4096"] {
        loaded(&format!("edns: {{udp_payload: {payload}}}\n"));
    }
    refused("backend:\n  max_cname_depth: 0\n", "2:20", "from 1 to 255");
    refused("backend:\n  max_cname_depth: 256\n", "2:20", "from 1 to 255");
    refused("backend:\n  hash_ipv4_prefix: 0\n", "2:21", "1 to 32 bits");
    refused("backend:\n  hash_ipv6_prefix: 65\n", "2:21", "1 to 64 bits");
    refused(
        "backend:\n  default_ttl: 59\n",
        "2:16",
        "from 60 to 86400 seconds (`ttl_bounds`)",
    );
    refused(
        "ttl_bounds: {min: 2147483648}\n",
        "1:19",
        "from 0 to 2147483647 seconds",
    );
    refused(
        "ttl_bounds:\n  min: 90000\n",
        "2:8",
        "`ttl_bounds.min` is 90000, more than `ttl_bounds.max`, 86400",
    );
    for timeout in ["0s", "99ms", "3601s"] {
        refused(
            &format!("tcp: {{idle_timeout: {timeout}}}\n"),
            "1:21",
            "write a duration with a unit from 100ms to 3600s",
        );
    }
    refused("tcp: {max_connections: 0}\n", "1:24", "from 1 to 1048576 connections");
    refused(
        "tcp: {max_connections: 9, max_connections_per_client: 10}\n",
        "1:55",
        "from 1 to 9 connections (`tcp.max_connections`)",
    );
    for timeout in ["0s", "61s", "soon", "5"] {
        let text = format!("backend: {{upstream: {{timeout: \"{timeout}\"}}}}\n");
        refused(&text, "1:31", "write a duration with a unit from 10ms to 60s");
    }
}

#[test]
fn secrets_of_cookies_are_checked() {
    let folder = Folder::with("edns: {cookie_secret_file: secret}\n");
    let error = |folder: &Folder| folder.load().expect_err("refused")[0].to_string();
    assert!(error(&folder).contains("secret cannot be read"), "{}", error(&folder));
    folder.write("secret", "0123\n");
    assert!(error(&folder).contains("hotdns.yaml:1:28: `edns.cookie_secret_file`"));
    assert!(error(&folder).contains("line 1 is no secret"));
    folder.write("secret", "e5e973e5a6b2a43f48e7dc849e37bfcf\n");
    let loaded = folder.load().expect("valid");
    assert_eq!(
        loaded.config.edns.cookie_secret_file,
        Some(folder.0.path().join("secret"))
    );
    assert_eq!(loaded.warnings.len(), 1, "everybody can read it");
}

#[test]
fn what_the_server_says_of_itself_is_text_that_fits() {
    let longest = "n".repeat(128);
    let config = loaded(&format!(
        "edns: {{nsid: {longest}}}\nchaos: {{version: \"1.0\", hostname: ns1.example.com}}\n"
    ))
    .config;
    assert_eq!(config.edns.nsid.as_deref(), Some(&longest[..]));
    assert_eq!(config.chaos.version.as_deref(), Some("1.0"));
    assert_eq!(
        (config.chaos.hostname.as_deref(), config.chaos.id),
        (Some("ns1.example.com"), None)
    );
    refused("edns: {nsid: \"\"}\n", "1:14", "`edns.nsid` is empty");
    let text = "ä".repeat(65);
    refused(
        &format!("edns: {{nsid: {text}}}\n"),
        "1:14",
        "130 octets: shorten it to 128",
    );
    refused("chaos: {version: 1.0}\n", "1:18", "`chaos.version` is a number");
    let text = "n".repeat(256);
    refused(&format!("chaos:\n  id: {text}\n"), "2:7", "shorten it to 255");
    refused("chaos: {name: x}\n", "1:9", "unknown key `name`");
}

#[test]
fn words_outside_their_list() {
    refused(
        "log_level: loud\n",
        "1:12",
        "`log_level` is `loud`: write one of error, warn, info, debug, trace",
    );
    refused("log_format: xml\n", "1:13", "text, json");
    refused("xdp:\n  mode: fast\n", "2:9", "auto, native, generic, off");
}

#[test]
fn addresses() {
    refused("listen: [\"localhost\"]\n", "1:10", "`localhost` is not an address");
    refused("listen: [\"127.0.0.1:0\"]\n", "1:10", "has port 0");
    refused(
        "listen: [\"::1:5300\"]\n",
        "1:10",
        "put the address in brackets, [::1:5300] or [::1]:5300",
    );
    refused("listen: []\n", "1:9", "`listen` is empty");
    refused(
        "listen: [127.0.0.1, \"127.0.0.1:53\"]\n",
        "1:21",
        "127.0.0.1:53 is there already",
    );
    refused(
        "listen: [127.0.0.1, 0.0.0.0]\n",
        "1:10",
        "127.0.0.1:53 is covered by 0.0.0.0:53",
    );
    loaded("listen: [\"::\", 0.0.0.0]\n");
    refused("http: {listen: [x]}\n", "1:17", "`http.listen`: `x` is not an address");
    refused(
        "http_port: 53\n",
        "1:12",
        "HTTP and DNS over TCP both want 127.0.0.1:53",
    );
    refused(
        "listen: [192.0.2.1]\nhttp:\n  listen: [\"0.0.0.0:53\"]\n",
        "3:12",
        "both want 0.0.0.0:53",
    );
    loaded("listen: [192.0.2.1]\nhttp_port: 53\n");
    refused("xdp: {interfaces: [a/b]}\n", "1:20", "is not an interface name");
    refused(
        "xdp: {interfaces: [sixteen-letters-]}\n",
        "1:20",
        "is not an interface name",
    );
    refused("xdp: {interfaces: [lo, lo]}\n", "1:24", "given a second time");
}

#[test]
fn an_upstream_that_is_wrong_has_one_error() {
    let upstream = |servers: &str| format!("backend:\n  upstream: {{enabled: true, servers: {servers}}}\n");
    refused(
        &upstream("[dns.example]"),
        "2:3",
        "add resolvers, as in `forward: {bootstrap",
    );
    refused(&upstream("[192.0.2.256]"), "2:39", "is not an address");
    refused(&upstream("[224.0.0.251]"), "2:39", "is a multicast address");
    refused(&upstream("[53]"), "2:39", "not text");
    refused(&upstream("192.0.2.1"), "2:38", "not a list");
    refused(&upstream("[\"192.0.2.1:0\"]"), "2:39", "has port 0");
    refused(&upstream("[127.0.0.1]"), "2:39", "is this server itself");
    refused(&upstream("[]"), "2:38", "has no servers");
    assert_eq!(errors(&upstream("[192.0.2.256, 224.0.0.251]")).len(), 2);
    loaded(&upstream("[192.0.2.1]"));
}

#[test]
fn addresses_are_checked_by_their_kind() {
    for (address, part) in [
        ("fe80::1", "write it as [fe80::1%eth0]:"),
        ("fe80::1%nosuch0", "has no interface `nosuch0`"),
        ("2001:db8::1%lo", "remove `%`"),
        ("ff02::1", "is a multicast address"),
        ("239.0.0.1", "is a multicast address"),
        ("255.255.255.255", "is a broadcast address"),
    ] {
        refused(&format!("listen: [\"{address}\"]\n"), "1:10", part);
        refused(&format!("http:\n  listen: [\"{address}\"]\n"), "2:12", part);
        refused(
            &format!("backend:\n  upstream: {{servers: [\"{address}\"]}}\n"),
            "2:24",
            part,
        );
    }
    refused(
        "backend:\n  upstream: {servers: [\"::\"]}\n",
        "2:24",
        "stands for all addresses",
    );
    // An IPv4 address, however it is written.
    let config = loaded("listen: [\"::ffff:192.0.2.1\"]\n").config;
    assert_eq!(config.listen, ["192.0.2.1:53".parse().unwrap()]);
    refused(
        "listen: [192.0.2.1, \"::ffff:192.0.2.1\"]\n",
        "1:21",
        "is there already",
    );
    refused(
        "listen: [127.0.0.1]\nbackend:\n  upstream: {servers: [\"::ffff:127.0.0.1\"]}\n",
        "3:24",
        "is this server itself",
    );
    let config = loaded("listen: [\"fe80::1%lo\"]\n").config;
    assert_eq!(config.listen[0].port(), 53);
}

#[test]
fn upstreams() {
    let upstream = |inner: &str| format!("backend:\n  upstream: {{{inner}}}\n");
    refused(&upstream("enabled: true"), "2:13", "is enabled and has no servers");
    refused(&upstream("servers: [192.0.2]"), "2:24", "is not an address");
    refused(
        &upstream("servers: [192.0.2.1, \"192.0.2.1:53\"]"),
        "2:35",
        "is there already",
    );
    refused(
        &upstream("servers: [127.0.0.1]"),
        "2:24",
        "127.0.0.1:53 is this server itself (0.0.0.0:53 in `listen`)",
    );
    loaded(&upstream("servers: [\"127.0.0.1:5353\"]"));
    refused(
        &upstream("allow: [10.0.0.1/8]"),
        "2:22",
        "write 10.0.0.0/8 for the whole network",
    );
    refused(&upstream("allow: [10.0.0.0/33]"), "2:22", "is not an address prefix");
}

#[test]
fn token_files() {
    refused("http: {token_file: nowhere}\n", "1:20", "nowhere cannot be read");
    let folder = Folder::with("http: {token_file: token}\n");
    for bad in ["", "\n", "two words\n", "two\nlines\n"] {
        folder.write("token", bad);
        let errors = folder.load().expect_err("no token");
        assert!(errors[0].to_string().contains("holds no token"), "{bad:?}: {errors:?}");
    }
    folder.write("token", "short\n");
    assert_eq!(folder.load().expect("valid").warnings.len(), 1);
}

#[test]
fn zones() {
    refused(
        "zones:\n  - name: example.com.\n    file: a\n  - name: EXAMPLE.com\n    file: b\n",
        "4:11",
        "zone EXAMPLE.com. is given a second time (first at line 2, column 11)",
    );
    refused(
        "zones:\n  - name: example.com.\n",
        "2:5",
        "`file` is missing in a zone: add `file: zones/example.com.zone`",
    );
    refused("zones:\n  - file: x\n", "2:5", "`name` is missing in a zone");
    refused("zones:\n  - {name: a..b, file: x}\n", "2:12", "has an empty label");
    refused("zones:\n  - {name: \"a \", file: x}\n", "2:12", "has a space in it");
    refused("zones:\n  - {name: \"@\", file: x}\n", "2:12", "write the zone's name");
    let zones = loaded("zones:\n  - {name: Bücher, file: x}\n").config.zones;
    assert_eq!(zones[0].apex.to_string(), "xn--bcher-kva.");
    refused(
        "zones:\n  - {name: bücher, file: x}\n  - {name: xn--bcher-kva., file: y}\n",
        "3:12",
        "is given a second time",
    );
    refused("zones:\n  - {name: a, file: \"\"}\n", "2:21", "`file` is empty");
}

#[test]
fn records() {
    let record = |inner: &str| format!("records:\n  - {{{inner}}}\n");
    refused(
        &record("type: A, value: [192.0.2.1]"),
        "2:5",
        "`name` is missing in a record",
    );
    refused(
        &record("name: a., value: [192.0.2.1]"),
        "2:5",
        "`type` is missing in a record",
    );
    refused(&record("name: a., type: A"), "2:5", "`value` is missing in a record");
    refused(&record("name: a., type: A, value: []"), "2:32", "`value` is empty");
    refused(&record("name: a., type: A, value: [~]"), "2:33", "`value` is empty");
    refused(
        &record("name: a..b, type: A, value: [192.0.2.1]"),
        "2:12",
        "has an empty label",
    );
    for (name, part) in [
        ("a b", "has a space in it"),
        ("\"a\\n\"", "has a line feed in it"),
        ("\"a\\0\"", "the control character U+0000"),
        ("\"a\\x7f\"", "the control character U+007F"),
        ("\"@\"", "write the zone's name"),
        ("-ü", "hyphen"),
        ("\"a\\u00a0\"", "U+00A0 must not be in it"),
    ] {
        refused(
            &record(&format!("name: {name}, type: A, value: [192.0.2.1]")),
            "2:12",
            part,
        );
    }
    refused(
        &record("name: a., type: AB, value: [192.0.2.1]"),
        "2:22",
        "unknown record type `AB`",
    );
    refused(
        &record("name: a., type: ANY, value: [192.0.2.1]"),
        "2:22",
        "ANY is no type of data in a zone",
    );
    refused(
        &record("name: a., type: A, value: [192.0.2.1, 192.0.2.256]"),
        "2:44",
        "`192.0.2.256` is no A value",
    );
    refused(
        &record("name: a., type: A, ttl: 59, value: [192.0.2.1]"),
        "2:30",
        "the TTL 59 is outside `ttl_bounds`: write 60 to 86400 seconds",
    );
    refused(
        &record("name: a., type: A, ttl: 86401, value: [192.0.2.1]"),
        "2:30",
        "the TTL 86401 is outside",
    );
    refused(
        &record("name: a., type: A, ttl: 5m, value: [192.0.2.1]"),
        "2:30",
        "is text, not a whole number",
    );
    refused(
        &record("name: a., type: CNAME, value: [b., c.]"),
        "2:36",
        "a. has 2 values of type CNAME",
    );
    let long = format!("\"{}\"", "x".repeat(40_000));
    refused(
        &record(&format!("name: a., type: TXT, value: [{long}, y{long}]")),
        "2:34",
        "more than fit a DNS message",
    );
}

#[test]
fn records_beside_each_other() {
    let pair = |left: &str, right: &str| {
        format!("records:\n  - {{name: a., type: {left}]}}\n  - {{name: A, type: {right}]}}\n")
    };
    refused(
        &pair("A, value: [192.0.2.1", "A, value: [192.0.2.2"),
        "3:5",
        "A. A is given a second time (first at line 2, column 5)",
    );
    refused(
        &pair("A, value: [192.0.2.1", "CNAME, value: [b."),
        "3:5",
        "A. has CNAME and A (at line 2, column 5): a CNAME stands alone",
    );
    refused(&pair("CNAME, value: [b.", "TXT, value: [x"), "3:5", "has TXT and CNAME");
    refused(
        &pair("ALIAS, value: [b.", "AAAA, value: [\"2001:db8::1\""),
        "3:5",
        "A. has AAAA and ALIAS (at line 2, column 5): an ALIAS stands for the A and AAAA records of its target",
    );
    refused(
        &pair("ALIAS, value: [b., c.", "TXT, value: [x"),
        "2:36",
        "2 values of type ALIAS",
    );
    loaded(&pair("ALIAS, value: [b.", "MX, value: [1 c."));
    loaded(&pair("A, value: [192.0.2.1", "TXT, value: [x"));
}

#[test]
fn values_keep_their_text_and_count_once() {
    let loaded = loaded("records:\n  - {name: a., type: TXT, value: [1.10, true, 007, x, x]}\n");
    let [record] = &loaded.config.records[..] else {
        panic!("one record")
    };
    let values: Vec<&[u8]> = record.rrset.rdatas.iter().collect();
    assert_eq!(values, [&b"\x041.10"[..], b"\x04true", b"\x03007", b"\x01x"]);
    assert_eq!(record.rrset.ttl, 300);
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .to_string()
            .ends_with(":2:55: `x` is there already and counts once"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn all_errors_come_at_once_and_in_order() {
    let errors = errors(
        "log_level: loud\ndns_port: 0\nextra: 1\nrecords:\n  - {name: a., type: A, ttl: 1, value: [x, y]}\n  - 5\n",
    );
    let places: Vec<&str> = errors
        .iter()
        .map(|error| error.split(": ").next().expect("a place"))
        .collect();
    assert_eq!(
        places,
        ["1:12", "2:11", "3:1", "5:30", "5:41", "5:44", "6:5"],
        "{errors:#?}"
    );
}

#[test]
fn files_that_are_no_yaml() {
    refused("a: [1\n", "1:4", "not valid YAML");
    refused("dns_port: 53\n\thttp_port: 80\n", "1:11", "not valid YAML");
    let folder = Folder::with("");
    fs::write(folder.source().path, b"log_level: \xFF\n").expect("written");
    assert!(
        folder.load().expect_err("no text")[0]
            .to_string()
            .ends_with("the file is not UTF-8: save it as UTF-8")
    );
}

#[test]
fn keys_that_differ_take_effect_at_a_reload_or_a_restart() {
    let old = loaded(CONTRACT).config;
    let differing = |from: &str, to: &str| {
        let changed = CONTRACT.replace(from, to);
        assert_ne!(changed, CONTRACT);
        let new = Config {
            zones: old.zones.clone(),
            ..loaded(&changed).config
        };
        (Config::applied_live(&old, &new), Config::restart_needed(&old, &new))
    };
    let restart = |from: &str, to: &str| differing(from, to).1;
    let live = |from: &str, to: &str| differing(from, to).0;
    assert_eq!(restart("dns_port: 53", "dns_port: 54"), ["dns_port"]);
    assert_eq!(restart("10.77.0.1", "10.77.0.2"), ["listen"]);
    let both = differing("log_level: info", "log_level: warn\nlog_format: json");
    assert_eq!(both, (vec!["log_level"], vec!["log_format"]));
    assert_eq!(live("timeout: 5s", "timeout: 4s"), ["backend.upstream.timeout"]);
    assert_eq!(live("zones:", "tcp: {idle_timeout: 5s}\nzones:"), ["tcp"]);
    assert_eq!(
        restart("zones:", "metrics: {per_zone: true}\nzones:"),
        ["metrics.per_zone"]
    );
    assert_eq!(differing("192.0.2.2", "192.0.2.3"), (Vec::new(), Vec::new()));
}

#[test]
fn clashes_with_zone_files_name_both_places() {
    let folder = Folder::with(
        "zones:\n  - {name: example., file: parent}\n  - {name: sub.example., file: child}\nrecords:\n\
         \x20 - {name: A.example., type: A, value: [192.0.2.1]}\n\
         \x20 - {name: b.example., type: CNAME, value: [c.]}\n\
         \x20 - {name: b.sub.example., type: A, value: [192.0.2.1]}\n\
         \x20 - {name: c.example., type: TXT, value: [x]}\n\
         \x20 - {name: a.other., type: A, value: [192.0.2.1]}\n",
    );
    let soa = |apex: &str| format!("{apex} 300 IN SOA ns.{apex} host.{apex} 1 2 3 4 5\n{apex} 300 IN NS ns.{apex}\n");
    let rest = "a.example. 300 IN A 192.0.2.9\nb.example. 300 IN TXT t\nb.example. 300 IN AAAA ::1\nc.example. 300 IN \
                A 192.0.2.9\n";
    folder.write("parent", &(soa("example.") + rest));
    folder.write("child", &soa("sub.example."));
    let desired = folder.source().load_everything().expect("valid");
    assert!(
        desired.zones.iter().all(|zone| zone.content.is_ok()),
        "{:?}",
        desired.zones
    );
    let clashes: Vec<String> = desired.clashes.iter().map(ToString::to_string).collect();
    assert_eq!(clashes.len(), 2, "{clashes:#?}");
    assert!(
        clashes[0].contains("hotdns.yaml:5:5: A.example. A is also in the zone file parent"),
        "{clashes:#?}"
    );
    assert!(
        clashes[1].contains("hotdns.yaml:6:5: b.example. CNAME cannot stand beside"),
        "{clashes:#?}"
    );
    assert!(clashes[0].ends_with("keep one of the two"), "{clashes:#?}");
    let at_start = desired.clashes[0].at_start();
    assert!(
        at_start.contains("the zone file's is served") && at_start.contains("a reload leaves"),
        "{at_start}"
    );
}

#[test]
fn at_a_reload_who_brings_a_clash_answers_for_it() {
    const ZONES: &str = "zones:\n  - {name: x., file: x}\n  - {name: y., file: y}\n";
    let soa = "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\n";
    let with_a = format!("{soa}a 300 A 192.0.2.9\n");
    let a = "records: [{name: a.x., type: A, value: [192.0.2.1]}]\n";
    let folder = Folder::with(&format!("{ZONES}{a}"));
    folder.write("x", &with_a);
    folder.write("y", soa);
    let load = || folder.source().load_everything().expect("valid");
    let is_good =
        |desired: &ConfigWithZones| -> Vec<bool> { desired.zones.iter().map(|zone| zone.content.is_ok()).collect() };

    // There since the start: the zone alone fails, whatever else changes.
    let known = Known::of(&load().config);
    let reloaded = load().for_reload(&known).expect("the others load");
    assert_eq!(is_good(&reloaded), [false, true]);
    let error = reloaded.zones[0].content.as_ref().expect_err("failed")[0].to_string();
    assert!(
        error.contains("hotdns.yaml:4:11: a.x. A is also in the zone file x"),
        "{error}"
    );

    // A zone file brings it.
    folder.write("x", soa);
    let known = Known::of(&load().config);
    assert_eq!(is_good(&load().for_reload(&known).expect("no clash")), [true, true]);
    folder.write("x", &with_a);
    assert_eq!(
        is_good(&load().for_reload(&known).expect("the others load")),
        [false, true]
    );

    // The configuration brings it: a record, or a zone.
    let none = Folder::with(ZONES).load().expect("valid").config;
    let errors = load().for_reload(&Known::of(&none)).expect_err("a new record");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let mut without_x = Folder::with(&format!("zones: [{{name: y., file: y}}]\n{a}"))
        .load()
        .expect("valid")
        .config;
    assert_eq!(
        load().for_reload(&Known::of(&without_x)).expect_err("a new zone").len(),
        1
    );
    without_x.zones.clear();

    // An alias in a view at an apex is in no zone file, and the store leaves it out.
    folder.write(
        "hotdns.yaml",
        "zones: [{name: y., file: y}]\nviews: [{name: v, clients: [10.0.0.0/8]}]\n\
         records: [{name: y., type: CNAME, value: [a.], view: v}]\n",
    );
    let known = Known::of(&load().config);
    assert_eq!(is_good(&load().for_reload(&known).expect("as before")), [true]);
    assert_eq!(load().for_reload(&Known::of(&none)).expect_err("a new record").len(), 1);
}

#[test]
fn a_missing_zone_file_is_an_error_of_its_zone_at_the_line_that_names_it() {
    let desired = Folder::with("zones:\n  - name: a.\n    file: nowhere\n")
        .source()
        .load_everything()
        .expect("valid");
    let errors = desired.zones[0].content.as_ref().expect_err("no file");
    let error = errors[0].to_string();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(error.contains("hotdns.yaml:3:11: the zone file ") && error.contains("nowhere of a. cannot be read"));
    assert!(error.ends_with("check `file` and the file's permissions"), "{error}");
    for kind in ["folder/", "."] {
        let folder = Folder::with(&format!("zones: [{{name: a., file: {kind}}}]\n"));
        fs::create_dir(folder.0.path().join("folder")).expect("made");
        let desired = folder.source().load_everything().expect("valid");
        let error = desired.zones[0].content.as_ref().expect_err("no file")[0].to_string();
        assert!(
            error.contains("hotdns.yaml:1:26: ") && error.contains("not a regular file"),
            "{error}"
        );
    }
}

#[test]
fn zones_share_the_memory_and_the_largest_is_refused() {
    let zone = |hosts: usize| {
        let hosts = (0..hosts).map(|host| format!("host{host} A 192.0.2.1\n"));
        format!("$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n{}", hosts.collect::<String>())
    };
    let zones =
        "zones: [{name: large., file: l}, {name: one., file: s}, {name: made., file: g}, {name: two., file: s}]\n";
    let folder = Folder::with(&format!("limits: {{memory: 2MiB}}\n{zones}"));
    folder.write("l", &zone(100_000));
    folder.write("s", &zone(1000));
    folder.write("g", &format!("{}$GENERATE 1-10000000 h$ A 192.0.2.1\n", zone(0)));
    let desired = folder.source().load_everything().expect("valid");
    let good: Vec<bool> = desired.zones.iter().map(|zone| zone.content.is_ok()).collect();
    assert_eq!(good, [false, true, false, true]);
    let errors = |at: usize| -> Vec<String> {
        let errors = desired.zones[at].content.as_ref().expect_err("refused");
        errors.iter().map(ToString::to_string).collect()
    };
    let (large, made) = (errors(0), errors(2));
    assert_eq!((large.len(), made.len()), (1, 1), "{large:?} {made:?}");
    for part in [
        "takes about",
        " is left for the zone; raise that limit",
        "of 2MiB (`limits.memory`)",
    ] {
        assert!(large[0].contains(part) && made[0].contains(part), "{large:?} {made:?}");
    }
    assert!(
        made[0].contains("g:4:11: this directive, which makes 10000000 records, takes about "),
        "{made:?}"
    );
    // As they are, all four have room.
    let desired = {
        folder.write(
            "hotdns.yaml",
            &format!(
                "limits: {{memory: 1GiB}}\n{}",
                zones.replace("{name: made., file: g}, ", "")
            ),
        );
        folder.source().load_everything().expect("valid")
    };
    assert!(desired.zones.iter().all(|zone| zone.content.is_ok()));
}

#[test]
fn sizes_have_units_and_bounds() {
    let limit = |text: &str| loaded(&format!("limits: {{memory: {text}}}\n")).config.limits.memory;
    assert_eq!(limit("64MiB"), Size(64 << 20));
    assert_eq!(limit("'3GiB'"), Size(3 << 30));
    assert!(loaded("limits:\n").config.limits.memory > Size(1 << 20));
    for text in ["64MB", "1KiB", "2000000TiB", "much"] {
        refused(
            &format!("limits: {{memory: {text}}}\n"),
            "1:18",
            "write a size with a unit from 1MiB to 1024TiB",
        );
    }
    refused(
        "limits: {memory: 64}\n",
        "1:18",
        "not text: write it as `memory: 512MiB`",
    );
    refused("limits: {memry: 64MiB}\n", "1:10", "did you mean `memory`?");
}

#[test]
fn a_tree_that_could_end_the_process_is_an_error() {
    let chain = |links: usize| {
        let links = (1..links).map(|link| format!("- &a{link} [*a{}]\n", link - 1));
        format!("records:\n- &a0 [x]\n{}", links.collect::<String>())
    };
    for text in [
        chain(50_000),
        format!("records: {}", "[".repeat(500_000)),
        "&a [&b {c: *a}]".to_owned(),
    ] {
        assert_eq!(errors(&text).len(), 1, "{:.50}", text);
    }
    assert_eq!(loaded("&root\ndns_port: 5300\n").config.dns_port, 5300);
    let aliases = "records:\n  - {name: a.x., type: A, value: &v [192.0.2.1]}\n  - {name: b.x., type: A, value: *v}\n";
    assert_eq!(loaded(aliases).config.records.len(), 2);
    let laughs = format!(
        "records: [{}, {}]\n",
        "&r {value: [x, x, x, x]}",
        vec!["*r"; 2_000_000].join(",")
    );
    assert!(errors(&laughs)[0].contains("aliases repeat more than 64MiB of values"));
}

/// Sizes at which each of these took minutes, where each key was compared with every other.
#[test]
fn work_is_in_proportion_to_the_text() {
    let keys = |number: usize| (0..number).map(|key| format!("k{key}: 1\n")).collect::<String>();
    let listed = errors(&keys(300_000));
    assert_eq!(listed.len(), 101);
    assert_eq!(listed[100], " and 299900 more errors: correct these first");

    let list = |number: u32, item: &dyn Fn(u32) -> String| (0..number).map(item).collect::<Vec<_>>().join(", ");
    // Loopback has no broadcast address, whatever interfaces there are.
    let address = |at: u32| format!("127.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
    let listen = list(200_000, &|at| address(at));
    assert_eq!(loaded(&format!("listen: [{listen}]\n")).config.listen.len(), 200_000);
    assert_eq!(
        errors(&format!("listen: [{listen}]\nhttp: {{listen: ['0.0.0.0:53']}}\n")).len(),
        1
    );

    let views = list(30_000, &|at| format!("{{name: v{at}, clients: [{}]}}", address(at)));
    let records = list(30_000, &|at| {
        format!("{{name: a.x., type: A, value: [192.0.2.1], view: v{at}}}")
    });
    let config = loaded(&format!("views: [{views}]\nrecords: [{records}]\n")).config;
    assert_eq!(config.view_sets().len(), 30_000);

    let types = list(30_000, &|at| {
        format!("{{name: a.x., type: TYPE{}, value: ['\\# 0']}}", at + 1000)
    });
    assert_eq!(loaded(&format!("records: [{types}]\n")).config.records.len(), 30_000);

    let values = list(300_000, &|at| address(at));
    let text = format!("records: [{{name: a.x., type: A, value: [{values}]}}]\n");
    assert!(errors(&text)[0].contains("octets, more than fit a DNS message"));
}

#[test]
fn clashes_are_found_without_comparing_each_with_each() {
    let types = || (1000..61_000).filter(|rtype| *rtype != 65_401);
    let records: Vec<String> = types()
        .map(|rtype| format!("{{name: a.x., type: TYPE{rtype}, value: ['\\# 0']}}"))
        .collect();
    let folder = Folder::with(&format!(
        "zones: [{{name: x., file: x}}]\nrecords: [{}]\n",
        records.join(",")
    ));
    let file: String = types().map(|rtype| format!("a TYPE{rtype} \\# 0\n")).collect();
    folder.write("x", &format!("$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n{file}"));
    let (desired, steps) = crate::model::work::steps(|| folder.source().load_everything().expect("valid"));
    assert_eq!(desired.clashes.len(), 60_000);
    assert!(steps < 1_000_000, "{steps}");
    let errors = desired.for_reload(&Known::of(&Config::default())).expect_err("clashes");
    assert_eq!(errors.len(), 101);
}

#[test]
fn messages_are_one_line_with_what_to_do_at_its_end() {
    for text in [
        format!("log_level: {}\n", "x".repeat(1_000_000)),
        format!("? {}\n: 1\n", "x".repeat(1_000_000)),
        "log_level: \"a\\nb\\r\\tc\\e\"\n".to_owned(),
        format!("listen: [\"{}\\n\"]\n", "é".repeat(100_000)),
        format!(
            "records: [{{name: a., type: A, value: [\"{}\\n\"]}}]\n",
            "1".repeat(100_000)
        ),
    ] {
        let errors = errors(&text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            !errors[0].contains(char::is_control) && errors[0].len() < 4500,
            "{errors:?}"
        );
        let says_what_to_do = ["write one of", "known are", "2001:db8::1", "as in `192.0.2.1`"];
        assert!(
            says_what_to_do.iter().any(|part| errors[0].contains(part)),
            "{errors:?}"
        );
    }
}

#[test]
fn ten_thousand_records_load() {
    let mut text = "records:\n".to_owned();
    for number in 0..10_000 {
        text += &format!("  - name: h{number}.example.\n    type: A\n    value: [192.0.2.1]\n");
    }
    assert_eq!(loaded(&text).config.records.len(), 10_000);
}

#[test]
fn views() {
    let config = loaded(
        "views:\n  - {name: office, clients: [10.0.0.0/8, '2001:db8::/32']}\n  - {name: lab, clients: [10.9.0.1]}\n\
         records:\n  - {name: a.x, type: A, value: [192.0.2.1]}\n  - {name: a.x, type: A, value: [10.0.0.1], view: \
         office}\n\
         \x20 - {name: a.x, type: CNAME, value: [b.x], view: lab}\n",
    )
    .config;
    assert_eq!(config.record_sets().len(), 1);
    let sets = config.view_sets();
    let shown: Vec<_> = sets.iter().map(|set| (&*set.view.name, set.records.len())).collect();
    assert_eq!(shown, [("office", 1), ("lab", 1)]);
    assert_eq!(sets[1].view.clients, ["10.9.0.1/32".parse().expect("a prefix")]);

    let record = |rest: &str| {
        format!("views: [{{name: office, clients: [10.0.0.0/8]}}]\nrecords: [{{name: a.x, {rest}, view: office}}]")
    };
    for (text, at, part) in [
        ("views: [{name: office}]", "1:9", "`clients` is missing in a view"),
        ("views: [{clients: [10.0.0.0/8]}]", "1:9", "`name` is missing in a view"),
        ("views: [{name: office, clients: []}]", "1:33", "`clients` is empty"),
        ("views: [{name: office, clients: [10.0.0.1/8]}]", "1:34", "10.0.0.0/8"),
        ("views: [{name: '', clients: [10.0.0.0/8]}]", "1:16", "`name` is empty"),
        (
            "views: [{name: a, clients: [10.0.0.0/8]}, {name: a, clients: [10.1.0.0/16]}]",
            "1:50",
            "a second time",
        ),
        (
            "views: [{name: a, clients: [10.0.0.0/8]}, {name: b, clients: [10.0.0.0/8]}]",
            "1:63",
            "of the view `a` already",
        ),
        (
            "views: [{name: a, clients: [10.0.0.0/8]}]\nrecords: [{name: a.x, type: A, value: [10.0.0.1], view: b}]",
            "2:57",
            "no view `b`: define it under `views`, or write one of `a`",
        ),
        (
            "records: [{name: a.x, type: A, value: [10.0.0.1], view: b}]",
            "1:57",
            "no view `b`",
        ),
        (
            &record("type: SOA, value: [\"a. b. 1 2 3 4 5\"]"),
            "2:11",
            "one SOA record",
        ),
    ] {
        refused(text, at, part);
    }
}

#[test]
fn a_view_has_no_alias_at_an_apex() {
    let folder = Folder::with(
        "views: [{name: office, clients: [10.0.0.0/8]}]\nzones: [{name: x., file: x.zone}]\nrecords:\n\
         \x20 - {name: x., type: CNAME, value: [y.], view: office}\n  - {name: www.x., type: CNAME, value: [y.], \
         view: office}\n",
    );
    folder.write(
        "x.zone",
        "@ 300 SOA ns host 1 2 3 4 5\n@ 300 NS ns\nwww 300 A 192.0.2.1\nns 300 A 192.0.2.1\n",
    );
    let desired = folder.source().load_everything().expect("read");
    let clashes: Vec<String> = desired.clashes.iter().map(ToString::to_string).collect();
    assert_eq!(clashes.len(), 1, "{clashes:?}");
    assert!(
        clashes[0].contains(":4:5: x. CNAME is in a view and at the apex"),
        "{clashes:?}"
    );
}

#[test]
fn zones_are_counted_where_that_is_asked_for() {
    assert!(!loaded("").config.metrics.per_zone);
    assert!(!loaded("metrics: {per_zone: false}\n").config.metrics.per_zone);
    assert!(loaded("metrics: {per_zone: true}\n").config.metrics.per_zone);
    refused("metrics: {per_zone: 1}\n", "1:21", "boolean");
    refused("metrics: {perzone: true}\n", "1:11", "did you mean `per_zone`?");
}

#[test]
fn access_lists_and_rate_limits() {
    let config = loaded("").config;
    assert_eq!(config.acl, None);
    let limit = &config.rate_limit;
    assert!(!limit.enabled && limit.exempt.is_empty() && limit.global.is_none());
    assert_eq!((limit.rate, limit.burst, limit.slip), (100, 50, 2));
    assert_eq!((limit.ipv4_prefix, limit.ipv6_prefix), (24, 56));
    // The contract's own lines.
    let config = loaded(
        "acl: {allow: [], deny: [], action: refuse}\n\
         rate_limit: {enabled: false, rate: 100, burst: 50, ipv4_prefix: 24, ipv6_prefix: 56, slip: 2, exempt: []}\n",
    );
    assert_eq!(config.config.acl, None);
    let config = loaded(
        "acl: {deny: [10.0.0.0/8], action: drop}\n\
         rate_limit: {enabled: true, slip: 0, exempt: [10.0.0.0/8], global: {rate: 7, burst: 8}}\n",
    );
    let access = config.config.acl.expect("a list");
    assert_eq!(access.of([10, 0, 0, 1].into()), Access::Dropped);
    assert_eq!(access.of([11, 0, 0, 1].into()), Access::Allowed);
    let limit = config.config.rate_limit;
    assert!(limit.enabled && limit.exempt.len() == 1);
    assert_eq!((limit.slip, limit.global), (0, Some((7, 8))));
}

#[test]
fn prefixes_stand_in_files() {
    let folder = Folder::with(
        "acl: {deny: [192.0.2.0/24], deny_files: [xx.txt, yy.txt], action: drop}\n\
         zones: [{name: a., file: a.zone, acl: {allow_files: [lan.txt]}}]\n",
    );
    let said = |folder: &Folder| {
        let errors = folder.load().expect_err("no list");
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    folder.write(
        "xx.txt",
        "# of a country\n\n198.51.100.0/24 ; a network\r\n2001:db8::/32#\n",
    );
    folder.write("lan.txt", "10.0.0.0/8\n");
    assert!(said(&folder).contains("yy.txt: No such file"), "{}", said(&folder));
    folder.write("yy.txt", "# nothing\n");
    assert!(said(&folder).contains("yy.txt: it has no prefix"), "{}", said(&folder));
    folder.write("yy.txt", "203.0.113.7\n203.0.113.1/24\nxyz\n");
    assert!(
        said(&folder).contains("hotdns.yaml:1:50: `acl.deny_files`: ")
            && said(&folder).contains("2 lines are no prefix")
            && said(&folder).contains("line 2: `203.0.113.1/24`, line 3: `xyz`"),
        "{}",
        said(&folder)
    );
    folder.write("yy.txt", "203.0.113.7\n");
    let config = folder.load().unwrap_or_else(|errors| panic!("{errors:?}")).config;
    let access = config.acl.expect("a list");
    for (client, expected) in [
        ("192.0.2.1", Access::Dropped),
        ("198.51.100.1", Access::Dropped),
        ("2001:db8::1", Access::Dropped),
        ("203.0.113.7", Access::Dropped),
        ("203.0.113.8", Access::Allowed),
    ] {
        assert_eq!(access.of(client.parse().expect("an address")), expected, "{client}");
    }
    let zone = config.zones[0].access.as_ref().expect("a list");
    assert_eq!(zone.of([10, 0, 0, 1].into()), Access::Allowed);
    assert_eq!(zone.of([192, 0, 2, 1].into()), Access::Refused);
}

#[test]
fn access_lists_and_rate_limits_that_make_no_sense() {
    refused("acl: {allow: [10.0.0.1/8]}\n", "1:15", "write 10.0.0.0/8");
    refused("acl: {deny: [x]}\n", "1:14", "`acl.deny`: `x` is not an address prefix");
    refused("acl: {action: reject}\n", "1:15", "write one of refuse, drop");
    refused("acl: {allowed: []}\n", "1:7", "did you mean");
    refused("rate_limit: {rate: 0}\n", "1:20", "1 to 1000000000 queries a second");
    refused("rate_limit: {burst: 0}\n", "1:21", "1 to 1000000000 queries");
    refused("rate_limit: {ipv4_prefix: 33}\n", "1:27", "0 to 32 bits");
    refused("rate_limit: {ipv6_prefix: 129}\n", "1:27", "0 to 128 bits");
    refused("rate_limit: {slip: 256}\n", "1:20", "0 to 255");
    refused("rate_limit: {enabled: 1}\n", "1:23", "boolean");
    refused(
        "rate_limit: {global: {rate: 5}}\n",
        "1:22",
        "`burst` is missing in `rate_limit.global`",
    );
    refused(
        "rate_limit: {exempt: [10.0.0.0]}\nrate_limit: {}\n",
        "2:1",
        "a second time",
    );
}

const ORDERED: &str = "records:\n  - {name: '*.a.', type: A, value: [192.0.2.1, 192.0.2.2, 192.0.2.1], ";

#[test]
fn orders_and_wildcards_of_records_are_read() {
    let handling = |text: &str| {
        loaded(&format!("{ORDERED}{text}}}")).config.records[0]
            .rrset
            .handling
            .clone()
    };
    assert_eq!(handling("order: fixed, wildcard: rfc4592"), Handling::default());
    assert_eq!(*handling("order: rotate").order(), Order::Rotate);
    assert_eq!(handling("wildcard: one_label").wildcard(), Wildcard::OneLabel);
    let weighted = handling("order: weighted, weights: [1, 65535, 3]");
    assert_eq!(
        weighted.order().weights(),
        [1, 65535],
        "a value that is there twice counts once"
    );
}

#[test]
fn no_weights_are_no_weights() {
    for order in ["", "order: fixed, ", "order: rotate, ", "order: random, "] {
        let config = loaded(&format!("{ORDERED}{order}weights: []}}")).config;
        assert!(config.records[0].rrset.handling.order().weights().is_empty());
    }
}

#[test]
fn orders_that_cannot_be() {
    for (text, column, part) in [
        ("order: any}", 78, "write one of fixed, rotate, random, weighted"),
        ("order: weighted}", 78, "`weights` is missing"),
        ("order: weighted, weights: [1, 2]}", 97, "2 weights for 3 values"),
        (
            "order: weighted, weights: [1, 2, 65536]}",
            104,
            "`weights` is 65536: write a number from 0 to 65535",
        ),
        (
            "order: rotate, weights: [1, 2, 3]}",
            95,
            "`weights` is for `order: weighted` alone",
        ),
        ("wildcard: all}", 81, "write one of rfc4592, one_label"),
    ] {
        refused(&format!("{ORDERED}{text}"), &format!("2:{column}"), part);
    }
    let owner = "records:\n  - {name: a., type: A, wildcard: one_label, value: [192.0.2.1]}";
    refused(owner, "2:35", "`wildcard` at a., which is no wildcard");
    let differ = "  - {name: '*.A.', type: TXT, value: [x]}";
    refused(
        &format!("{ORDERED}wildcard: one_label}}\n{differ}"),
        "3:5",
        "*.A. has another `wildcard` in the record at line 2, column 5",
    );
}
