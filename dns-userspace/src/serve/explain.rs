//! Why a query gets the answer that it gets: from which plane, zone, view, source, object and record.
//!
//! The query is made and given to the answering core on the shared table, as a socket's worker does. Where that
//! answers, the XDP program does too, which runs the same core on the same table; where it passes, its reason is the
//! program's. What is in the answer is looked up in the snapshot as the reference answerer does.

use std::net::IpAddr;
use std::sync::Arc;

use super::fastpath::{Fast, Worker};
use super::policy::Policies;
use super::xdp::SharedProgram;
use crate::answer::{Admission, End, Environment, Resolution, resolve};
use crate::cookies::Cookies;
use crate::lines::CompileOptions;
use crate::model::access::Access;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;
use crate::publish::{Served, TableError};

/// What explains queries.
pub struct Explainer {
    /// What is served.
    pub served: Arc<Served>,
    /// How the answerers answer.
    pub policies: Arc<Policies>,
    /// Cookies of the clients.
    pub cookies: Arc<Cookies>,
    /// The XDP program, where there is one.
    pub program: SharedProgram,
}

/// Where an answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The XDP program.
    Xdp,
    /// The same core, on a socket: there is no XDP program on an interface.
    FastPath,
    /// The reference answerer.
    Reference,
    /// An upstream server.
    Upstream,
    /// Nobody: REFUSED, or silence where the access list says so.
    Refused,
}

/// An explanation.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Where the answer is made.
    pub answered_by: AnsweredBy,
    /// Why the XDP program and the fast path pass the query, where they do.
    pub pass_reason: Option<&'static str>,
    /// RCODE in words; none where it is the upstream's.
    pub rcode: Option<&'static str>,
    /// The zone that answers.
    pub zone: Option<Name>,
    /// The view that the client is in.
    pub view: Option<ViewName>,
    /// The RRsets of the answer, each with its owner: aliases in order, then what they lead to.
    pub answer: Vec<(Name, Arc<RrSet>)>,
    /// The wildcard that the name's answer is made from.
    pub wildcard: Option<Name>,
    /// How it came to that, in sentences.
    pub steps: Vec<String>,
}

impl AnsweredBy {
    /// The word of the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::FastPath => "fast_path",
            Self::Reference => "reference",
            Self::Upstream => "upstream",
            Self::Refused => "refused",
        }
    }
}

impl Explainer {
    /// Explains the query of a client for a name and type: over UDP, with EDNS and RD=1.
    pub fn explain(&self, name: &Name, qtype: RecordType, client: IpAddr) -> Explanation {
        let whole = self.served.snapshot();
        let view = usize::from(whole.views.clients.view_of(client)).checked_sub(1);
        let view = view
            .and_then(|at| whole.views.list.get(at))
            .map(|view| view.name.clone());
        let snapshot = whole.for_client(client);
        let environment = self.environment_of(client);
        let found = resolve(snapshot, name, qtype, &environment.resolve_options(), &mut |_| {});
        let zone = snapshot.zone_asked(name, qtype).map(|zone| zone.apex.clone());
        let mut explanation = Explanation {
            answered_by: AnsweredBy::Reference,
            pass_reason: None,
            rcode: Some(rcode_label(found.rcode)),
            wildcard: wildcard(snapshot, name, &found),
            answer: answer(name, &found),
            zone,
            view,
            steps: Vec::new(),
        };
        explanation.say_where(name, client);
        self.find_plane(&mut explanation, &whole, (name, qtype, client), &environment, &found);
        explanation
    }

    /// The same for these names, if this snapshot were served.
    pub fn tentative(
        &self,
        snapshot: &Arc<Snapshot>,
        names: impl IntoIterator<Item = NameKey>,
    ) -> Result<Self, TableError> {
        let policy = self.policies.load();
        let options = CompileOptions::of(&policy.environment, policy.forwarder.is_some());
        Ok(Self {
            served: Arc::new(Served::tentative(Arc::clone(snapshot), names, &options)?),
            policies: Arc::clone(&self.policies),
            cookies: Arc::clone(&self.cookies),
            program: self.program.clone(),
        })
    }

    /// Whether the XDP program sends what was explained.
    pub fn is_of_xdp(&self, explanation: &Explanation) -> bool {
        let is_attached = || self.interfaces() > 0;
        explanation.answered_by != AnsweredBy::Upstream && explanation.pass_reason.is_none() && is_attached()
    }

    /// How many interfaces the XDP program is attached to.
    fn interfaces(&self) -> usize {
        let program = self.program.lock();
        program.as_ref().map_or(0, |program| program.interfaces().count())
    }

    /// The answer that the data has, for a client in the default or a view; without planes.
    pub fn data(&self, name: &Name, qtype: RecordType, client: IpAddr) -> (Resolution, Vec<(Name, Arc<RrSet>)>) {
        let whole = self.served.snapshot();
        let options = self.environment_of(client).resolve_options();
        let found = resolve(whole.for_client(client), name, qtype, &options, &mut |_| {});
        let answer = answer(name, &found);
        (found, answer)
    }

