//! Calls for people who look for a fault: what the table has of a name, who is connected, which limits are near their
//! end, which certificates are shown. They read, and change nothing.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::cache::in_background;
use super::page::{Record, record};
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;
use crate::principal::Principal;
use crate::serve::explain::AnsweredBy;
use crate::serve::inspect::{self, Buckets, Found, LineOfName};
use crate::tls::Certificate;

/// Clients and buckets that are shown where the request does not say, and at most.
const SHOWN: (usize, usize) = (20, 1000);

/// A name, as the store and the table have it.
#[derive(Serialize, ToSchema)]
pub(super) struct DebugName {
    name: String,
    /// The zone that it is in.
    #[schema(required)]
    zone: Option<String>,
    /// The default, and each view in which it is another.
    trees: Vec<DebugTree>,
    /// Whether XDP answers, by type: the types that it has, A and AAAA.
    types: Vec<DebugType>,
    /// Interfaces that the XDP program is attached to.
    interfaces: Vec<String>,
}

/// What clients of a view get, or those of none.
#[derive(Serialize, ToSchema)]
struct DebugTree {
    /// The view; null is the default.
    #[schema(required)]
    view: Option<String>,
    /// RRsets at this name itself.
    records: Vec<Record>,
    /// `line`: the table has a line of it; `none`: it has none, and lines above say what is answered; `torn`: it was
    /// being written; `overflow`: the table cannot say, and such queries pass.
    table: &'static str,
    /// What is in the line.
    #[schema(required)]
    line: Option<DebugLine>,
}

/// A line of the table.
#[derive(Serialize, ToSchema)]
struct DebugLine {
    /// Its flags: docs/ARCHITECTURE.md, "The table".
    flags: Vec<&'static str>,
    /// Index of its zone.
    #[schema(required)]
    zone: Option<u32>,
    /// TTL of the addresses in it.
    ttl: u32,
    /// A and AAAA addresses in the line itself.
    inline_a: u32,
    inline_aaaa: u32,
    /// Ready answers that it refers to.
    answers: Vec<DebugAnswer>,
}

/// A ready answer.
#[derive(Serialize, ToSchema)]
struct DebugAnswer {
    /// The type that it answers: `*` is every type that is not listed, `referral` that of a cut, `more` a list of
    /// further answers.
    r#type: String,
    /// Where it is.
    class: u8,
    slot: u32,
}

/// Whether XDP answers a type.
#[derive(Serialize, ToSchema)]
struct DebugType {
    r#type: String,
    /// As of `/api/v1/explain`.
    answered_by: &'static str,
    /// Why XDP passes it.
    #[schema(required)]
    pass_reason: Option<&'static str>,
}

/// What the store and the table have of a name, and why XDP answers it, or does not.
#[utoipa::path(
    get, path = "/api/v1/debug/name", operation_id = "debugName", tag = "server",
    params(
        ("name" = String, Query, description = "The name"),
        ("client" = Option<String>, Query, description = "Whether XDP answers this client; 127.0.0.1"),
    ),
    responses((status = 200, description = "The name", body = DebugName))
)]
pub(super) async fn name(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&reader, "what the table has of a name")?;
    let parameters = Parameters::read(&uri, &["name", "client"])?;
    let missing = || {
        Problem::bad_request(
            "invalid_parameter",
            "the parameter `name` is missing: `?name=www.example.com`",
        )
    };
    let name = parameters.name("name")?.ok_or_else(missing)?;
    let client = client(&parameters)?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let snapshot = state.served()?;
    let explainer = &state.inside()?.explainer;
    let key = name.key();
    let tree = |view: Option<&ViewName>, number: u16, tree: &Snapshot| {
        let node = tree.node(&key);
        let rrsets = node.into_iter().flat_map(|node| node.rrsets.iter());
        let (table, line) = match inspect::find(&explainer.served, &name, number) {
            Found::Line(line) => ("line", Some(shown(line))),
            Found::Nothing => ("none", None),
            Found::Torn => ("torn", None),
            Found::Overflow => ("overflow", None),
        };
        DebugTree {
            view: view.map(|view| view.to_string()),
            records: rrsets.map(|rrset| record(&snapshot, view, &name, rrset)).collect(),
            table,
            line,
        }
    };
    let mut trees = vec![tree(None, 0, &snapshot)];
    for (at, view) in snapshot.views.list.iter().enumerate() {
        let of_view = tree(Some(&view.name), at as u16 + 1, &view.tree);
        if view.own.contains_key(&key) || of_view.line.is_some() {
            trees.push(of_view);
        }
    }
    let own = snapshot.for_client(client).node(&key);
    let mut types: Vec<RecordType> = own
        .into_iter()
        .flat_map(|node| node.rrsets.iter())
        .map(|rrset| rrset.rtype)
        .collect();
    types.extend([RecordType::A, RecordType::AAAA]);
    types.sort_unstable();
    types.dedup();
    let types = types.into_iter().map(|rtype| {
        let explanation = explainer.explain(&name, rtype, client);
        let answered_by: AnsweredBy = explanation.answered_by;
        DebugType {
            r#type: rtype.to_string(),
            answered_by: answered_by.label(),
            pass_reason: explanation.pass_reason,
        }
    });
    let types = types.collect();
    let interfaces = explainer.program.lock().as_ref().map_or_else(Vec::new, |program| {
        program
            .interfaces()
            .map(|(interface, _, mode)| format!("{interface} ({mode})"))
            .collect()
    });
    let debug = DebugName {
        zone: snapshot.zone_of(&key).map(|zone| zone.apex.to_string()),
        name: name.to_string(),
        trees,
        types,
        interfaces,
    };
    Ok(pieces::json(StatusCode::OK, &debug))
}

