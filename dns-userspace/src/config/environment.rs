//! The environment of catalyst-dns-sync: 13 variables that make a configuration where there is no file, or a Kubernetes
//! source where the file has none.
//!
//! ```text
//! DNS_ZONE=talos00 DNS_IP_ADDRESS=192.168.1.54 ─► the YAML of a configuration ─► read as every other one
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::Overrides;
use super::problem::{ConfigError, ConfigProblem};
use crate::model::name::Name;

/// What errors call it, in the place of a file.
pub(super) const PLACE: &str = "environment";
/// The zone of the development mode, where none is given.
const DEV_ZONE: &str = "talos00";
/// The port of DNS: one that needs no privilege.
const DNS_PORT: u16 = 5353;

pub(super) const NAMES: [&str; 13] = [
    "DNS_SERVER_URL",
    "DNS_ZONE",
    "DNS_ZONES",
    "DNS_IP_ADDRESS",
    "DNS_TTL_DEFAULT",
    "DNS_API_TOKEN",
    "WATCH_NAMESPACE",
    "LEADER_ELECTION",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "METRICS_BIND_ADDRESS",
    "HEALTH_PROBE_ADDRESS",
    "KUBECONFIG",
];

/// The variables that are set, and not empty.
pub(super) struct CatalystEnvironment {
    variables: BTreeMap<&'static str, String>,
    is_dev_mode: bool,
}

impl CatalystEnvironment {
    /// Those of the variables that the command line passes on.
    pub(super) fn of(overrides: &Overrides) -> Self {
        let variables = &overrides.environment;
        Self::new(overrides.dev_mode, |name| variables.get(name).map(str::to_owned))
    }

    fn new(is_dev_mode: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = NAMES
            .into_iter()
            .filter_map(|name| Some((name, variable(name)?.trim().to_owned())));
        Self {
            variables: set.filter(|(_, value)| !value.is_empty()).collect(),
            is_dev_mode,
        }
    }

    /// Whether it says what to publish.
    pub(super) fn has_source(&self) -> bool {
        self.is_dev_mode || self.get("DNS_ZONE").is_some() || self.get("DNS_ZONES").is_some()
    }

    /// The configuration that it stands for, as YAML.
    pub(super) fn to_yaml(&self) -> Result<String, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let yaml = self.document(&mut |variable, expected| {
            let value = match variable {
                // Nobody should read it in a log.
                "DNS_API_TOKEN" => String::new(),
                _ => self.get(variable).unwrap_or_default().to_owned(),
            };
            errors.push(ConfigError {
                file: Path::new(PLACE).into(),
                at: None,
                problem: ConfigProblem::BadVariable {
                    name: variable,
                    text: value,
                    reason: format!("set it to {expected}"),
                },
            });
        });
        match errors.is_empty() {
            // JSON is YAML.
            true => Ok(yaml.to_string()),
            false => Err(errors),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn document(&self, wrong: &mut dyn FnMut(&'static str, &'static str)) -> Value {
        let zones = self.zones(wrong);
        let target = self.get("DNS_IP_ADDRESS");
        if target.is_some_and(|address| address.parse::<IpAddr>().is_err()) {
            wrong(
                "DNS_IP_ADDRESS",
                "the IP address that names lead to, such as 192.168.1.54",
            );
        }
        let ttl = self.get("DNS_TTL_DEFAULT").unwrap_or("300").parse::<u32>();
        if !ttl.as_ref().is_ok_and(|ttl| (1..=0x7FFF_FFFF).contains(ttl)) {
            wrong("DNS_TTL_DEFAULT", "seconds, such as 300");
        }
        let election = self.get("LEADER_ELECTION").unwrap_or("false").parse::<bool>();
        if election.is_err() {
            wrong("LEADER_ELECTION", "`true` where several replicas run, else `false`");
        }
        let namespaces: Vec<&str> = self.get("WATCH_NAMESPACE").into_iter().collect();
        let source = json!({
            "name": "cluster",
            "watch": ["ingress", "ingressroute", "httproute"],
            "zones": zones,
            "targets": target.into_iter().collect::<Vec<_>>(),
            "ttl": ttl.unwrap_or(300),
            "namespaces": namespaces,
        });
        let mut document = json!({
            "dns_port": DNS_PORT,
            "log_level": self.get("LOG_LEVEL").unwrap_or("info"),
            "log_format": self.get("LOG_FORMAT").unwrap_or(if self.is_dev_mode { "text" } else { "json" }),
            "http": {"listen": self.addresses(wrong)},
            "sources": {"kubernetes": [source]},
            "kubernetes": {
                "readyz": "peers",
                "leader_election": {"enabled": election.unwrap_or(false), "lease": "catalyst-dns-sync"},
            },
        });
        if document["log_format"] == "json" {
            document["log_fields"] = "catalyst".into();
        }
        if self.is_dev_mode {
            document["targets"] = json!({"hosts_file": [{"name": "dev", "path": "/etc/hosts", "zones": zones}]});
        } else if let Some(url) = self.get("DNS_SERVER_URL") {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                wrong(
                    "DNS_SERVER_URL",
                    "the root of Technitium's API, such as https://dns.home:5380",
                );
            }
            if self.get("DNS_API_TOKEN").is_none() {
                wrong("DNS_API_TOKEN", "the token of Technitium's API");
            }
            let target = json!({"name": "technitium", "url": url, "token_env": "DNS_API_TOKEN", "zones": zones});
            document["targets"] = json!({"technitium": [target]});
        }
        document
    }

