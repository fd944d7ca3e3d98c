//! Answers that were made from other names.
//!
//! ```text
//! example.      MX 10 mail.example.     its MX answer carries the addresses of mail.example.
//! m.example.    CNAME www.example.      its answers are those of www.example.
//! c.example.    CNAME gone.example.     its answers say that gone.example. does not exist
//! ```
//!
//! A line says what the reference answerer answers, and the answerer tells which names it consulted. When one of them
//! gets other data, or comes or goes, the lines that were made from it differ too. [`Dependents`] is the reverse index:
//! from a consulted name to these.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::ancestors::is_in_use;
use super::compiler::Compiler;
use super::touched::Between;
use super::{below, zone};
use crate::answer::{Consulted, Resolution, resolve, resolve_at};
use crate::model::name::{Name, NameKey};
use crate::model::rdata::additional_target;
use crate::model::record::RecordType;
use crate::model::snapshot::{Node, RrSets, Snapshot};

impl Compiler<'_> {
    /// What the reference answerer answers, from other names too: these are noted as consulted.
    pub(super) fn resolve(&mut self, question: &Name, rtype: RecordType) -> Resolution {
        let options = self.options.resolve_options();
        if let Some((node, apex_of)) = self.answers
            && self.is_plain_type(node, rtype)
            && let Some(resolution) = resolve_at(self.snapshot, node, apex_of, question, rtype, &options)
        {
            // Made from the name's own data. What is above it does not show: where that comes to cover it (a cut, a
            // DNAME, a zone), all that is below differs anyway.
            return resolution;
        }
        let mut heard = Vec::new();
        let resolution = resolve(self.snapshot, question, rtype, &options, &mut |name| heard.push(name));
        for name in heard {
            let name = match name {
                // All that is in a zone depends on its apex, but little on the apex's own data, which change often.
                Consulted::Data(key) if self.is_unused_apex(&key, question, &resolution) => Consulted::Existence(key),
                name => name,
            };
            let (Consulted::Data(key) | Consulted::Existence(key)) = &name;
            if key != self.key && !self.consulted.contains(&name) {
                self.consulted.push(name);
            }
        }
        resolution
    }

    /// Whether the name has this type itself, and its RDATA ask for no other names: then what the name has is all of
    /// the answer, unless something takes the place of the name.
    fn is_plain_type(&self, node: &Node, rtype: RecordType) -> bool {
        let rrset = node.rrset(rtype);
        // RFC 4035 §3.1.4.1: DS may be another zone's.
        rtype != RecordType::DS
            && !self.key.is_wildcard()
            && rrset.is_some_and(|rrset| {
                rrset
                    .rdatas
                    .iter()
                    .all(|rdata| additional_target(rtype, rdata).is_none())
            })
    }

    /// Whether `key` is the apex of a zone, and nothing in the answer is its data, or would be if it had them.
    fn is_unused_apex(&self, key: &NameKey, question: &Name, resolution: &Resolution) -> bool {
        let Some(zone) = self.snapshot.zones.get(key) else {
            return false;
        };
        if resolution.is_flattened {
            // What an ALIAS went through does not show.
            return false;
        }
        if zone.rrset(key, RecordType::SOA).is_none() {
            // Left out for another source's CNAME. A negative answer will have it once it is back.
            return false;
        }
        let is_apex = |wire: &[u8]| wire.eq_ignore_ascii_case(zone.apex.as_wire());
        let mut sections = resolution
            .answer
            .iter()
            .chain(&resolution.authority)
            .chain(&resolution.additional);
        let is_used = sections.any(|section| {
            let owner = section.owner.name(question);
            let rrset = &section.rrset;
            is_apex(owner.as_wire())
                || rrset.rdatas.iter().any(|rdata| match rrset.rtype {
                    RecordType::CNAME => is_apex(rdata),
                    rtype => additional_target(rtype, rdata).is_some_and(is_apex),
                })
        });
        !is_used && !is_apex(question.as_wire())
    }
}

/// The lines that were made from one of `names`. `dependents` are those of the old lines.
pub(super) fn touches(between: Between<'_>, names: &mut BTreeSet<NameKey>, dependents: &[&Dependents]) {
    let mut more = Vec::new();
    for key in &*names {
        // Hardly any name has some: whether its standing differs is looked up for those alone.
        let (data, existence) = (Consulted::Data(key.clone()), Consulted::Existence(key.clone()));
        more.extend(dependents.iter().flat_map(|dependents| dependents.of(&data)).cloned());
        let mut of_existence = dependents
            .iter()
            .flat_map(|dependents| dependents.of(&existence))
            .peekable();
        if of_existence.peek().is_some() && between.differs(|snapshot| standing(snapshot, key)) {
            more.extend(of_existence.cloned());
        }
    }
    names.extend(more);
}

/// Whether `key` exists, and as what; its data apart. For an apex, what the zones above hold there is part of it: DS,
/// a wildcard's data, what is above glue.
fn standing(snapshot: &Snapshot, key: &NameKey) -> impl PartialEq + use<> {
    let exists = snapshot.zone_of(key).is_some_and(|zone| zone.name_exists(key));
    let zone = snapshot.zones.get(key);
    let above = key.lineage().skip(1).filter(|_| zone.is_some());
    let hidden: Vec<RrSets> = above
        .filter_map(|apex| Some(snapshot.zones.get(apex)?.nodes.get(key)?.rrsets.clone()))
        .collect();
    (
        is_in_use(snapshot, key),
        exists,
        below::covers(snapshot, key),
        zone::state(snapshot, key),
        hidden,
    )
}

/// Which lines were made from which names, both ways.
#[derive(Default)]
pub(crate) struct Dependents {
    of: HashMap<Consulted, HashSet<NameKey>>,
    consulted_by: HashMap<NameKey, Vec<Consulted>>,
}

impl Dependents {
    /// Says from what the answers of `name` were made now.
    pub(crate) fn set(&mut self, name: NameKey, consulted: Vec<Consulted>) {
        for before in self.consulted_by.remove(&name).unwrap_or_default() {
            if let Some(names) = self.of.get_mut(&before) {
                names.remove(&name);
                if names.is_empty() {
                    self.of.remove(&before);
                }
            }
        }
        if consulted.is_empty() {
            return;
        }
        for now in &consulted {
            self.of.entry(now.clone()).or_default().insert(name.clone());
        }
        self.consulted_by.insert(name, consulted);
    }

    /// The names whose answers depend on this.
    fn of(&self, consulted: &Consulted) -> impl Iterator<Item = &NameKey> {
        self.of.get(consulted).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_was_consulted_last() {
        let key = |text: &str| text.parse::<Name>().unwrap().key();
        let mut dependents = Dependents::default();
        let target = Consulted::Data(key("target."));
        dependents.set(key("a."), vec![target.clone()]);
        dependents.set(key("b."), vec![target.clone(), Consulted::Existence(key("x."))]);
        assert_eq!(dependents.of(&target).count(), 2);
        dependents.set(key("a."), vec![]);
        assert_eq!(dependents.of(&target).collect::<Vec<_>>(), [&key("b.")]);
        dependents.set(key("b."), vec![]);
        assert!(dependents.of.is_empty() && dependents.consulted_by.is_empty());
    }
}
