//! An event as a JSON object: for collectors, and with the members of catalyst-dns-sync.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The message, and the fields.
#[derive(Default)]
pub(super) struct Members {
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
}

impl Members {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut members = Self::default();
        event.record(&mut members);
        members
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Lines with the members of catalyst-dns-sync: `timestamp`, `level`, `msg`, `app`, `version`, and those of the event.
/// Some of ours are called what they are called there: the owner of a record is `hostname`, its value `ip`, the object
/// that it comes from `resource`.
pub(super) struct Catalyst;

/// What it calls them.
const NAMES: [(&str, &str); 5] = [
    ("name", "hostname"),
    ("owner", "hostname"),
    ("address", "ip"),
    ("value", "ip"),
    ("object", "resource"),
];

impl Catalyst {
    fn line(level: Level, Members { message, fields }: Members, now: &str) -> Value {
        let mut line = Map::new();
        let level = level.as_str().to_ascii_lowercase();
        let head = [
            ("timestamp", now),
            ("level", &level),
            ("msg", &message),
            ("app", "hotdns"),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        for (name, text) in head {
            line.insert(name.to_owned(), text.into());
        }
        for (name, value) in fields {
            let known = NAMES.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
            line.entry(known.unwrap_or(&name).to_owned()).or_insert(value);
        }
        line.into()
    }
}

impl<S, N> FormatEvent<S, N> for Catalyst
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = humantime_serde::re::humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
        writeln!(
            writer,
            "{}",
            Self::line(*event.metadata().level(), Members::of(event), &now)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_called_as_catalyst_calls_them() {
        let fields = json!({"name": "www.talos00.", "address": "192.0.2.1", "ttl": 300, "level": "mine"});
        let members = Members {
            message: "record created".to_owned(),
            fields: fields.as_object().expect("an object").clone(),
        };
        let line = Catalyst::line(Level::INFO, members, "2026-01-01T00:00:00Z");
        let expected = json!({
            "timestamp": "2026-01-01T00:00:00Z", "level": "info", "msg": "record created", "app": "hotdns",
            "version": env!("CARGO_PKG_VERSION"), "hostname": "www.talos00.", "ip": "192.0.2.1", "ttl": 300,
        });
        assert_eq!(line, expected);
    }
}
