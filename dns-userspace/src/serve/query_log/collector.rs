//! The thread that reads what workers and XDP programs have answered, and gives it to those who want it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use dns_common::tap::TapSettings;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

use super::entry::{Entry, Head, address};
use super::line::Lines;
use super::outlet::{Outlet, Shape};
use super::queue::{Queues, Waiting};
use super::{QueryLogParts, Wishes, tap_settings};
use crate::config::Config;
use crate::model::name::Name;
use crate::observe::dnstap::Answered;
use crate::observe::gelf::{GelfMessage, host_name};

/// How long between looks where there are rings of XDP programs: while much comes, and while nothing does. What is in
/// the rings wakes nobody.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));
/// How long the thread sleeps, unless it is woken, where there are no rings.
const PAUSE: Duration = Duration::from_millis(200);
/// Entries that are taken at a time from the rings.
const AT_A_TIME: usize = 4096;
/// Entries of one look above which the next one comes sooner, and below which it comes later: to look costs as much as
/// some lines.
const USUAL: (usize, usize) = (256, 1024);
/// The level of a query in GELF: information.
const LEVEL: u8 = 6;

pub(super) struct Collector {
    queues: Arc<Queues>,
    parts: QueryLogParts,
    lines: Lines,
    outlet: Option<Outlet>,
    wishes: Arc<Wishes>,
    tap: TapSettings,
    host: String,
    random: u64,
    /// A line that is not written as it is.
    line: Vec<u8>,
}

impl Collector {
    pub(super) fn new(
        queues: Arc<Queues>,
        config: &Config,
        parts: QueryLogParts,
        outlet: Option<Outlet>,
        wishes: Arc<Wishes>,
    ) -> Self {
        Self {
            queues,
            lines: Lines::new(config.query_log.clone()),
            parts,
            outlet,
            wishes,
            tap: tap_settings(&config.query_log, &config.dnstap),
            host: host_name(),
            random: rand::random(),
            line: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        let queues = Arc::clone(&self.queues);
        let has_rings = self.tap.one_in != 0;
        let longest = if has_rings { LOOKS.1 } else { PAUSE };
        let (mut pause, mut spare) = (longest, Waiting::default());
        loop {
            queues.pause(pause);
            self.lines.follow(&self.parts.served.snapshot());
            let queued = queues.take(&mut spare, |entry| self.take(entry));
            let shown = if has_rings { self.drain() } else { 0 };
            if let Some(outlet) = &mut self.outlet {
                outlet.flush();
            }
            self.parts.top.rest();
            let Some(queued) = queued else {
                return;
            };
            pause = match queued + shown {
                AT_A_TIME.. => Duration::ZERO,
                count if count > USUAL.1 => (pause / 2).max(LOOKS.0),
                count if count < USUAL.0 => (pause * 2).clamp(LOOKS.0, longest),
                _ => pause.max(LOOKS.0),
            };
        }
    }

    /// Takes what XDP programs show.
    fn drain(&mut self) -> usize {
        // The program's clock and ours are read at the same moment.
        let (now, monotonic) = (SystemTime::now(), clock_gettime(ClockId::CLOCK_MONOTONIC));
        let monotonic = monotonic.map_or(Duration::ZERO, Duration::from);
        let (one_in, taps) = (self.tap.one_in, self.parts.taps.clone());
        let count = taps.drain(AT_A_TIME, |tapped, reply| {
            let client = address(tapped.client);
            let wants = self.wishes.of(client, one_in, &mut self.random);
            if wants.is_empty() {
                return;
            }
            let age = monotonic.saturating_sub(Duration::from_nanos(tapped.time_ns));
            let time = now.checked_sub(age).unwrap_or(now);
            let head = Head::of_xdp(tapped, client, time, wants, one_in.into());
            self.take(Entry {
                head: &head,
                query: &[],
                reply,
            });
        });
        self.parts.figures.xdp_untold.store(taps.lost(), Ordering::Relaxed);
        count
    }

    fn take(&mut self, entry: Entry<'_>) {
        let head = entry.head;
        if head.wants.top {
            let name = entry
                .question()
                .and_then(|question| Name::from_wire(question.name).ok());
            self.parts.top.note(name.as_ref(), head.client, head.weight);
        }
        if head.wants.dnstap
            && let Some(dnstap) = &self.parts.dnstap
        {
            let has_query = !entry.query.is_empty();
            dnstap.client(&Answered {
                transport: head.transport,
                client: (head.client, head.port),
                server: head.server,
                query: has_query.then_some((head.time, entry.query)),
                answered: head.time + head.took.unwrap_or_default(),
                reply: entry.reply,
            });
        }
        if head.wants.log
            && let Some(outlet) = &mut self.outlet
            && let Some(chosen) = self.lines.choose(entry)
        {
            match outlet.shape() {
                Shape::Lines => outlet.push(|out| {
                    self.lines.write(out, &chosen);
                    out.push(b'\n');
                }),
                Shape::Gelf => {
                    self.line.clear();
                    self.lines.write(&mut self.line, &chosen);
                    if let Some(message) = gelf(&self.line, &self.host, head.time) {
                        outlet.push(|out| {
                            out.extend_from_slice(&message);
                            out.push(0);
                        });
                    }
                }
            }
        }
    }
}

/// A line as a message in GELF.
fn gelf(line: &[u8], host: &str, time: SystemTime) -> Option<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    // The message has it as a number.
    fields.remove("time");
    // The line in a few words: `www.example.com. A NOERROR 192.0.2.1`.
    let words = ["name", "type", "rcode", "client"].map(|member| fields.get(member).and_then(Value::as_str));
    let short = words.map(|word| word.unwrap_or("-")).join(" ");
    let message = GelfMessage {
        host,
        time,
        level: LEVEL,
        short: &short,
        fields,
    };
    Some(message.encode())
}
