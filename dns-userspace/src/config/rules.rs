//! `rules`: what is said to names that are not ours before anybody else is asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::choice::choices;
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use super::storage::StorageConfig;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::views::{Clients, ViewClients};
use crate::rules::{
    Action, Block, BlockAnswer, Pattern, Rewrite, RewriteScope, Rule, RuleViews, Template, Text as RuleText,
};

mod lists;
mod treat;

choices! {
    /// What blocked names get.
    Answer {
        /// NXDOMAIN.
        Nxdomain = "nxdomain",
        /// No data.
        Nodata = "nodata",
        /// REFUSED.
        Refused = "refused",
        /// Addresses.
        Sinkhole = "sinkhole",
        /// No reply.
        Drop = "drop",
    }
}

const EXAMPLE: &str = "rules: [{name: ads, block: {files: [hosts.txt]}}]";
const RULE_KEYS: &[&str] = &[
    "name", "clients", "views", "template", "block", "rewrite", "rpz", "ttl", "filter",
];
const TEMPLATE_KEYS: &[&str] = &["type", "zone", "match", "answer", "fallthrough"];
const BLOCK_KEYS: &[&str] = &["files", "urls", "names", "answer", "sinkhole", "refresh", "max_bytes"];
const REWRITE_KEYS: &[&str] = &["name", "suffix", "match", "to"];
const ANSWER_EXAMPLE: &str = "answer: \"{name} 60 IN A 172.20.0.3\"";
const NAME_BYTES: usize = 64;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::Live(&[("rules", |old, new| old.rules != new.rules)]),
};

pub(super) fn read(
    input: &Input<'_>,
    storage: &StorageConfig,
    views: &[ViewClients],
    findings: &mut Findings,
) -> Vec<Rule> {
    let of_views = Arc::new(Clients::new(views));
    let items = input.root.list("rules", EXAMPLE, findings).unwrap_or_default();
    let mut rules = Vec::with_capacity(items.len());
    let mut first: HashMap<Box<str>, FilePosition> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a rule", RULE_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let name = section.short_text("name", "name: ads", NAME_BYTES, findings);
        if section.position("name").is_none() {
            section.required_text("name", "name: ads", findings);
        }
        let clients = section.prefixes("clients", "clients: [10.0.0.0/8]", findings);
        let views = read_views(&section, views, &of_views, findings);
        let action = read_action(input, storage, &section, findings);
        let Some(name) = name else {
            continue;
        };
        let at = section.position("name").unwrap_or(section.at);
        if let Some(first) = first.insert(name.clone(), at) {
            let name = name.into();
            findings.error(at, ConfigProblem::DuplicateRule { name, first });
            continue;
        }
        if let Some(action) = action {
            rules.push(Rule {
                name: name.into(),
                clients,
                views,
                action,
            });
        }
    }
    rules
}

fn read_views(
    rule: &CheckedMapping<'_>,
    views: &[ViewClients],
    clients: &Arc<Clients>,
    findings: &mut Findings,
) -> Option<RuleViews> {
    let texts = rule.texts("views", "views: [office]", findings)?;
    let mut numbers = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        let mut of_views = (1..).zip(views);
        match of_views.find(|(_, view)| *view.name == *text) {
            Some((number, _)) => numbers.push(number),
            None => {
                let known = views.iter().map(|view| view.name.to_string()).collect();
                let name = text.to_owned();
                findings.error(at, ConfigProblem::UnknownView { name, known });
            }
        }
    }
    Some(RuleViews {
        clients: Arc::clone(clients),
        numbers,
    })
}

fn read_action(
    input: &Input<'_>,
    storage: &StorageConfig,
    rule: &CheckedMapping<'_>,
    findings: &mut Findings,
) -> Option<Action> {
    let actions = ["template", "block", "rewrite", "rpz", "ttl", "filter"];
    let given: Vec<&str> = actions.into_iter().filter(|key| rule.has_value(key)).collect();
    match given[..] {
        ["template"] => read_template(&rule.section("template", TEMPLATE_KEYS, findings), findings),
        ["block"] => read_block(input, storage, &rule.section("block", BLOCK_KEYS, findings), findings),
        ["rewrite"] => read_rewrite(&rule.section("rewrite", REWRITE_KEYS, findings), findings),
        ["rpz"] => lists::read_rpz(rule, input.base, storage, findings),
        ["ttl"] => treat::read_ttl(rule, findings),
        ["filter"] => treat::read_filter(rule, findings),
        _ => {
            findings.error(rule.at, ConfigProblem::NotOneAction);
            None
        }
    }
}

