//! `hotdns_rule_…`: rules with lists, and those that change answers.

use std::sync::Arc;

use prometheus::IntGaugeVec;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::gauges;
use crate::rules::RuleBook;

/// Shows the rules.
pub(super) struct RulesCollector {
    rules: Arc<RuleBook>,
    descs: Vec<Desc>,
}

impl RulesCollector {
    pub(super) fn new(rules: Arc<RuleBook>) -> Self {
        let families = families(&rules);
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { rules, descs }
    }
}

impl Collector for RulesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.rules);
        families.iter().flat_map(Collector::collect).collect()
    }
}

fn families(rules: &RuleBook) -> [IntGaugeVec; 4] {
    let names = gauges("hotdns_rule_names", "Names in the lists of a rule.", &["rule"]);
    let changed = gauges(
        "hotdns_rule_changed_answers",
        "Answers of upstream that a rule has changed since the start.",
        &["rule"],
    );
    let ages = gauges(
        "hotdns_rule_list_age_seconds",
        "Seconds since a list was seen to be what it is; absent where it was not fetched yet.",
        &["rule", "url"],
    );
    let failing = gauges(
        "hotdns_rule_list_failing",
        "1 where the last look at a list failed, else 0.",
        &["rule", "url"],
    );
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for rule in rules.list() {
        if let Some(count) = rule.names {
            names.with_label_values(&[&rule.name]).set(number(count as u64));
        }
        if let Some(count) = rule.changed {
            changed.with_label_values(&[&rule.name]).set(number(count));
        }
        for list in rule.lists {
            let labels = [&rule.name, &list.url];
            if let Some(age) = list.age {
                ages.with_label_values(&labels).set(number(age));
            }
            failing.with_label_values(&labels).set(i64::from(list.error.is_some()));
        }
    }
    [names, changed, ages, failing]
}
