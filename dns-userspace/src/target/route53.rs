//! Hosted zones at Amazon Route 53 (API of 2013-04-01): XML in and out, RRsets whole, many changes in one request.
//!
//! There are no comments. A TXT record beside each RRset says whose it is: `_hotdns-a.www.example.org TXT
//! "hotdns/aws: kubernetes/prod, Ingress demo/web"`. An RRset without it was made by hand, and is never changed, unless
//! it is external-dns's and may be taken over.

mod credentials;
mod documents;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::credentials::Credentials;
use self::documents::{Action, RecordSet, change_batch, error_of, hosted_zones, record_sets};
use self::signature::{Request, sign};
use super::Around;
use super::plan::{Change, Held, RecordId};
use super::provider::{Pace, Provider, ProviderError, agent, exchange, secret, shown};
use crate::config::Route53Config;
use crate::model::name::Name;
use crate::model::record::RecordType;

const VERSION: &str = "/2013-04-01";
/// How the owner of a mark begins; the type follows.
const MARK: &str = "_hotdns-";
/// A `*` cannot be in the middle of a name.
const WILDCARD: &str = "_wildcard";

/// An RRset by its owner and type.
type SetKey = (Name, RecordType);

/// Hosted zones at Route 53.
pub(super) struct Route53 {
    agent: ureq::Agent,
    url: Box<str>,
    credentials: Arc<Path>,
    region: Box<str>,
    pace: Pace,
    /// Ids of zones.
    zones: BTreeMap<Name, String>,
    /// The RRsets that are there, by our knowledge.
    sets: BTreeMap<SetKey, HeldSet>,
}

/// An RRset that is there.
#[derive(Clone)]
struct HeldSet {
    ttl: u32,
    /// Values as Route 53 has them.
    values: BTreeSet<String>,
    /// Its mark; empty where it has none.
    mark: String,
    /// Whether it is external-dns's, and ours to take over.
    is_adopted: bool,
    /// Whether it is an alias of Route 53's own, which has no values.
    is_alias: bool,
}

