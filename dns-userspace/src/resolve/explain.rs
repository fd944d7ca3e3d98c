//! What becomes of a name that is not ours, in words, without asking anybody: rules, special names, routes, the cache.

use std::net::IpAddr;

use super::Forwarder;
use super::routes::Target;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::rules::{Search, Verdict};

/// What becomes of a name that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignName {
    /// Who answers, in the words of the API: `reference` (this server by itself), `cache`, `upstream` or `refused`.
    pub answered_by: &'static str,
    /// The rule that has something to say to it.
    pub rule: Option<String>,
    /// How it comes to that, in sentences.
    pub steps: Vec<String>,
}

impl Forwarder {
    /// Explains what a client that may use the upstream gets. To look through a large cache takes a while.
    pub fn explain(&self, name: &Name, rtype: RecordType, client: IpAddr) -> ForeignName {
        let mut found = ForeignName {
            answered_by: "reference",
            rule: None,
            steps: Vec::new(),
        };
        let mut name = name.clone();
        // A name that was replaced is not replaced again.
        for may_rewrite in [true, false] {
            let Some((rule, verdict)) = self.rules.first(name.as_wire(), rtype, client, may_rewrite) else {
                break;
            };
            found.rule = Some(rule.to_string());
            found.steps.push(match verdict {
                Verdict::Pass | Verdict::Answer(_) => format!("The rule `{rule}` answers."),
                Verdict::Blocked(_) => format!("The rule `{rule}` blocks {name}."),
                Verdict::Drop => {
                    found.answered_by = "refused";
                    format!("The rule `{rule}` blocks {name}: the client gets no reply.")
                }
                Verdict::Search(Search(names)) => {
                    let names: Vec<String> = names.iter().map(Name::to_string).collect();
                    format!(
                        "{rule}: the name is an alias of the first of these that is ours: {}.",
                        names.join(", ")
                    )
                }
                Verdict::Rewritten(other) => {
                    found
                        .steps
                        .push(format!("The rule `{rule}` looks {other} up in the place of {name}."));
                    name = other;
                    continue;
                }
            });
            return found;
        }
        let lower = name.as_wire().to_ascii_lowercase();
        let view = self.local.as_ref().map_or(0, |local| local.view_of(client));
        let set = match self.route_of(&lower, view) {
            Target::Special(apex, _) => {
                found.steps.push(format!(
                    "{apex} is a special name: it is answered here, and nobody is asked."
                ));
                return found;
            }
            Target::Nobody => {
                found.answered_by = "refused";
                found
                    .steps
                    .push(format!("No route leads from {name} to an upstream server."));
                return found;
            }
            Target::Set(set) => self.set_name(*set).to_owned(),
        };
        found
            .steps
            .push(format!("{name} goes to the upstream servers of `{set}`."));
        let entries = self.cache.as_ref().map_or_else(Vec::new, |cache| {
            cache.list(Some(&name), |number| self.set_name(number).to_owned())
        });
        let rtype = rtype.to_string();
        let kept = entries
            .into_iter()
            .find(|entry| entry.r#type == rtype && entry.upstream == set && !entry.stale);
        found.answered_by = match kept {
            Some(entry) => {
                found
                    .steps
                    .push(format!("The cache has the answer for another {} s.", entry.ttl));
                "cache"
            }
            None => "upstream",
        };
        found
    }
}