    fn zones(&self, wrong: &mut dyn FnMut(&'static str, &'static str)) -> Vec<String> {
        let mut zones = Vec::new();
        for variable in ["DNS_ZONES", "DNS_ZONE"] {
            for zone in self.get(variable).unwrap_or_default().split(',').map(str::trim) {
                match Name::parse_given(zone) {
                    _ if zone.is_empty() => {}
                    Ok(name) if zones.contains(&name.to_string()) => {}
                    Ok(name) => zones.push(name.to_string()),
                    Err(_) => wrong(variable, "a zone, or several with commas between them"),
                }
            }
        }
        if zones.is_empty() && self.is_dev_mode {
            zones.push(format!("{DEV_ZONE}."));
        }
        zones
    }

    /// Where metrics and probes are served: `:8080` stands for all addresses.
    fn addresses(&self, wrong: &mut dyn FnMut(&'static str, &'static str)) -> Vec<String> {
        let mut addresses = Vec::new();
        for (variable, default) in [("METRICS_BIND_ADDRESS", ":8080"), ("HEALTH_PROBE_ADDRESS", ":8081")] {
            let given = self.get(variable).unwrap_or(default);
            let whole = match given.strip_prefix(':') {
                Some(port) => format!("0.0.0.0:{port}"),
                None => given.to_owned(),
            };
            if whole.parse::<std::net::SocketAddr>().is_err() {
                wrong(variable, "an address with its port, or the port alone as in :8080");
            }
            if !addresses.contains(&whole) {
                addresses.push(whole);
            }
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, SourceSettings, TokenPlace};

    fn environment(is_dev_mode: bool, variables: &[(&str, &str)]) -> CatalystEnvironment {
        CatalystEnvironment::new(is_dev_mode, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn loaded(environment: &CatalystEnvironment) -> Loaded {
        let yaml = environment.to_yaml().expect("good variables");
        Loaded::from_text(&yaml, Path::new(PLACE)).expect("a good configuration")
    }

    #[test]
    fn the_variables_of_a_deployment_make_a_configuration() {
        let given = environment(
            false,
            &[
                ("DNS_SERVER_URL", "https://dns.talos00:5380"),
                ("DNS_ZONES", "talos00,home.lab"),
                ("DNS_IP_ADDRESS", "192.168.1.54"),
                ("DNS_TTL_DEFAULT", "60"),
                ("DNS_API_TOKEN", "secret"),
                ("WATCH_NAMESPACE", "web"),
                ("LOG_LEVEL", "debug"),
                ("LEADER_ELECTION", "true"),
                ("METRICS_BIND_ADDRESS", "127.0.0.1:9090"),
            ],
        );
        assert!(given.has_source());
        let config = loaded(&given).config;
        let SourceSettings::Kubernetes(source) = &config.sources[0].settings else {
            panic!("a Kubernetes source")
        };
        assert_eq!(source.zones.len(), 2);
        assert_eq!(
            (source.ttl, source.targets[0].as_str(), source.namespaces[0].as_str()),
            (60, "192.168.1.54", "web")
        );
        let technitium = &config.targets.technitium[0];
        assert_eq!(&*technitium.provider.url, "https://dns.talos00:5380");
        assert_eq!(technitium.token, TokenPlace::Variable("DNS_API_TOKEN".into()));
        assert!(config.kubernetes.leader_election.enabled);
        assert_eq!(config.kubernetes.readyz, crate::config::Readyz::Peers);
        assert_eq!(config.log_fields, crate::config::LogFields::Catalyst);
        let listen: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:9090", "0.0.0.0:8081"]);
    }

    #[test]
    fn the_development_mode_writes_a_hosts_file() {
        let config = loaded(&environment(true, &[("DNS_SERVER_URL", "https://dns.talos00:5380")])).config;
        assert_eq!(config.targets.hosts_file[0].path.display().to_string(), "/etc/hosts");
        assert!(config.targets.technitium.is_empty());
        assert_eq!(config.targets.hosts_file[0].zones[0].to_string(), "talos00.");
    }

    #[test]
    fn the_usual_file_is_read_unless_the_environment_says_what_to_publish() {
        use crate::config::EnvironmentVariables;
        let file = tempfile::NamedTempFile::new().expect("a file");
        let with = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let overrides = Overrides {
                environment: EnvironmentVariables::new(variables),
                ..Overrides::default()
            };
            overrides.usual_path(file.path())
        };
        assert_eq!(with(&[("LOG_LEVEL", "info")]), file.path());
        assert_eq!(with(&[("DNS_ZONE", "talos00")]), Path::new(""));
        let gone = Overrides::default().usual_path(Path::new("/nowhere/hotdns.yaml"));
        assert_eq!(gone, Path::new(""));
    }

    #[test]
    fn each_bad_variable_is_named() {
        let bad = environment(
            false,
            &[
                ("DNS_ZONE", "a..b"),
                ("DNS_IP_ADDRESS", "localhost"),
                ("DNS_TTL_DEFAULT", "soon"),
                ("LEADER_ELECTION", "perhaps"),
                ("DNS_SERVER_URL", "dns"),
                ("HEALTH_PROBE_ADDRESS", ":x"),
            ],
        );
        let errors = bad.to_yaml().expect_err("errors");
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for variable in [
            "DNS_ZONE",
            "DNS_IP_ADDRESS",
            "DNS_TTL_DEFAULT",
            "LEADER_ELECTION",
            "DNS_SERVER_URL",
            "DNS_API_TOKEN",
            "HEALTH_PROBE_ADDRESS",
        ] {
            let named = format!(": {variable} is `");
            assert!(said.iter().any(|error| error.contains(&named)), "{variable}: {said:?}");
        }
        assert!(!environment(false, &[("LOG_LEVEL", "info")]).has_source());
    }
}
