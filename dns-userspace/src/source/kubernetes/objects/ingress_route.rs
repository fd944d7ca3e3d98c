//! IngressRoute and IngressRouteTCP (`traefik.io`): the names that their rules route.
//!
//! ``Host(`*.foo.com`)`` stands for names with exactly one label in the place of the `*`. These objects have no status
//! with addresses: they lead to the annotation `target`, else to the configured `targets`.

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::kinds::Kind;
use super::{CLASS_ANNOTATION, Object, Wanted};
use crate::model::record::Wildcard;
use crate::traefik_rule::{self, Dialect};

/// What is read of an IngressRoute.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct IngressRoute {
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    routes: Vec<Route>,
    parent_refs: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Route {
    #[serde(rename = "match")]
    rule: String,
    syntax: Option<String>,
}

impl IngressRoute {
    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let publishing = cluster.publishing();
        let class = object.meta.annotations.get(CLASS_ANNOTATION);
        if let Some(class) = class {
            if !publishing.ingress_classes.is_empty() && !publishing.ingress_classes.contains(class) {
                return wanted.note(format!("its class `{class}` is none of `ingress_classes`"));
            }
            wanted.set_view_of_class(class);
        }
        if !self.spec.parent_refs.is_empty() {
            return wanted.note("it refines a parent: the names are its parent's");
        }
        let default_syntax = publishing.is_traefik_v2.then_some("v2");
        let mut hosts: Vec<(String, Wildcard)> = Vec::new();
        let mut errors = Vec::new();
        for Route { rule, syntax } in &self.spec.routes {
            let syntax = syntax.as_deref().or(default_syntax);
            let dialect = match object.kind {
                Kind::IngressRouteTcp => Dialect::tcp(syntax),
                _ => Dialect::http(syntax),
            };
            let names = match traefik_rule::parse(rule, dialect) {
                Ok(rule) => traefik_rule::hosts(&rule),
                Err(error) => {
                    errors.push(error.to_string());
                    continue;
                }
            };
            let one_label = names.one_label.iter().map(|name| (name, Wildcard::OneLabel));
            let plain = names
                .exact
                .iter()
                .chain(&names.any_depth)
                .map(|name| (name, Wildcard::Rfc4592));
            hosts.extend(
                plain
                    .chain(one_label)
                    .map(|(name, wildcard)| (name.to_string(), wildcard)),
            );
            for underivable in names.underivable {
                wanted.note(format!("{}: {}", underivable.what, underivable.reason));
            }
        }
        let named = object.meta.annotations().list("hostname");
        hosts.extend(named.into_iter().map(|host| (host.to_owned(), Wildcard::OneLabel)));
        if hosts.is_empty() && !errors.is_empty() {
            return wanted.fail(errors.join("; "));
        }
        for error in errors {
            wanted.note(error);
        }
        let targets = wanted.targets(Vec::new());
        wanted.point_all(&hosts, &targets);
    }
}
