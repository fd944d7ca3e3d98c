//! A webhook that takes what Slack's take: it is told of changes to records of objects that ask for it
//! (`slack-notify`).
//!
//! ```text
//! wanted, before and now ─► what came, changed, went, of marked objects ─► one message ─► POST {"text": …}
//! ```
//!
//! The URL is a secret: it is read from its file for each message, and is in no log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tracing::info;

use super::provider::{Pace, agent, secret};
use super::status::TargetState;
use super::wanted::Wanted;
use super::{Around, Target};
use crate::config::SlackConfig;
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::RecordType;

/// Before the sources are asked again whether they are in step.
const WAIT: Duration = Duration::from_millis(500);
/// Lines of one message at most.
const MOST_LINES: usize = 40;
/// Messages that wait at most; of more the oldest are forgotten, and counted.
const MOST_WAITING: usize = 1000;

/// A webhook.
pub(super) struct Slack {
    config: SlackConfig,
    agent: ureq::Agent,
    pace: Pace,
    /// What was wanted last; `None`: nothing is known yet, and nothing is told of what is there already.
    known: Option<Known>,
    /// Whether all sources have been in step once.
    is_complete: bool,
    /// Lines that were not sent yet.
    waiting: Vec<String>,
    /// Lines that are forgotten since there were too many.
    forgotten: usize,
}

/// RRsets, and how each is told.
type Known = BTreeMap<(Name, RecordType), Told>;

#[derive(Clone, PartialEq)]
struct Told {
    record: String,
    object: String,
    is_marked: bool,
}

impl Slack {
    pub(super) fn new(config: SlackConfig) -> Self {
        Self {
            pace: Pace::new(config.max_rate, Duration::from_secs(60)),
            agent: agent(),
            config,
            known: None,
            is_complete: false,
            waiting: Vec::new(),
            forgotten: 0,
        }
    }

    fn look(&self, wanted: &Wanted, around: &Around) -> Known {
        let zones = &self.config.zones;
        let rrsets = wanted
            .iter()
            .filter(|(owner, _)| zones.is_empty() || zones.iter().any(|zone| owner.is_at_or_below(zone)));
        let told = rrsets.map(|(owner, rrset)| {
            let (source, object) = (rrset.origin.source().key(), rrset.origin.object().unwrap_or_default());
            let values: Vec<String> = rrset
                .rdatas
                .iter()
                .map(|rdata| rdata::format_value(rrset.rtype, rdata))
                .collect();
            let name = owner.to_string();
            let told = Told {
                record: format!(
                    "{} {} {} {}",
                    name.trim_end_matches('.'),
                    rrset.ttl,
                    rrset.rtype,
                    values.join(", ")
                ),
                object: format!("{object} ({source})"),
                is_marked: around.sources.marks().get(&source, object).notifies,
            };
            ((owner.clone(), rrset.rtype), told)
        });
        told.collect()
    }

    /// A line for each difference.
    fn note(&mut self, before: &Known, now: &Known) {
        let mut lines = Vec::new();
        for (key, told) in now {
            match before.get(key) {
                None if told.is_marked => lines.push(format!("created: `{}` of {}", told.record, told.object)),
                Some(old) if told.is_marked && old.record != told.record => {
                    lines.push(format!(
                        "updated: `{}`, was `{}`, of {}",
                        told.record, old.record, told.object
                    ));
                }
                _ => {}
            }
        }
        let gone = before
            .iter()
            .filter(|(key, told)| told.is_marked && !now.contains_key(*key));
        lines.extend(gone.map(|(_, told)| format!("deleted: `{}` of {}", told.record, told.object)));
        self.waiting.extend(lines);
        let over = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..over);
        self.forgotten += over;
    }

    fn send(&mut self, around: &Around) -> Result<(), String> {
        while !self.waiting.is_empty() && !around.stop.is_cancelled() {
            let count = self.waiting.len().min(MOST_LINES);
            let mut text = format!(
                "DNS records changed ({}):\n{}",
                self.config.name,
                self.waiting[..count].join("\n")
            );
            if self.forgotten > 0 {
                text.push_str(&format!("\n… and {} more before", self.forgotten));
            }
            if around.dry_run.is_on() {
                info!("target {}: dry run: would say {text}", self.key());
            } else {
                self.post(&text)?;
            }
            self.forgotten = 0;
            self.waiting.drain(..count);
        }
        Ok(())
    }

    fn post(&mut self, text: &str) -> Result<(), String> {
        let url = secret(&self.config.url).map_err(|error| error.to_string())?;
        self.pace.wait();
        // Errors of the client may show the URL.
        let sent = self.agent.post(&url).send_json(json!({ "text": text }));
        let response = sent.map_err(|error| {
            let what = match error {
                ureq::Error::Timeout(_) => "no answer in time",
                ureq::Error::HostNotFound => "its host has no address",
                ureq::Error::BadUri(_) => "its URL is none",
                ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "no TLS with it",
                _ => "no connection",
            };
            format!("the webhook: {what}")
        })?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("the webhook answers HTTP {}", status.as_u16())),
        }
    }
}

impl Target for Slack {
    fn key(&self) -> String {
        format!("slack/{}", self.config.name)
    }

    fn stand_by(&mut self) {
        // Another replica tells it.
        self.known = None;
        self.waiting.clear();
    }

    fn write(&mut self, wanted: &Wanted, around: &Around) -> Result<Option<Duration>, String> {
        let now = self.look(wanted, around);
        let mut sources = around.sources.iter();
        self.is_complete |= sources.all(|source| source.status.report().state.is_settled());
        if !self.is_complete {
            // What the sources bring at the start is no change.
            self.known = None;
            return Ok(Some(WAIT));
        }
        if let Some(before) = self.known.take() {
            self.note(&before, &now);
        }
        self.known = Some(now);
        let sent = self.send(around);
        let pending = self.waiting.len();
        around.figures.set_pending(&self.key(), pending);
        around.targets.update(&self.key(), |report| {
            report.state = if sent.is_ok() {
                TargetState::Synced
            } else {
                TargetState::Failing
            };
            report.error = sent.as_ref().err().cloned();
            report.pending_count = pending;
        });
        sent.map(|()| None)
    }
}
