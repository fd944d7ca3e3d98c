//! `GET /openapi.json`: the OpenAPI 3.1 document, made from the handlers.
//!
//! A handler says what is its own: parameters, body, good answers, and problems with a status of their own. What all
//! calls have in common (401, 403, 429, 503 and their like) is added here.

use std::sync::OnceLock;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Response as Documented, ResponseBuilder, Schema};
use utoipa::{Modify, OpenApi, ToSchema};

use super::pieces;
use super::problem::MEDIA_TYPE;
use super::{
    backup, cache, changes, docs, explain, history, hosted, nodes, probes, records, rules, sources, targets, tokens,
    watch, webhook, zones,
};
use super::{debug, objects, top, ui, upstreams};

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// `about:blank`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong and what to do, for people.
    detail: String,
    /// What is wrong, for programs.
    code: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hotdns",
        description = "Records of a DNS server, over HTTP. docs/http-api.md says more.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "records", description = "What is served"),
        (name = "zones", description = "Zones as a whole"),
        (name = "hosted zones", description = "Zones and single records, with the paths of an older API"),
        (name = "forwarding", description = "Names that are not ours"),
        (name = "nodes", description = "Nodes that share an etcd"),
        (name = "sources", description = "Worlds that are watched"),
        (name = "tokens", description = "Who may do what"),
        (name = "server", description = "The server itself"),
        (name = "probes", description = "Open to all"),
    ),
    security(("bearer" = []), ("basic" = []), ()),
    modifiers(&InCommon),
    paths(
        probes::health,
        probes::healthz,
        probes::ready,
        probes::readyz,
        probes::metrics,
        document,
        docs::page,
        docs::script,
        docs::style,
        ui::page,
        ui::redirect,
        ui::script,
        ui::style,
        records::list,
        records::create,
        records::show,
        records::put,
        records::delete,
        records::reload,
        cache::list,
        cache::flush,
        rules::list,
        rules::pause,
        nodes::list,
        nodes::accept,
        upstreams::list,
        upstreams::names,
        sources::list,
        sources::sync,
        sources::rollback,
        sources::resume,
        sources::compare,
        objects::adopt,
        objects::explain,
        targets::list,
        webhook::validate,
        backup::backup,
        changes::changes,
        history::list,
        history::diff,
        history::rollback,
        watch::watch,
        zones::list,
        zones::create,
        zones::show,
        zones::delete,
        zones::export,
        zones::import,
        hosted::list,
        hosted::create,
        hosted::delete,
        hosted::records,
        hosted::upsert,
        hosted::delete_record,
        hosted::reload,
        explain::explain,
        explain::test_dns,
        explain::config,
        top::top,
        debug::name,
        debug::connections,
        debug::limits,
        debug::tls,
        tokens::list,
        tokens::create,
        tokens::delete,
    )
)]
struct Api;

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(super) async fn document() -> Response {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    pieces::json(StatusCode::OK, DOCUMENT.get_or_init(Api::openapi))
}

/// What all calls have in common.
struct InCommon;

impl Modify for InCommon {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, scheme, description) in [
            ("bearer", HttpAuthScheme::Bearer, "A token, or a JSON web token."),
            (
                "basic",
                HttpAuthScheme::Basic,
                "A user and a password, where `http.auth.basic_file` is set.",
            ),
        ] {
            let mut http = Http::new(scheme);
            http.description = Some(description.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(http));
        }
        let paths = document.paths.paths.values_mut();
        for item in paths {
            let with_body = [&mut item.post, &mut item.put, &mut item.patch];
            for operation in with_body.into_iter().flatten() {
                add_problems(operation, &WITH_BODY);
            }
            let all = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
            ];
            for operation in all.into_iter().flatten() {
                operation.parameters.iter_mut().flatten().for_each(tell_more);
                // The probes are open, and say all there is.
                if operation.security.is_none() {
                    add_problems(operation, &OF_ALL);
                }
            }
        }
    }
}

/// Parameters that are no text when they are empty.
const NEVER_EMPTY: [&str; 9] = [
    "name", "zone", "hostname", "type", "view", "cursor", "since", "client", "recordId",
];

/// A parameter is there or not: none is null. What more can be said of its text is said.
fn tell_more(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
        return;
    };
    if let SchemaType::Array(types) = &schema.schema_type
        && let Some(only) = types.iter().find(|one| **one != Type::Null)
    {
        schema.schema_type = SchemaType::Type(only.clone());
    }
    match parameter.name.as_str() {
        "format" => schema.enum_values = Some(["zone", "json", "yaml"].map(Into::into).to_vec()),
        "If-Match" => schema.pattern = Some(r#"^(\*|"[0-9]+"( *, *"[0-9]+")*)$"#.to_owned()),
        name if NEVER_EMPTY.contains(&name) => schema.min_length = Some(1),
        _ => {}
    }
}