fn shown(line: LineOfName) -> DebugLine {
    let answers = line.references.into_iter().map(|(rtype, class, slot)| DebugAnswer {
        r#type: match rtype.0 {
            0 => "*".to_owned(),
            dns_common::line::REFERRAL => "referral".to_owned(),
            dns_common::line::MORE => "more".to_owned(),
            _ => rtype.to_string(),
        },
        class,
        slot,
    });
    DebugLine {
        flags: line.flags,
        zone: line.zone,
        ttl: line.ttl,
        inline_a: line.inline_a,
        inline_aaaa: u32::from(line.inline_aaaa),
        answers: answers.collect(),
    }
}

/// Who is connected over TCP.
#[derive(Serialize, ToSchema)]
pub(super) struct Connections {
    /// Connections that are open.
    open: u64,
    /// Connections that were closed because of a limit, since the start.
    refused: u64,
    /// Clients with open connections.
    clients: usize,
    /// Those with the most, most first. An IPv6 client is its /64.
    most: Vec<ClientConnections>,
    /// Connections of HTTP that are open.
    http: u64,
}

/// A client's connections.
#[derive(Serialize, ToSchema)]
struct ClientConnections {
    client: String,
    open: usize,
}

/// The clients that are connected over TCP.
#[utoipa::path(
    get, path = "/api/v1/debug/connections", operation_id = "debugConnections", tag = "server",
    params(("limit" = Option<usize>, Query, description = "Clients: 1 to 1000; 20")),
    responses((status = 200, description = "Clients and how many connections they have", body = Connections))
)]
pub(super) async fn connections(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    use std::sync::atomic::Ordering::Relaxed;

    access::require_unlimited(&reader, "who is connected")?;
    let limit = Parameters::read(&uri, &["limit"])?.limit(SHOWN.0, SHOWN.1)?;
    let figures = state.serving()?.metrics.sockets();
    let clients = figures.tcp_clients.lock().unwrap_or_else(PoisonError::into_inner);
    let mut most: Vec<_> = clients.iter().map(|(client, open)| (*client, *open)).collect();
    drop(clients);
    most.sort_by(|(left, fewer), (right, more)| more.cmp(fewer).then(left.cmp(right)));
    let count = most.len();
    let most = most.into_iter().take(limit).map(|(client, open)| ClientConnections {
        client: client.to_string(),
        open,
    });
    let connections = Connections {
        open: figures.tcp_connections.load(Relaxed),
        refused: figures.tcp_refused.load(Relaxed),
        clients: count,
        most: most.collect(),
        http: state.figures().connections.load(Relaxed),
    };
    Ok(pieces::json(StatusCode::OK, &connections))
}

/// The rate limits, and how near clients are to them.
#[derive(Serialize, ToSchema)]
pub(super) struct DebugLimits {
    /// Whether there are any.
    enabled: bool,
    /// Prefixes of clients that have used some of their burst.
    in_use: u64,
    /// Those of which most is used, most first.
    fullest: Vec<DebugBucket>,
    /// How much of the burst of all clients together is used, 0 to 1; null without such a limit.
    #[schema(required)]
    global: Option<f64>,
    /// How much the prefix of `client` has used; null where it has used nothing, or none was given.
    #[schema(required)]
    client: Option<f64>,
}

/// The bucket of a prefix.
#[derive(Serialize, ToSchema)]
struct DebugBucket {
    /// How much of the burst is used: 0 to 1.
    used: f64,
    /// A client of the prefix. Buckets do not keep whose they are: null where none of the clients of `/api/v1/top` is.
    #[schema(required)]
    client: Option<String>,
}

