//! Zones that are made over HTTP: what a body says, and what the template adds to it.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{AskedRrset, RrsetBody};
use super::problem::Problem;
use crate::config::ZoneTemplate;
use crate::model::name::Name;
use crate::model::rdata::{self, additional_target};
use crate::model::record::{Rdata, RecordType};
use crate::model::snapshot::{Snapshot, Zone};
use crate::store::{Wanted, ZoneRecord};

/// A zone as clients write it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewZone)]
pub(super) struct ZoneBody {
    /// The apex.
    pub(super) name: String,
    /// RRsets of the zone.
    #[serde(default)]
    #[schema(value_type = Vec<RrsetBody>)]
    pub(super) records: Vec<Value>,
}

/// The records of a zone that is made: those that are given, and of the template what they lack.
pub(super) fn zone_records(
    template: &ZoneTemplate,
    apex: &Name,
    given: Vec<Value>,
) -> Result<Vec<ZoneRecord>, Problem> {
    let mut records = read_records(given)?;
    complete(template, apex, &mut records)?;
    Ok(records)
}

/// The records of a body.
pub(super) fn read_records(given: Vec<Value>) -> Result<Vec<ZoneRecord>, Problem> {
    let read = given
        .into_iter()
        .enumerate()
        .map(|(place, value)| read_record(value).map_err(|problem| problem.at(format!("/records/{place}"))));
    read.collect()
}

fn read_record(value: Value) -> Result<ZoneRecord, Problem> {
    let body: RrsetBody =
        serde_json::from_value(value).map_err(|error| Problem::bad_request("invalid_body", error.to_string()))?;
    // A zone is made in the default; views come later.
    let mut asked = AskedRrset::of(&Snapshot::default(), body, None, None, None)?;
    Ok(ZoneRecord {
        rdatas: asked.values()?,
        owner: asked.owner,
        rtype: asked.rtype,
        wanted: asked.wanted,
    })
}

/// Adds the SOA, the NS and the addresses of name servers that are lacking.
pub(super) fn complete(template: &ZoneTemplate, apex: &Name, records: &mut Vec<ZoneRecord>) -> Result<(), Problem> {
    let key = apex.key();
    let has = |records: &[ZoneRecord], owner: &Name, rtype: RecordType| {
        records
            .iter()
            .any(|record| record.rtype == rtype && record.owner.key() == owner.key())
    };
    let below = |label: &str| -> Result<Name, Problem> {
        let text = match apex.as_wire() {
            [0] => format!("{label}."),
            _ => format!("{label}.{apex}"),
        };
        Name::parse(&text).map_err(|error| Problem::bad_request("invalid_name", error.to_string()))
    };
    let nameservers = match &template.nameservers[..] {
        [] => vec![below("ns1")?],
        names => names.to_vec(),
    };
    let record = |owner: &Name, rtype: RecordType, values: &[String]| -> Result<ZoneRecord, Problem> {
        let parse = |text: &String| {
            rdata::parse_value(rtype, text).map_err(|error| Problem::bad_request("invalid_value", error.to_string()))
        };
        Ok(ZoneRecord {
            owner: owner.clone(),
            rtype,
            wanted: Wanted::from(Some(template.ttl)),
            rdatas: values.iter().map(parse).collect::<Result<Vec<Rdata>, _>>()?,
        })
    };
    if !has(records, apex, RecordType::NS) {
        let values: Vec<String> = nameservers.iter().map(Name::to_string).collect();
        records.push(record(apex, RecordType::NS, &values)?);
        let in_zone = nameservers.iter().filter(|name| name.key().is_at_or_below(&key));
        for server in in_zone {
            for (rtype, is_v4) in [(RecordType::A, true), (RecordType::AAAA, false)] {
                let addresses = template.addresses.iter().filter(|address| address.is_ipv4() == is_v4);
                let values: Vec<String> = addresses.map(ToString::to_string).collect();
                if !values.is_empty() && !has(records, server, rtype) {
                    records.push(record(server, rtype, &values)?);
                }
            }
        }
    }
    if !has(records, apex, RecordType::SOA) {
        let mailbox = match &template.mailbox {
            Some(mailbox) => mailbox.clone(),
            None => below("hostmaster")?,
        };
        let primary = records
            .iter()
            .find(|record| record.rtype == RecordType::NS && record.owner.key() == key);
        let primary = primary.and_then(|record| record.rdatas.first());
        let primary = primary.map(|target| rdata::format_value(RecordType::NS, target));
        let soa = format!(
            "{} {mailbox} 1 {} {} {} {}",
            primary.unwrap_or_else(|| nameservers[0].to_string()),
            template.refresh,
            template.retry,
            template.expire,
            template.minimum
        );
        records.insert(0, record(apex, RecordType::SOA, &[soa])?);
    }
    Ok(())
}

/// What resolvers will not like of a zone.
pub(super) fn warnings(zone: &Zone) -> Vec<String> {
    if let Some(reason) = &zone.failed {
        return vec![format!("the zone answers SERVFAIL: {reason}")];
    }
    let apex = zone.apex.key();
    let Some(servers) = zone.rrset(&apex, RecordType::NS) else {
        return vec![format!(
            "the zone has no NS records: add them, so that it can be delegated to its name servers, {} NS ns1.{} say",
            zone.apex, zone.apex
        )];
    };
    let mut warnings = Vec::new();
    for target in servers
        .rdatas
        .iter()
        .filter_map(|value| additional_target(RecordType::NS, value))
    {
        let Ok(name) = Name::from_wire(target) else { continue };
        let key = name.key();
        let has_address = [RecordType::A, RecordType::AAAA, RecordType::ALIAS]
            .into_iter()
            .any(|rtype| zone.rrset(&key, rtype).is_some());
        if key.is_at_or_below(&apex) && !has_address {
            warnings.push(format!(
                "the name server {name} is in the zone and has no address: add an A or AAAA record for it"
            ));
        }
    }
    warnings
}
