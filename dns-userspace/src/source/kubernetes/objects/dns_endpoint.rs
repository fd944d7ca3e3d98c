//! DNSEndpoint (`externaldns.k8s.io`): records as they are given.

use serde::Deserialize;

use super::Wanted;
use crate::model::record::{RecordType, Wildcard};

/// What is read of a DNSEndpoint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DnsEndpoint {
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    dns_name: String,
    #[serde(rename = "recordTTL")]
    record_ttl: i64,
    record_type: String,
    targets: Vec<String>,
}

impl DnsEndpoint {
    pub(super) fn publish(&self, wanted: &mut Wanted<'_>) {
        for endpoint in &self.spec.endpoints {
            let Endpoint {
                dns_name,
                record_ttl,
                record_type,
                targets,
            } = endpoint;
            let Some(owner) = wanted.owner(dns_name) else {
                continue;
            };
            let rtype = match record_type.parse::<RecordType>() {
                Ok(rtype) => rtype,
                Err(error) => return wanted.fail(format!("{owner}: {error}")),
            };
            let ttl = u32::try_from(*record_ttl).ok().filter(|ttl| *ttl > 0);
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            wanted.record(owner, rtype, ttl, &targets, Wildcard::Rfc4592);
        }
    }
}
