//! The thread that reads what workers and XDP programs have answered, and gives it to those who want it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use dns_common::tap::TapSettings;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::entry::Entry;
use super::line::line;
use super::outlet::{Outlet, Shape};
use super::{QueryLogParts, Wishes, tap_settings};
use crate::config::{Config, QueryLogConfig};
use crate::model::name::Name;
use crate::model::snapshot::Snapshot;
use crate::observe::dnstap::Answered;
use crate::observe::gelf::{GelfMessage, host_name};

/// How long the thread sleeps where nothing comes.
const PAUSE: Duration = Duration::from_millis(200);
/// How long between looks at the rings of XDP programs: while something comes, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// Entries that are taken at a time from the workers, and from the rings.
const AT_A_TIME: usize = 4096;
/// The level of a query in GELF: information.
const LEVEL: u8 = 6;

pub(super) struct Collector {
    receiver: Receiver<Entry>,
    config: QueryLogConfig,
    parts: QueryLogParts,
    outlet: Option<Outlet>,
    wishes: Arc<Wishes>,
    tap: TapSettings,
    host: String,
    random: u64,
}

impl Collector {
    pub(super) fn new(
        receiver: Receiver<Entry>,
        config: &Config,
        parts: QueryLogParts,
        outlet: Option<Outlet>,
        wishes: Arc<Wishes>,
    ) -> Self {
        Self {
            receiver,
            config: config.query_log.clone(),
            parts,
            outlet,
            wishes,
            tap: tap_settings(&config.query_log, &config.dnstap),
            host: host_name(),
            random: rand::random(),
        }
    }

    pub(super) fn run(mut self) {
        let has_rings = self.tap.one_in != 0;
        let mut pause = LOOKS.1;
        loop {
            let first = self.receiver.recv_timeout(if has_rings { pause } else { PAUSE });
            let snapshot = self.parts.served.snapshot();
            let is_over = matches!(first, Err(RecvTimeoutError::Disconnected));
            if let Ok(first) = first {
                self.take(&first, &snapshot);
                for _ in 0..AT_A_TIME {
                    let Ok(entry) = self.receiver.try_recv() else { break };
                    self.take(&entry, &snapshot);
                }
            }
            if has_rings {
                let count = self.drain(&snapshot);
                pause = match count {
                    AT_A_TIME.. => Duration::ZERO,
                    0 => (pause * 2).clamp(LOOKS.0, LOOKS.1),
                    _ => LOOKS.0,
                };
            }
            if let Some(outlet) = &mut self.outlet {
                outlet.flush();
            }
            self.parts.top.rest();
            if is_over {
                return;
            }
        }
    }

    /// Takes what XDP programs show.
    fn drain(&mut self, snapshot: &Snapshot) -> usize {
        // The program's clock and ours are read at the same moment.
        let (now, monotonic) = (SystemTime::now(), clock_gettime(ClockId::CLOCK_MONOTONIC));
        let monotonic = monotonic.map_or(Duration::ZERO, Duration::from);
        let mut entries = Vec::new();
        let (one_in, random, wishes) = (self.tap.one_in, &mut self.random, &self.wishes);
        let count = self.parts.taps.drain(AT_A_TIME, |head, reply| {
            let wants = wishes.of(super::entry::address(head.client), one_in, random);
            if wants.is_empty() {
                return;
            }
            let age = monotonic.saturating_sub(Duration::from_nanos(head.time_ns));
            let time = now.checked_sub(age).unwrap_or(now);
            entries.push(Entry::of_xdp(head, reply, time, wants, one_in.into()));
        });
        for entry in &entries {
            self.take(entry, snapshot);
        }
        let lost = self.parts.taps.lost();
        self.parts.figures.xdp_untold.store(lost, Ordering::Relaxed);
        count
    }

    fn take(&mut self, entry: &Entry, snapshot: &Snapshot) {
        let name = match entry.question() {
            Some(question) if entry.wants.log || entry.wants.top => Name::from_wire(question.name).ok(),
            _ => None,
        };
        if entry.wants.top {
            self.parts.top.note(name.as_ref(), entry.client, entry.weight);
        }
        if entry.wants.dnstap
            && let Some(dnstap) = &self.parts.dnstap
        {
            let has_query = !entry.query.is_empty();
            dnstap.client(&Answered {
                transport: entry.transport,
                client: (entry.client, entry.port),
                server: entry.server,
                query: has_query.then_some((entry.time, &*entry.query)),
                answered: entry.time + entry.took.unwrap_or_default(),
                reply: &entry.reply,
            });
        }
        if entry.wants.log
            && let Some(outlet) = &mut self.outlet
            && let Some(line) = line(entry, name.as_ref(), &self.config, snapshot)
        {
            match outlet.shape() {
                Shape::Lines => outlet.push(|out| {
                    // Into memory: this does not fail.
                    let _ = serde_json::to_writer(&mut *out, &line);
                    out.push(b'\n');
                }),
                Shape::Gelf => {
                    let Ok(Value::Object(mut fields)) = serde_json::to_value(&line) else {
                        return;
                    };
                    // The message has it as a number.
                    fields.remove("time");
                    let message = GelfMessage {
                        host: &self.host,
                        time: entry.time,
                        level: LEVEL,
                        short: &line.summary(),
                        fields,
                    };
                    let message = message.encode();
                    outlet.push(|out| {
                        out.extend_from_slice(&message);
                        out.push(0);
                    });
                }
            }
        }
    }
}