    fn environment_of(&self, client: IpAddr) -> Environment<'static> {
        let policy = self.policies.load();
        Environment {
            recursion_available: policy.recursion.iter().any(|prefix| prefix.contains(&client)),
            admission: Admission::Admitted,
            cookies: self.cookies.source(client),
            ..policy.environment
        }
    }

    fn find_plane(
        &self,
        explanation: &mut Explanation,
        whole: &Snapshot,
        (name, qtype, client): (&Name, RecordType, IpAddr),
        environment: &Environment<'static>,
        found: &Resolution,
    ) {
        let steps = &mut explanation.steps;
        let policy = self.policies.load();
        let server = policy.gate.access.as_ref();
        let server = server.map_or(Access::Allowed, |list| list.of(client));
        let zone = whole.access(name, qtype, client);
        for (access, whose) in [(server, "the server"), (zone, "the zone")] {
            if access != Access::Allowed {
                let what = if access == Access::Dropped {
                    "gets no answer"
                } else {
                    "gets REFUSED"
                };
                steps.push(format!(
                    "The access list of {whose} does not let {client} ask: it {what}."
                ));
                explanation.answered_by = AnsweredBy::Refused;
                explanation.rcode = (access == Access::Refused).then_some("REFUSED");
                explanation.answer.clear();
                return;
            }
        }
        if policy.gate.limits.is_enabled() {
            steps.push("There are rate limits, which this answer leaves out.".to_owned());
        }
        let interfaces = self.interfaces();
        let mut out = Vec::new();
        let mut worker = Worker::new(Arc::clone(&self.served));
        let fast = worker.answer(&query(name, qtype), environment, &mut out);
        if fast == Fast::Answered && worker.is_cached() {
            let what = if worker.is_ruled() {
                "what a rule says"
            } else {
                "the kept answer"
            };
            let who = if interfaces > 0 {
                "the XDP program and the sockets' fast path give it"
            } else {
                "the sockets' fast path gives it"
            };
            steps.push(format!("It is asked for often: {what} is promoted, and {who}."));
        }
        let is_foreign = found.end == End::NotOurs;
        explanation.answered_by = match fast {
            Fast::Answered if is_foreign => AnsweredBy::Refused,
            Fast::Answered if interfaces > 0 => {
                steps.push(format!(
                    "The table has the whole answer: the XDP program answers on its {interfaces} interface(s), and the \
                     sockets' fast path over TCP and elsewhere. A packet that is out of the ordinary (fragmented, too \
                     large for the MTU) passes."
                ));
                AnsweredBy::Xdp
            }
            Fast::Answered => {
                steps.push("The table has the whole answer. No XDP program is attached: sockets answer.".to_owned());
                AnsweredBy::FastPath
            }
            Fast::Pass(reason) => {
                steps.push(format!(
                    "XDP and the fast path pass the query, for the reason `{}`: see docs/metrics.md.",
                    reason.label()
                ));
                explanation.pass_reason = Some(reason.label());
                AnsweredBy::Reference
            }
        };
        let leaves = matches!(found.end, End::ChainLeaves(_));
        if (is_foreign || leaves) && environment.recursion_available {
            steps.push(format!(
                "{client} may use the upstream, which is asked for what is not ours."
            ));
            explanation.answered_by = AnsweredBy::Upstream;
            explanation.rcode = None;
        } else if is_foreign {
            steps.push(format!("{client} may not use an upstream: it gets REFUSED."));
            explanation.answered_by = AnsweredBy::Refused;
        } else if explanation.answered_by == AnsweredBy::Reference {
            steps.push("The reference answerer answers, from the same records.".to_owned());
        }
    }
}

impl Explanation {
    /// What the records say.
    fn say_where(&mut self, name: &Name, client: IpAddr) {
        let steps = &mut self.steps;
        match &self.view {
            Some(view) => steps.push(format!("{client} is in the view `{view}`.")),
            None => steps.push(format!("{client} is in no view: it gets the default.")),
        }
        match &self.zone {
            Some(zone) => steps.push(format!("{name} is in the zone {zone}.")),
            None if self.answer.is_empty() => steps.push(format!("{name} is in no zone of this server.")),
            None => steps.push(format!("{name} is an overlay: it is in no zone of this server.")),
        }
        if let Some(wildcard) = &self.wildcard {
            steps.push(format!("There is no {name}: the wildcard {wildcard} stands for it."));
        }
        for (owner, rrset) in &self.answer {
            let values = rrset.rdatas.len();
            let (rtype, origin) = (rrset.rtype, &rrset.origin);
            steps.push(format!("{owner} {rtype}: {values} value(s), from {origin}."));
        }
        if self.answer.is_empty()
            && let Some(rcode) = self.rcode
            && rcode != "REFUSED"
        {
            steps.push(format!("There is nothing of this type: {rcode}."));
        }
    }
}

/// A query over UDP with EDNS and RD.
pub fn query(name: &Name, qtype: RecordType) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&qtype.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    // RFC 6891 §6.1.2: the root, OPT, 1232 octets, no flags, no options.
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    query
}

fn answer(name: &Name, found: &Resolution) -> Vec<(Name, Arc<RrSet>)> {
    let sections = found.answer.iter();
    sections
        .map(|section| (section.owner.name(name).clone(), Arc::clone(&section.rrset)))
        .collect()
}

/// The wildcard that stands for the name, where its own node is none.
fn wildcard(snapshot: &Snapshot, name: &Name, found: &Resolution) -> Option<Name> {
    let key = name.key();
    let is_covered = !found.answer.is_empty() && snapshot.node(&key).is_none();
    let mut above = is_covered.then(|| key.parent()).flatten();
    while let Some(encloser) = above {
        let wildcard = encloser.wildcard_child();
        if let Some(node) = snapshot.node(&wildcard) {
            return Some(node.owner(&wildcard));
        }
        above = encloser.parent();
    }
    None
}

/// The word for an RCODE (RFC 6895 §2.3).
pub fn rcode_label(rcode: u8) -> &'static str {
    match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        _ => "OTHER",
    }
}
