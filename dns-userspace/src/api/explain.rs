//! Calls that look at the server from outside of it: why a query gets its answer, whether the wire says what the store
//! says, and what is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UdpSocket;
use utoipa::ToSchema;

use super::cache::in_background;
use super::connection::Peer;
use super::openapi::ProblemBody;
use super::page::{Record, record};
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::message::Message;
use crate::model::name::Name;
use crate::model::rdata::format_value;
use crate::model::record::{RecordType, RrSet};
use crate::observe::top::Top as TopCounts;
use crate::principal::Principal;
use crate::serve::explain::{AnsweredBy, Explainer, query, rcode_label};
use crate::source::oldest_of;

/// What this server can say of itself.
pub struct Inside {
    /// Explains queries.
    pub explainer: Explainer,
    /// Where DNS is answered.
    pub listening: Vec<SocketAddr>,
    /// What is asked most.
    pub(crate) top: Arc<TopCounts>,
    /// Whether answers of the XDP program are counted there.
    pub shows_xdp: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The configuration file as it was loaded last, secrets masked.
    pub configuration: Arc<dyn Fn() -> Arc<Value> + Send + Sync>,
    /// Its path.
    pub file: String,
}

/// How long our own sockets may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a query gets its answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Explained {
    /// The name that was asked about.
    name: String,
    /// The type.
    r#type: String,
    /// Of this client.
    client: String,
    /// `xdp`, `fast_path`, `reference`, `cache`, `upstream` or `refused`.
    answered_by: &'static str,
    /// Why XDP and the fast path pass the query, where they do: a `reason` of the metrics.
    #[schema(required)]
    pass_reason: Option<&'static str>,
    /// The RCODE; null where it is the upstream's.
    #[schema(required)]
    rcode: Option<&'static str>,
    /// The zone that answers.
    #[schema(required)]
    zone: Option<String>,
    /// The view that the client is in; null is the default.
    #[schema(required)]
    view: Option<String>,
    /// The source of the record.
    #[schema(required)]
    source: Option<String>,
    /// The object of the source that it comes from, such as a file.
    #[schema(required)]
    object: Option<String>,
    /// The rule that made the answer.
    #[schema(required)]
    rule: Option<String>,
    /// The wildcard that stands for the name.
    #[schema(required)]
    wildcard: Option<String>,
    /// The RRset that is answered: behind aliases, the last one.
    #[schema(required)]
    record: Option<Record>,
    /// All RRsets of the answer section, aliases in their order.
    answer: Vec<Record>,
    /// How it came to that, in sentences.
    steps: Vec<String>,
}

