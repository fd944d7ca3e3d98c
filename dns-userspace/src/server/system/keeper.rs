//! Keeps the program where the configuration wants it, with the addresses that the host has, whatever comes and goes.
//!
//! ```text
//! look ─► links that are lost, or whose interface is another by now: detached
//!      ─► interfaces without the program: attached
//!      ─► own addresses, as far as there is room
//! ```
//!
//! Each look does what it can, says once what it cannot, and begins with what is there: one that fails half-way is made
//! good by the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::{debug, error, info, warn};

use crate::serve::xdp::SharedProgram;
use crate::serve::xdp::own::{self, Interface, Listen};
use crate::serve::xdp::{AttachError, Mode, OwnReport, Program, Room};

/// The keeper of one process's program.
pub(super) struct Keeper {
    program: SharedProgram,
    /// Names of the interfaces it is to be attached to.
    wanted: Vec<String>,
    mode: Mode,
    listens: Vec<Listen>,
    own_room: Arc<AtomicU32>,
    said: Said,
    /// Where the last look left the program, and with which addresses.
    left_at: Vec<u32>,
    left_with: OwnReport,
}

impl Keeper {
    pub(super) fn new(
        program: SharedProgram,
        wanted: Vec<String>,
        mode: Mode,
        listens: Vec<Listen>,
        own_room: Arc<AtomicU32>,
    ) -> Self {
        Self {
            program,
            wanted,
            mode,
            listens,
            own_room,
            said: Said::default(),
            left_at: Vec::new(),
            left_with: OwnReport::default(),
        }
    }

    /// Hands on the program's own log lines; whether it is not as the last look left it: it has lost a link, or another
    /// program has taken its place and could not take over all of it.
    pub(super) fn tick(&self) -> bool {
        match &mut *self.program.lock() {
            Some(program) => {
                program.flush_log();
                let is_as_left = indexes(program) == self.left_at && *program.own_report() == self.left_with;
                !is_as_left || !program.lost().is_empty()
            }
            None => false,
        }
    }

    /// Whether a new program would have room for more addresses.
    pub(super) fn wants_room(&self) -> bool {
        self.program.lacks_room()
    }

    /// Brings the program in step with these interfaces. False where something is left to be done.
    pub(super) fn look(&mut self, interfaces: &[Interface]) -> bool {
        let shared = self.program.clone();
        let mut shared = shared.lock();
        let Some(program) = &mut *shared else { return true };
        for index in program.lost() {
            let name = name_of(program, index);
            program.detach(index);
            warn!(
                interface = name,
                "XDP is no longer attached: the interface is gone, or somebody has detached it"
            );
        }
        let attached: Vec<_> = program
            .interfaces()
            .map(|(name, index, _)| (name.to_owned(), index))
            .collect();
        let steps = Steps::between(&self.wanted, interfaces, &attached);
        for index in steps.detach {
            info!(
                interface = name_of(program, index),
                "XDP is detached: another interface has this name"
            );
            program.detach(index);
        }
        let mut is_done = steps.missing.is_empty();
        for name in steps.missing {
            let error = AttachError::NoInterface(name.clone());
            self.said.say(&name, &error.to_string(), |text| error!("{text}"));
        }
        let mut report = OwnReport::default();
        if !steps.attach.is_empty() {
            // What is in there of interfaces that are gone goes before one of their indexes is another's.
            report = set_own(program, interfaces, &self.listens, &self.own_room);
        }
        for interface in steps.attach {
            if report.stale.contains(&interface.index) {
                is_done = false;
                continue;
            }
            match program.attach(interface, self.mode) {
                Ok(mode) => {
                    self.said.take_back(&interface.name);
                    info!(interface = interface.name, mode, "XDP attached");
                }
                Err(error) => {
                    is_done = false;
                    let text = format!("{error}; it is tried again");
                    self.said.say(&interface.name, &text, |text| error!("{text}"));
                }
            }
        }
        let report = set_own(program, interfaces, &self.listens, &self.own_room);
        for &index in &report.stale {
            is_done = false;
            let name = name_of(program, index);
            program.detach(index);
            error!(
                interface = name,
                "XDP is detached, since it would answer for an address that is not ours any more: {}",
                report.error.as_deref().unwrap_or("the kernel refuses to forget it"),
            );
        }
        self.say_own(program, &report);
        (self.left_at, self.left_with) = (indexes(program), report.clone());
        is_done && report.error.is_none() && report.left_out == 0
    }

    fn say_own(&mut self, program: &Program, report: &OwnReport) {
        const ABOUT: &str = "own addresses";
        debug!(addresses = report.held, left_out = report.left_out, "addresses for XDP");
        if report.left_out != 0 {
            let text = match &report.error {
                Some(error) => error.clone(),
                None => format!(
                    "there is room for {} entries, one for each port of an address and one more",
                    report.capacity
                ),
            };
            let text = format!(
                "XDP answers for {} of this host's addresses, userspace for the {} others: {text}",
                report.held, report.left_out
            );
            self.said.say(ABOUT, &text, |text| warn!("{text}"));
        } else if self.said.take_back(ABOUT) {
            info!("XDP answers for all {} addresses of this host again", report.held);
        }
        for (name, index, _) in program.interfaces() {
            let about = format!("addresses of {name}");
            if program.has_addresses_at(index) {
                self.said.take_back(&about);
            } else {
                let text = format!("no address of `{name}` is listened on: XDP passes all that comes there");
                self.said.say(&about, &text, |text| warn!("{text}"));
            }
        }
    }
}