fn read_template(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Action> {
    let before = findings.error_count();
    let qtype = section
        .text("type", "type: A", findings)
        .and_then(|text| read_type(text, findings));
    let zone = section.text("zone", "zone: traefik.", findings);
    let zone = zone.and_then(|text| text.to_name("zone", findings));
    let pattern = read_pattern(section, findings);
    let answer = section.text_or_texts("answer", ANSWER_EXAMPLE, findings);
    let falls_through = section
        .boolean("fallthrough", "fallthrough: true", findings)
        .unwrap_or(false);
    if section.position("answer").is_none() {
        let problem = ConfigProblem::MissingKey {
            key: "answer",
            section: "`template`".to_owned(),
            example: ANSWER_EXAMPLE,
        };
        findings.error(section.at, problem);
    }
    if zone.is_none() && pattern.is_none() && findings.error_count() == before {
        findings.error(section.at, ConfigProblem::TemplateForAll);
    }
    if findings.error_count() != before {
        return None;
    }
    let lines: Vec<&str> = answer.iter().flatten().map(|text| text.text).collect();
    match Template::new(qtype, zone, pattern, &lines, falls_through) {
        Ok(template) => Some(Action::Template(template)),
        Err(error) => {
            let at = section.position("answer").unwrap_or(section.at);
            let error = error.to_string();
            findings.error(at, ConfigProblem::BadRule { key: "answer", error });
            None
        }
    }
}

/// A type of records, or `ANY` for all: then there is none.
fn read_type(Text { at, text }: Text<'_>, findings: &mut Findings) -> Option<RecordType> {
    if text.eq_ignore_ascii_case("ANY") {
        return None;
    }
    match text.parse::<RecordType>() {
        Ok(rtype) if rtype.is_data() => Some(rtype),
        Ok(rtype) => {
            findings.error(at, ConfigProblem::NotDataType { rtype });
            None
        }
        Err(error) => {
            findings.error(at, ConfigProblem::BadType { error });
            None
        }
    }
}

fn read_pattern(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Pattern> {
    let Text { at, text } = section.text("match", "match: '^([^.]+)\\.traefik\\.$'", findings)?;
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let error = error.to_string();
            findings.error(at, ConfigProblem::BadRule { key: "match", error });
            None
        }
    }
}

fn read_block(
    input: &Input<'_>,
    storage: &StorageConfig,
    section: &CheckedMapping<'_>,
    findings: &mut Findings,
) -> Option<Action> {
    let before = findings.error_count();
    let urls = section.texts("urls", "urls: [\"https://lists.example/ads.txt\"]", findings);
    let urls = lists::read_remotes(section, &urls.unwrap_or_default(), storage, findings);
    let files = section
        .texts("files", "files: [hosts.txt]", findings)
        .unwrap_or_default();
    let names = section
        .texts("names", "names: [ads.example]", findings)
        .unwrap_or_default();
    let answer = section.choice("answer", findings).unwrap_or(Answer::Nxdomain);
    let sinkhole = section.texts("sinkhole", "sinkhole: [192.0.2.1]", findings);
    let mut addresses = Vec::new();
    for Text { at, text } in sinkhole.iter().flatten() {
        match text.parse::<IpAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let (key, text) = ("sinkhole".to_owned(), (*text).to_owned());
                findings.error(*at, ConfigProblem::BadAddress { key, text, port: 53 });
            }
        }
    }
    if sinkhole.is_some() && answer != Answer::Sinkhole {
        let at = section.position("sinkhole").unwrap_or(section.at);
        findings.error(at, ConfigProblem::SinkholeWithoutAnswer);
    }
    if files.is_empty() && names.is_empty() && !section.has_value("urls") {
        let problem = ConfigProblem::MissingKey {
            key: "files",
            section: "`block`".to_owned(),
            example: "files: [hosts.txt]",
        };
        findings.error(section.at, problem);
    }
    for Text { at, text } in &names {
        let name = text
            .trim_start_matches("@@")
            .trim_start_matches("||")
            .trim_end_matches('^');
        let name = name.strip_prefix("*.").unwrap_or(name);
        if let Err(error) = Name::parse_given(name) {
            let key = "names".to_owned();
            findings.error(*at, ConfigProblem::BadName { key, error });
        }
    }
    let block = Block {
        files: files.iter().map(|file| input.base.join(file.text)).collect(),
        urls,
        names: names.iter().map(|name| Arc::from(name.text)).collect(),
        answer: match answer {
            Answer::Nxdomain => BlockAnswer::Nxdomain,
            Answer::Nodata => BlockAnswer::Nodata,
            Answer::Refused => BlockAnswer::Refused,
            Answer::Drop => BlockAnswer::Drop,
            Answer::Sinkhole if addresses.is_empty() => {
                BlockAnswer::Sinkhole(vec![IpAddr::from([0; 4]), IpAddr::from([0u16; 8])])
            }
            Answer::Sinkhole => BlockAnswer::Sinkhole(addresses),
        },
    };
    (findings.error_count() == before).then_some(Action::Block(block))
}

fn read_rewrite(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Action> {
    let to = section.required_text("to", "to: \"$1.db.\"", findings);
    let given = ["name", "suffix", "match"].map(|key| section.has_value(key));
    if given.iter().filter(|is_given| **is_given).count() != 1 {
        findings.error(section.at, ConfigProblem::NotOneScope);
        return None;
    }
    let name = |key: &'static str, findings: &mut Findings| {
        let text = section.text(key, "name: www.example.", findings)?;
        text.to_name(key, findings)
    };
    let to = to?;
    let scope = match given {
        [true, _, _] => RewriteScope::Name(name("name", findings)?, to.to_name("to", findings)?),
        [_, true, _] => RewriteScope::Suffix(name("suffix", findings)?, to.to_name("to", findings)?),
        _ => {
            let pattern = read_pattern(section, findings)?;
            match RuleText::parse(to.text, Some(&pattern)) {
                Ok(text) => RewriteScope::Match(pattern, text),
                Err(error) => {
                    let error = error.to_string();
                    findings.error(to.at, ConfigProblem::BadRule { key: "to", error });
                    return None;
                }
            }
        }
    };
    Some(Action::Rewrite(Rewrite { scope }))
}