/// The rate limits' fullest buckets.
#[utoipa::path(
    get, path = "/api/v1/debug/limits", operation_id = "debugLimits", tag = "server",
    params(
        ("limit" = Option<usize>, Query, description = "Buckets: 1 to 1000; 20"),
        ("client" = Option<String>, Query, description = "A client, whose bucket is shown too"),
    ),
    responses((status = 200, description = "The buckets", body = DebugLimits))
)]
pub(super) async fn limits(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&reader, "the state of the rate limits")?;
    let parameters = Parameters::read(&uri, &["limit", "client"])?;
    let limit = parameters.limit(SHOWN.0, SHOWN.1)?;
    let client = client(&parameters)?;
    let inside = state.inside()?;
    let limits = inside.explainer.policies.load().gate.limits;
    if !limits.is_enabled() {
        let none = DebugLimits {
            enabled: false,
            in_use: 0,
            fullest: Vec::new(),
            global: None,
            client: None,
        };
        return Ok(pieces::json(StatusCode::OK, &none));
    }
    let known = inside.top.look(SHOWN.1).clients;
    let served = Arc::clone(&inside.explainer.served);
    // There are a quarter of a million.
    let debug = in_background(move || {
        let table = served.table();
        let memory = &table.memory.buckets;
        let place = |client: IpAddr| inspect::bucket_of(&limits, memory, client);
        let Buckets {
            fullest,
            in_use,
            global,
        } = inspect::buckets(&limits, memory, usize::MAX);
        let own = client.and_then(place);
        let of_client = own.and_then(|own| fullest.iter().find(|bucket| bucket.place == own));
        let whose = |at: (u32, usize)| {
            let mut known = client.into_iter().chain(known.iter().map(|(client, _)| *client));
            known
                .find(|client| place(*client) == Some(at))
                .map(|client| client.to_string())
        };
        let shown = fullest.iter().take(limit).map(|bucket| DebugBucket {
            used: bucket.used,
            client: whose(bucket.place),
        });
        DebugLimits {
            enabled: true,
            in_use,
            fullest: shown.collect(),
            global,
            client: of_client.map(|bucket| bucket.used),
        }
    });
    Ok(pieces::json(StatusCode::OK, &debug.await?))
}

/// What clients are shown over TLS.
#[derive(Serialize, ToSchema)]
pub(super) struct DebugTls {
    /// One for each key of the configuration that asks for TLS.
    doors: Vec<DebugDoor>,
}

/// Where there is TLS, and with which certificates.
#[derive(Serialize, ToSchema)]
struct DebugDoor {
    /// The key: `http.tls`, `kubernetes.webhook`.
    door: &'static str,
    /// Where certificates and key are read from; none where they were made at the start.
    files: Vec<String>,
    /// The chain that the next client sees, the server's own first.
    chain: Vec<DebugCertificate>,
}

/// A certificate.
#[derive(Serialize, ToSchema)]
struct DebugCertificate {
    /// The names and addresses that it is for.
    names: Vec<String>,
    /// In RFC 3339.
    not_before: String,
    /// In RFC 3339.
    not_after: String,
    /// Seconds until then; below 0 where it has passed.
    expires_in: i64,
    /// SHA-256, as `openssl x509 -fingerprint -sha256` shows it.
    fingerprint: String,
}

/// The certificates that clients are shown now: files that have changed are read again.
#[utoipa::path(
    get, path = "/api/v1/debug/tls", operation_id = "debugTls", tag = "server",
    responses((status = 200, description = "Certificates, without keys", body = DebugTls))
)]
pub(super) async fn tls(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&reader, "the certificates")?;
    Parameters::read(&uri, &[])?;
    let certificates = state.0.certificates.get().cloned().unwrap_or_default();
    let now = seconds_of(SystemTime::now());
    // Files may be read.
    let doors = in_background(move || {
        let doors = certificates.iter().map(|(door, certificates)| DebugDoor {
            door,
            files: certificates
                .files()
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            chain: certificates.chain().into_iter().map(|one| told(one, now)).collect(),
        });
        doors.collect()
    });
    Ok(pieces::json(StatusCode::OK, &DebugTls { doors: doors.await? }))
}

fn told(certificate: Certificate, now: i64) -> DebugCertificate {
    let Certificate {
        names,
        not_before,
        not_after,
        fingerprint,
    } = certificate;
    let time = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        humantime_serde::re::humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
    };
    DebugCertificate {
        names,
        not_before: time(not_before),
        not_after: time(not_after),
        expires_in: not_after - now,
        fingerprint,
    }
}

fn seconds_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn client(parameters: &Parameters) -> Result<Option<IpAddr>, Problem> {
    let Some(text) = parameters.get("client") else {
        return Ok(None);
    };
    let address = text.parse::<IpAddr>().map_err(|_| {
        let detail = format!("`client` is `{text}`: write an IP address");
        Problem::bad_request("invalid_parameter", detail)
    })?;
    Ok(Some(address.to_canonical()))
}
