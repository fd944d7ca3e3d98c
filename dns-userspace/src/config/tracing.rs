//! `tracing`: a collector of traces of what the control plane does.

use super::PeerSettings;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};

/// `tracing`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracingConfig {
    /// The URL that spans are sent to; `None` where there are none.
    pub otlp: Option<Box<str>>,
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["otlp"],
    applies: Applies::AtRestart(&[("tracing", |old, new| old.tracing != new.tracing)]),
};

/// Where a collector takes traces, by the specification of OTLP.
const PATH: &str = "/v1/traces";

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> TracingConfig {
    let section = input.root.section("tracing", KEY.keys, findings);
    let given = section.text("otlp", "otlp: \"http://127.0.0.1:4318\"", findings);
    let otlp = given
        .filter(|given| given.text != "off")
        .and_then(|given| match PeerSettings::new(given.text) {
            Ok(peer) => Some((given, with_path(&peer.url))),
            Err(reason) => {
                let (key, text) = (section.path("otlp"), given.text.to_owned());
                findings.error(given.at, ConfigProblem::BadUrl { key, text, reason });
                None
            }
        });
    if let Some((given, _)) = &otlp
        && !cfg!(feature = "otel")
    {
        let message = "`tracing.otlp`: no trace is sent: this program was built without OpenTelemetry, which \
                       `cargo build --features otel` has in it";
        findings.warning(given.at, message.to_owned());
    }
    TracingConfig {
        otlp: otlp.map(|(_, url)| url),
    }
}

/// The URL as it is, where it has a path.
fn with_path(url: &str) -> Box<str> {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    match behind_scheme.contains('/') {
        true => url.into(),
        false => format!("{url}{PATH}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_has_the_usual_one() {
        for (given, used) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/in/traces", "https://otel.example/in/traces"),
        ] {
            assert_eq!(&*with_path(given), used);
        }
    }
}