const WITH_BODY: [(&str, &str); 3] = [
    ("408", "`request_timeout`: the body takes too long"),
    ("413", "`body_too_large`"),
    ("415", "`unsupported_media_type`"),
];
const OF_ALL: [(&str, &str); 6] = [
    (
        "400",
        "`invalid_parameter`, `invalid_name`, `invalid_body` and their like",
    ),
    ("401", "`unauthorized`: a credential is needed, or another one"),
    (
        "403",
        "`forbidden`: out of scope; `api_disabled`, `invalid_host` without a credential",
    ),
    ("429", "`rate_limited`; `Retry-After`"),
    ("500", "`internal`: a fault of the server"),
    ("503", "`not_ready`, `overloaded`, `storage_locked`; `Retry-After`"),
];

fn add_problems(operation: &mut Operation, problems: &[(&str, &str)]) {
    for (status, description) in problems {
        let responses = &mut operation.responses.responses;
        let problem = || RefOr::T(problem(description));
        responses.entry((*status).to_owned()).or_insert_with(problem);
    }
}

fn problem(description: &str) -> Documented {
    let schema = Ref::from_schema_name("Problem");
    let content = Content::new(Some(RefOr::<Schema>::Ref(schema)));
    ResponseBuilder::new()
        .description(description)
        .content(MEDIA_TYPE, content)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::routes;
    use super::super::tests::client::Server;
    use super::*;
    use crate::control::tests::fixture::desired;

    /// The methods of each path, HEAD left out.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let document = serde_json::to_value(Api::openapi()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths").iter();
        paths
            .map(|(path, item)| {
                let methods = item.as_object().expect("an item").keys();
                (path.clone(), methods.map(|method| method.to_uppercase()).collect())
            })
            .collect()
    }

    #[tokio::test]
    async fn each_route_is_in_the_document_and_nothing_else_is() {
        let documented = documented();
        let paths: BTreeSet<String> = routes().paths.iter().map(|path| (*path).to_owned()).collect();
        let mut expected: BTreeSet<String> = documented.keys().cloned().collect();
        expected.insert("/api/v1/panic".to_owned());
        assert_eq!(paths, expected);
        let server = Server::new(desired(vec![], vec![])).await;
        for (path, methods) in documented {
            let target = path.replace(['{', '}'], "");
            let answer = server.send("BREW", &target, "", "").await;
            answer.is_problem(405, "method_not_allowed");
            let allowed: BTreeSet<String> = answer
                .header("allow")
                .split(',')
                .map(|method| method.trim().to_owned())
                .collect();
            let allowed: BTreeSet<String> = allowed.into_iter().filter(|method| method != "HEAD").collect();
            assert_eq!(allowed, methods, "{path}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_say_what_can_go_wrong() {
        let document = serde_json::to_value(Api::openapi()).expect("JSON");
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("an item") {
                let name = operation["operationId"].as_str().expect("a name").to_owned();
                assert!(names.insert(name), "{method} {path}");
                let is_open = operation["security"] == serde_json::json!([{}]);
                assert_eq!(operation["responses"]["401"].is_null(), is_open, "{method} {path}");
            }
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name: String = reference.chars().take_while(|letter| *letter != '"').collect();
            assert!(schemas.contains_key(&name), "{name}");
        }
    }

    #[tokio::test]
    async fn the_document_and_the_page_are_served() {
        let server = Server::new(desired(vec![], vec![])).await;
        let document = server.get("/openapi.json").await.is(200);
        assert_eq!(document["info"]["title"], "hotdns");
        for (path, content_type) in [
            ("/docs", "text/html; charset=utf-8"),
            ("/docs/page.js", "text/javascript; charset=utf-8"),
            ("/docs/page.css", "text/css; charset=utf-8"),
            ("/ui/", "text/html; charset=utf-8"),
            ("/ui/page.js", "text/javascript; charset=utf-8"),
            ("/ui/page.css", "text/css; charset=utf-8"),
        ] {
            let answer = server.get(path).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
            assert!(
                answer
                    .header("content-security-policy")
                    .starts_with("default-src 'none'")
            );
            assert!(
                !answer.body.contains("http://") && !answer.body.contains("https://"),
                "nothing from elsewhere"
            );
        }
    }
}
