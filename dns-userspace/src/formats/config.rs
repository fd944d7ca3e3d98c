//! What was imported, as a configuration: the keys that it speaks of, and as comments what has no counterpart.

use serde::Serialize;

use super::{FormatError, Imported, Record};

#[derive(Serialize)]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_port: Option<u16>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    listen: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    zones: Vec<Zone<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    records: &'a [Record],
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<Backend<'a>>,
}

#[derive(Serialize)]
struct Zone<'a> {
    name: &'a str,
    file: &'a str,
}

#[derive(Serialize)]
struct Backend<'a> {
    upstream: Upstream<'a>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    enabled: bool,
    servers: &'a [String],
}

pub(super) fn write(imported: &Imported) -> Result<String, FormatError> {
    let zones = imported.zones.iter().map(|zone| Zone {
        name: &zone.name,
        file: &zone.file,
    });
    let config = Config {
        dns_port: imported.port,
        listen: &imported.listen,
        zones: zones.collect(),
        records: &imported.records,
        backend: (!imported.upstreams.is_empty()).then_some(Backend {
            upstream: Upstream {
                enabled: true,
                servers: &imported.upstreams,
            },
        }),
    };
    let mut text: String = imported
        .left_out
        .iter()
        .map(|part| format!("# not taken over: {part}\n"))
        .collect();
    let yaml = serde_saphyr::to_string(&config).map_err(|error| FormatError::whole(error.to_string()))?;
    // Without any key a mapping is `{}`.
    if yaml.trim() != "{}" {
        text.push_str(&yaml);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigSource, Overrides};
    use crate::formats::Format;
    use crate::formats::Source;
    use std::path::Path;

    #[test]
    fn what_is_written_is_a_valid_configuration() {
        let text = ".:9053 {\n forward . 1.1.1.1\n template IN A x {\n match ^([^.]+)\\.x\\.$\n \
                    answer \"{{ .Name }} 60 IN A 192.0.2.1\"\n }\n chaos\n}\n";
        let source = Source {
            text,
            shown_as: Path::new("Corefile"),
            zone: None,
        };
        let config = Format::Corefile
            .read(source)
            .expect("valid")
            .to_config()
            .expect("written");
        assert!(config.starts_with("# not taken over: 7: `chaos`: "), "{config}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hotdns.yaml");
        std::fs::write(&path, &config).expect("written");
        let source = ConfigSource {
            path,
            overrides: Overrides::default(),
        };
        let loaded = source
            .load_everything()
            .map_err(|errors| format!("{config}\n{errors:?}"))
            .expect("valid");
        assert_eq!(loaded.config.records.len(), 1);
    }
}