/// Why a query gets the answer that it gets: plane, zone, view, source, object, record, wildcard.
#[utoipa::path(
    get, path = "/api/v1/explain", operation_id = "explain", tag = "server",
    params(
        ("name" = String, Query, description = "The name of the query"),
        ("type" = Option<String>, Query, description = "Its type, A by default"),
        ("client" = Option<String>, Query, description = "The client's IP address; yours by default"),
    ),
    responses((status = 200, description = "The explanation", body = Explained))
)]
pub(super) async fn explain(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["name", "type", "client"])?;
    let name = required_name(&parameters, "name")?;
    let rtype = parameters.rtype()?.unwrap_or(RecordType::A);
    let client = match (parameters.get("client"), peer) {
        (Some(text), _) => text.parse::<IpAddr>().map_err(|_| {
            let detail = format!("`client` is `{text}`: write an IP address");
            Problem::bad_request("invalid_parameter", detail)
        })?,
        (None, Some(Extension(Peer::Network { remote, .. }))) => remote.ip(),
        (None, _) => Ipv4Addr::LOCALHOST.into(),
    };
    let client = client.to_canonical();
    let snapshot = state.served()?;
    let found = state.inside()?.explainer.explain(&name, rtype, client);
    access::readable(&reader, found.view.as_deref(), Some(&name))?;
    let (forwarder, asked) = (state.forwarder()?, name.clone());
    // A chain that leaves our data begins with aliases of ours.
    let is_foreign = found.answered_by == AnsweredBy::Upstream && found.answer.is_empty();
    let foreign = match forwarder.filter(|_| is_foreign) {
        // Its cache may be large.
        Some(forwarder) => Some(in_background(move || forwarder.explain(&asked, rtype, client)).await?),
        None => None,
    };
    let last = found.answer.last();
    let view = found.view.as_ref();
    // What an alias leads to may be in a zone that the one who asks may not read.
    let readable = |owner: &Name| reader.scope().may_read(owner);
    let show = |(owner, rrset): &(Name, Arc<RrSet>)| record(&snapshot, view, owner, rrset);
    let explained = Explained {
        name: name.to_string(),
        r#type: rtype.to_string(),
        client: client.to_string(),
        answered_by: foreign
            .as_ref()
            .map_or(found.answered_by.label(), |foreign| foreign.answered_by),
        pass_reason: found.pass_reason,
        rcode: found.rcode,
        zone: found.zone.map(|zone| zone.to_string()),
        view: found.view.as_deref().map(str::to_owned),
        source: last.map(|(_, rrset)| rrset.origin.source().key()),
        object: last.and_then(|(_, rrset)| rrset.origin.object().map(str::to_owned)),
        rule: foreign.as_ref().and_then(|foreign| foreign.rule.clone()),
        wildcard: found.wildcard.map(|wildcard| wildcard.to_string()),
        record: last.filter(|(owner, _)| readable(owner)).map(show),
        answer: found
            .answer
            .iter()
            .filter(|(owner, _)| readable(owner))
            .map(show)
            .collect(),
        steps: found
            .steps
            .into_iter()
            .chain(foreign.into_iter().flat_map(|foreign| foreign.steps))
            .collect(),
    };
    Ok(pieces::json(StatusCode::OK, &explained))
}

/// Whether a name resolves, and whether the wire says what the store says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DnsTest {
    /// The name that was tested.
    hostname: String,
    /// What our own sockets answered.
    dns_resolution: DnsResolution,
    /// Whether the record comes from an object of Kubernetes.
    ingress_exists: bool,
    /// That object.
    #[schema(required)]
    ingress_details: Option<IngressDetails>,
    /// `healthy`: the wire says what the store says; `drifted`: it does not; `unreachable`: nobody answers.
    sync_status: &'static str,
    /// When the object was made, where that is known.
    #[schema(required, format = DateTime)]
    last_update: Option<String>,
    /// The values on the wire.
    wire: Vec<String>,
    /// The values in the store; null for a name that is not ours.
    #[schema(required)]
    store: Option<Vec<String>>,
    /// Which of our addresses was asked.
    server: String,
    /// What is the matter, in words.
    detail: String,
}

/// What was answered.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct DnsResolution {
    /// Whether there is an address.
    resolved: bool,
    /// The first one.
    #[schema(required)]
    ip: Option<String>,
    /// Its TTL.
    #[schema(required)]
    ttl: Option<u32>,
    /// The source of the record: `api`, `zone_file`, a watched source, or `upstream`.
    #[schema(required)]
    source: Option<String>,
    /// The RCODE of the answer.
    #[schema(required)]
    rcode: Option<&'static str>,
}

/// The object that a record comes from.
#[derive(Serialize, ToSchema)]
pub(super) struct IngressDetails {
    namespace: String,
    name: String,
    kind: String,
}