impl Route53 {
    pub(super) fn new(config: &Route53Config) -> Self {
        Self {
            agent: agent(),
            url: config.provider.url.clone(),
            credentials: Arc::clone(&config.credentials),
            region: config.region.clone(),
            pace: Pace::new(config.provider.max_rate, Duration::from_secs(1)),
            zones: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }

    fn zone(&mut self, zone: &Name, around: &Around) -> Result<String, ProviderError> {
        if let Some(id) = self.zones.get(zone) {
            return Ok(id.clone());
        }
        let query = [("dnsname", zone.to_string()), ("maxitems", "1".to_owned())];
        let text = self.call("GET", "ListHostedZonesByName", "/hostedzonesbyname", &query, "", around)?;
        let zones = hosted_zones(&text).map_err(ProviderError::Away)?;
        let found = zones
            .into_iter()
            .find(|(name, _)| Name::parse_given(name).is_ok_and(|name| name.to_lowercase() == zone.to_lowercase()));
        let (_, id) = found.ok_or_else(|| {
            let zone = shown(zone);
            ProviderError::Away(format!("there is no hosted zone {zone} in this account"))
        })?;
        self.zones.insert(zone.clone(), id.clone());
        Ok(id)
    }

    /// The RRsets that changes touch, as they would be; or why one cannot be changed.
    fn after(&self, changes: &[(RecordId, Change)]) -> Result<BTreeMap<SetKey, HeldSet>, ProviderError> {
        let mut after: BTreeMap<SetKey, HeldSet> = BTreeMap::new();
        for (id, change) in changes {
            let key = (id.owner.clone(), id.rtype);
            let set = after.entry(key.clone()).or_insert_with(|| {
                self.sets.get(&key).cloned().unwrap_or(HeldSet {
                    ttl: 0,
                    values: BTreeSet::new(),
                    mark: String::new(),
                    is_adopted: false,
                    is_alias: false,
                })
            });
            let is_ours = set.values.is_empty() || set.is_adopted || !set.mark.is_empty();
            let is_foreign = set.is_alias || !is_ours;
            if is_foreign && !matches!(change, Change::Delete(_)) {
                return Err(ProviderError::Refused {
                    endpoint: "ChangeResourceRecordSets".to_owned(),
                    message: format!("{} {} was made by hand there", id.hostname(), id.rtype),
                });
            }
            let value = documents::value_of(id);
            match change {
                Change::Add(wish) | Change::Update(wish) => {
                    set.ttl = wish.ttl;
                    set.mark.clone_from(&wish.comment);
                    set.values.insert(value);
                }
                Change::Delete(_) => {
                    set.values.remove(&value);
                }
            }
        }
        Ok(after)
    }

    /// One request for all changes, which are in one zone.
    fn submit(&mut self, zone: &Name, changes: &[(RecordId, Change)], around: &Around) -> Result<(), ProviderError> {
        let after = self.after(changes)?;
        let id = self.zone(zone, around)?;
        let mut actions = Vec::new();
        for (key, set) in &after {
            let before = self.sets.get(key);
            let (owner, rtype) = key;
            let mark = mark_owner(owner, *rtype);
            if set.values.is_empty() {
                if let Some(before) = before {
                    actions.push(Action::delete(&shown(owner), *rtype, before.ttl, &before.values));
                    if !before.mark.is_empty() {
                        actions.push(Action::delete_mark(&mark, before.ttl, &before.mark));
                    }
                }
                continue;
            }
            actions.push(Action::upsert(&shown(owner), *rtype, set.ttl, &set.values));
            if !set.mark.is_empty() {
                actions.push(Action::upsert_mark(&mark, set.ttl, &set.mark));
            }
        }
        // A name whose alias goes and whose address comes: what goes is first.
        actions.sort_by_key(|action| !action.is_deletion());
        let body = change_batch(&actions).map_err(ProviderError::Away)?;
        let path = format!("/hostedzone/{id}/rrset");
        self.call("POST", "ChangeResourceRecordSets", &path, &[], &body, around)?;
        for (key, set) in after {
            match set.values.is_empty() {
                true => drop(self.sets.remove(&key)),
                false => drop(self.sets.insert(key, set)),
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        method: &str,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, String)],
        body: &str,
        around: &Around,
    ) -> Result<String, ProviderError> {
        self.pace.wait();
        let called = format!("{} {endpoint}", self.url);
        let away = |reason: &dyn std::fmt::Display| ProviderError::Away(format!("{called}: {reason}"));
        let credentials = Credentials::read(&secret(&self.credentials)?).map_err(|error| {
            // What is in the file is not shown.
            ProviderError::Away(format!("{}: {error}", self.credentials.display()))
        })?;
        let uri: ureq::http::Uri = self.url.parse().map_err(|error| away(&error))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let path = format!("{VERSION}{path}");
        let request = Request {
            method,
            host: &host,
            path: &path,
            query,
            body: body.as_bytes(),
        };
        let signed = sign(&request, &credentials, &self.region, "route53", SystemTime::now());
        let mut builder = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}{}", self.url, signed.query));
        for (name, value) in &signed.headers {
            builder = builder.header(*name, value);
        }
        if !body.is_empty() {
            builder = builder.header("content-type", "application/xml");
        }
        let request = builder.body(body.as_bytes().to_vec());
        let count = |status: &str, took| around.figures.count_provider(Self::KIND, endpoint, status, took);
        let (status, text) = exchange(&self.agent, request, &called, count)?;
        if status.is_success() {
            return Ok(text);
        }
        let (code, message) = error_of(&text);
        let message = format!("{code}: {message}");
        match (status.as_u16(), code.as_str()) {
            (401 | 403, _) => Err(away(&format!("the credentials are refused: {message}"))),
            (429 | 500.., _) | (_, "Throttling" | "PriorRequestNotComplete") => Err(away(&message)),
            _ => Err(ProviderError::Refused {
                endpoint: endpoint.to_owned(),
                message,
            }),
        }
    }
}

impl Provider for Route53 {
    const KIND: &'static str = "route53";
    /// A request may have 1,000 records, of which each of ours needs two.
    const BATCH: usize = 100;