/// Where the program is attached, in order.
fn indexes(program: &Program) -> Vec<u32> {
    let mut indexes: Vec<u32> = program.interfaces().map(|(_, index, _)| index).collect();
    indexes.sort_unstable();
    indexes
}

fn name_of(program: &Program, index: u32) -> String {
    let mut interfaces = program.interfaces();
    let found = interfaces.find(|(_, at, _)| *at == index);
    found.map_or_else(|| format!("index {index}"), |(name, _, _)| name.to_owned())
}

fn set_own(program: &mut Program, interfaces: &[Interface], listens: &[Listen], own_room: &AtomicU32) -> OwnReport {
    let entries = own::entries(interfaces, &indexes(program), listens);
    own_room.store(Room::own_for(entries.len()), Ordering::Relaxed);
    program.set_own(entries)
}

/// What is to be done about links.
#[derive(Debug, Default, PartialEq, Eq)]
struct Steps<'a> {
    /// From interfaces of these indexes.
    detach: Vec<u32>,
    /// To these.
    attach: Vec<&'a Interface>,
    /// Those that are not there.
    missing: Vec<String>,
}

impl<'a> Steps<'a> {
    /// `attached` are the names under which the program was attached, and the indexes. An interface that is renamed
    /// keeps it, until another one has the name that is wanted.
    fn between(wanted: &[String], interfaces: &'a [Interface], attached: &[(String, u32)]) -> Self {
        let mut steps = Self::default();
        for name in wanted {
            let there = interfaces.iter().find(|interface| interface.name == *name);
            let link = attached
                .iter()
                .find(|(attached, _)| attached == name)
                .map(|(_, index)| *index);
            match (there, link) {
                (Some(interface), Some(index)) if interface.index == index => {}
                (Some(interface), link) => {
                    steps.detach.extend(link);
                    steps.attach.push(interface);
                }
                (None, Some(index)) if interfaces.iter().any(|interface| interface.index == index) => {}
                (None, link) => {
                    steps.detach.extend(link);
                    steps.missing.push(name.clone());
                }
            }
        }
        steps
    }
}

/// What was said last, by what it is about: the same is not said again.
#[derive(Default)]
struct Said(HashMap<String, String>);

impl Said {
    fn say(&mut self, about: &str, text: &str, say: impl FnOnce(&str)) {
        if self.0.insert(about.to_owned(), text.to_owned()).as_deref() != Some(text) {
            say(text);
        }
    }

    /// Whether something was said that is no longer so.
    fn take_back(&mut self, about: &str) -> bool {
        self.0.remove(about).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            mac: [0; 6],
            mtu: 1500,
            vlan: None,
            is_veth_or_loopback: false,
            addresses: Vec::new(),
        }
    }

    /// Detached indexes, attached ones, missing names; `a` and `b` are wanted.
    fn steps(interfaces: &[(&str, u32)], attached: &[(&str, u32)]) -> (Vec<u32>, Vec<u32>, Vec<String>) {
        let wanted = ["a", "b"].map(str::to_owned);
        let interfaces: Vec<_> = interfaces.iter().map(|(name, index)| interface(name, *index)).collect();
        let attached: Vec<_> = attached
            .iter()
            .map(|(name, index)| ((*name).to_owned(), *index))
            .collect();
        let Steps {
            detach,
            attach,
            missing,
        } = Steps::between(&wanted, &interfaces, &attached);
        (
            detach,
            attach.iter().map(|interface| interface.index).collect(),
            missing,
        )
    }

    #[test]
    fn each_interface_is_followed_on_its_own() {
        let b = || vec!["b".to_owned()];
        // At start, all there or one missing.
        assert_eq!(
            steps(&[("a", 2), ("b", 3), ("c", 4)], &[]),
            (vec![], vec![2, 3], vec![])
        );
        assert_eq!(steps(&[("a", 2)], &[]), (vec![], vec![2], b()));
        // Nothing to do.
        assert_eq!(
            steps(&[("a", 2), ("b", 3)], &[("a", 2), ("b", 3)]),
            (vec![], vec![], vec![])
        );
        // One is gone, and comes again under another index.
        assert_eq!(steps(&[("a", 2)], &[("a", 2), ("b", 3)]), (vec![3], vec![], b()));
        assert_eq!(steps(&[("a", 2), ("b", 7)], &[("a", 2)]), (vec![], vec![7], vec![]));
        assert_eq!(
            steps(&[("a", 2), ("b", 7)], &[("a", 2), ("b", 3)]),
            (vec![3], vec![7], vec![])
        );
        // One is renamed, and then another one has its name.
        assert_eq!(
            steps(&[("a", 2), ("x", 3)], &[("a", 2), ("b", 3)]),
            (vec![], vec![], vec![])
        );
        assert_eq!(
            steps(&[("a", 2), ("x", 3), ("b", 4)], &[("a", 2), ("b", 3)]),
            (vec![3], vec![4], vec![])
        );
        // They change names.
        assert_eq!(
            steps(&[("a", 3), ("b", 2)], &[("a", 2), ("b", 3)]),
            (vec![2, 3], vec![3, 2], vec![])
        );
    }

    #[test]
    fn the_same_is_said_once() {
        let (mut said, mut heard) = (Said::default(), Vec::new());
        for text in ["one", "one", "two", "one"] {
            said.say("x", text, |text| heard.push(text.to_owned()));
        }
        assert_eq!(heard, ["one", "two", "one"]);
        assert!(said.take_back("x") && !said.take_back("x"));
    }
}