/// Asks our own sockets for a name, and compares the answer with the store.
#[utoipa::path(
    get, path = "/api/v1/test-dns", operation_id = "testDns", tag = "server",
    params(
        ("hostname" = String, Query, description = "The name to resolve"),
        ("type" = Option<String>, Query, description = "A or AAAA; by default A, and AAAA where there is none"),
    ),
    responses(
        (status = 200, description = "The result", body = DnsTest),
        (status = 400, description = "`invalid_name`, `invalid_type`, `invalid_parameter`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn test_dns(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["hostname", "type"])?;
    let hostname = required_name(&parameters, "hostname")?;
    let rtype = parameters.rtype()?;
    if rtype.is_some_and(|rtype| !rtype.is_address()) {
        let detail = "`type` is A or AAAA: a host name has addresses";
        return Err(Problem::bad_request("invalid_type", detail));
    }
    access::readable(&reader, None, Some(&hostname))?;
    state.served()?;
    let inside = state.inside()?;
    let mut tested = test(inside, &hostname, rtype.unwrap_or(RecordType::A)).await;
    if rtype.is_none() && tested.wire.is_empty() && tested.sync_status == "healthy" {
        let of_ipv6 = test(inside, &hostname, RecordType::AAAA).await;
        if of_ipv6.dns_resolution.resolved {
            tested = of_ipv6;
        }
    }
    Ok(pieces::json(StatusCode::OK, &tested))
}

async fn test(inside: &Inside, hostname: &Name, rtype: RecordType) -> DnsTest {
    let server = inside.listening.first().copied().map(reachable);
    let client = match server {
        Some(SocketAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let answered = match server {
        Some(server) => ask(server, hostname, rtype).await,
        None => Err("no address of this server answers DNS".to_owned()),
    };
    let explained = inside.explainer.explain(hostname, rtype, client);
    let last = explained.answer.last();
    let is_ours = explained.zone.is_some() || last.is_some();
    let wanted: Vec<String> = match last {
        Some((_, rrset)) if rrset.rtype == rtype => {
            rrset.rdatas.iter().map(|rdata| format_value(rtype, rdata)).collect()
        }
        _ => Vec::new(),
    };
    // A chain that leaves our zones ends where the store does not know.
    let is_known = is_ours && explained.rcode.is_some();
    let origin = last.map(|(_, rrset)| &rrset.origin);
    let object = origin.and_then(|origin| ingress(origin.label(), origin.object()?));
    let mut tested = DnsTest {
        hostname: hostname.to_string().trim_end_matches('.').to_owned(),
        dns_resolution: DnsResolution::default(),
        ingress_exists: object.is_some(),
        ingress_details: object,
        sync_status: "unreachable",
        last_update: origin.and_then(|origin| origin.since()).and_then(shown_time),
        wire: Vec::new(),
        store: is_known.then(|| wanted.clone()),
        server: server.map_or_else(String::new, |server| server.to_string()),
        detail: String::new(),
    };
    let (rcode, found) = match answered {
        Ok(answered) => answered,
        Err(detail) => {
            tested.detail = detail;
            return tested;
        }
    };
    tested.wire = found.iter().map(|(value, _)| value.clone()).collect();
    let (mut wire, mut store) = (tested.wire.clone(), wanted);
    wire.sort();
    store.sort();
    let agrees = !is_known || wire == store;
    tested.sync_status = if agrees { "healthy" } else { "drifted" };
    tested.detail = match (agrees, is_known) {
        (true, true) => "the wire says what the store says".to_owned(),
        (true, false) => "the name, or what it leads to, is not this server's: there is nothing to compare".to_owned(),
        (false, _) => "the wire and the store differ".to_owned(),
    };
    let source = match is_known {
        true => origin.map(|origin| origin.source().key()),
        false => (!found.is_empty()).then(|| "upstream".to_owned()),
    };
    tested.dns_resolution = DnsResolution {
        resolved: !found.is_empty(),
        ip: found.first().map(|(value, _)| value.clone()),
        ttl: found.first().map(|(_, ttl)| *ttl),
        source,
        rcode: Some(rcode_label(rcode)),
    };
    tested
}

/// An address that a wildcard address can be asked at.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// RCODE, and the values of this type with their TTLs.
type Answered = (u8, Vec<(String, u32)>);

async fn ask(server: SocketAddr, name: &Name, rtype: RecordType) -> Result<Answered, String> {
    let failed = |error: std::io::Error| format!("{server} cannot be asked: {error}");
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    let id: [u8; 2] = rand::random();
    let mut question = query(name, rtype);
    question[..2].copy_from_slice(&id);
    socket.send(&question).await.map_err(failed)?;
    let mut octets = [0; 4096];
    let reply = tokio::time::timeout(PATIENCE, async {
        loop {
            let length = socket.recv(&mut octets).await?;
            if length >= 12 && octets[..2] == id {
                return Ok(length);
            }
        }
    });
    let length = match reply.await {
        Ok(length) => length.map_err(failed)?,
        Err(_) => return Err(format!("{server} did not answer within {} s", PATIENCE.as_secs())),
    };
    let rcode = octets[3] & 0x0F;
    let message = Message::read(&octets[..length]).ok_or_else(|| format!("the answer of {server} cannot be read"))?;
    let values = message.answer.iter().filter(|record| record.rtype == rtype.0);
    let values = values.map(|record| (format_value(rtype, &record.rdata), record.ttl));
    Ok((rcode, values.collect()))
}

/// `Ingress monitoring/grafana` of a cluster.
fn ingress(kind: &str, object: &str) -> Option<IngressDetails> {
    let (what, path) = oldest_of(object).split_once(' ').filter(|_| kind == "kubernetes")?;
    let (namespace, name) = path.split_once('/')?;
    Some(IngressDetails {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: what.to_owned(),
    })
}

fn shown_time(seconds: u64) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

/// The configuration as it was loaded last.
#[derive(Serialize, ToSchema)]
pub(super) struct Configuration {
    /// The file.
    file: String,
    /// Its keys and values. Secrets are `***`; lists of more than 1,000 entries are counted.
    #[schema(value_type = Object)]
    configuration: Value,
}

/// The configuration file as it was loaded last, with secrets masked.
#[utoipa::path(
    get, path = "/api/v1/config", operation_id = "getConfig", tag = "server",
    responses((status = 200, description = "The configuration", body = Configuration))
)]
pub(super) async fn config(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&reader, "the configuration")?;
    Parameters::read(&uri, &[])?;
    let inside = state.inside()?;
    let shown = Configuration {
        file: inside.file.clone(),
        configuration: (*(inside.configuration)()).clone(),
    };
    Ok(pieces::json(StatusCode::OK, &shown))
}