    fn records(&mut self, zone: &Name, mark: &str, around: &Around) -> Result<Vec<(RecordId, Held)>, ProviderError> {
        let id = self.zone(zone, around)?;
        let mut sets: Vec<RecordSet> = Vec::new();
        let mut query: Vec<(&str, String)> = Vec::new();
        loop {
            let path = format!("/hostedzone/{id}/rrset");
            let text = self.call("GET", "ListResourceRecordSets", &path, &query, "", around)?;
            let page = record_sets(&text).map_err(ProviderError::Away)?;
            sets.extend(page.sets);
            match page.next {
                Some((name, rtype)) => query = vec![("name", name), ("type", rtype)],
                None => break,
            }
        }
        let mut marks: BTreeMap<String, String> = BTreeMap::new();
        for set in sets
            .iter()
            .filter(|set| set.rtype == "TXT" && set.name.starts_with(MARK))
        {
            let text = set.values.iter().find_map(|value| documents::text_of(value));
            if let Some(text) = text.filter(|text| text.starts_with(mark)) {
                marks.insert(set.name.trim_end_matches('.').to_lowercase(), text);
            }
        }
        self.sets.retain(|(owner, _), _| !owner.is_at_or_below(zone));
        let mut found = Vec::new();
        for set in sets.into_iter().filter(|set| !set.name.starts_with(MARK)) {
            let (Ok(owner), Ok(rtype)) = (Name::parse_given(&set.name), set.rtype.parse::<RecordType>()) else {
                continue;
            };
            let owner = owner.to_lowercase();
            let mark = marks.get(&mark_owner(&owner, rtype)).cloned().unwrap_or_default();
            let held = HeldSet {
                ttl: set.ttl,
                values: set.values.into_iter().collect(),
                mark: mark.clone(),
                is_adopted: false,
                is_alias: set.is_alias,
            };
            for value in held.values.iter().filter_map(|value| documents::plain(rtype, value)) {
                let id = RecordId {
                    owner: owner.clone(),
                    rtype,
                    value,
                };
                let record = Held {
                    zone: zone.clone(),
                    ttl: held.ttl,
                    comment: mark.clone(),
                    is_adopted: false,
                };
                found.push((id, record));
            }
            self.sets.insert((owner, rtype), held);
        }
        Ok(found)
    }

    fn adopt(&mut self, owner: &Name, rtype: RecordType) {
        if let Some(set) = self.sets.get_mut(&(owner.clone(), rtype)) {
            set.is_adopted = true;
        }
    }

    fn perform(&mut self, changes: &[(RecordId, Change)], around: &Around) -> Vec<Result<(), ProviderError>> {
        let zone = |change: &Change| match change {
            Change::Add(wish) | Change::Update(wish) => wish.zone.clone(),
            Change::Delete(held) => held.zone.clone(),
        };
        let mut outcomes = Vec::with_capacity(changes.len());
        for chunk in changes.chunk_by(|(_, one), (_, other)| zone(one) == zone(other)) {
            let of = zone(&chunk[0].1);
            match self.submit(&of, chunk, around) {
                Ok(()) => outcomes.extend(chunk.iter().map(|_| Ok(()))),
                Err(error) if error.is_of_all() => {
                    outcomes.push(Err(error));
                    return outcomes;
                }
                Err(error) if chunk.len() == 1 => outcomes.push(Err(error)),
                // All or none was taken: which one is refused shows where each is sent alone.
                Err(_) => {
                    for change in chunk {
                        let outcome = self.submit(&of, std::slice::from_ref(change), around);
                        let is_over = outcome.as_ref().is_err_and(ProviderError::is_of_all);
                        outcomes.push(outcome);
                        if is_over {
                            return outcomes;
                        }
                    }
                }
            }
        }
        outcomes
    }
}

/// The owner of the mark of an RRset, without the final dot.
fn mark_owner(owner: &Name, rtype: RecordType) -> String {
    let owner = shown(owner).replace('*', WILDCARD).to_lowercase();
    format!("{MARK}{}.{owner}", rtype.to_string().to_lowercase())
}