fn required_name(parameters: &Parameters, key: &str) -> Result<Name, Problem> {
    parameters.name(key)?.ok_or_else(|| {
        let detail = format!("the parameter `{key}` is missing: `?{key}=www.example.com`");
        Problem::bad_request("invalid_parameter", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_cluster_are_named_and_files_are_none() {
        let found = ingress("kubernetes", "IngressRoute monitoring/grafana").expect("an object");
        let found = (&*found.kind, &*found.namespace, &*found.name);
        assert_eq!(found, ("IngressRoute", "monitoring", "grafana"));
        assert!(ingress("zone_file", "zones/a b/c").is_none());
    }

    #[test]
    fn a_wildcard_address_is_asked_at_loopback() {
        let at = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(at("0.0.0.0:53"), "127.0.0.1:53");
        assert_eq!(at("[::]:53"), "[::1]:53");
        assert_eq!(at("192.0.2.1:53"), "192.0.2.1:53");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_said_to_be_so() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = silent.local_addr().expect("bound");
        let name: Name = "www.x.".parse().expect("a name");
        let asked = ask(address, &name, RecordType::A).await.expect_err("nobody answers");
        assert!(asked.contains("did not answer"), "{asked}");
        let answering = tokio::spawn(async move {
            let mut octets = [0; 512];
            // The query from before is there too.
            while let Ok((length, client)) = silent.recv_from(&mut octets).await {
                octets[2] |= 0x80;
                octets[3] = 3;
                let _ = silent.send_to(&octets[..length], client).await;
            }
        });
        let (rcode, values) = ask(address, &name, RecordType::A).await.expect("answered");
        assert_eq!((rcode_label(rcode), values.len()), ("NXDOMAIN", 0));
        answering.abort();
    }
}
