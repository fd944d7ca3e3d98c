//! How a socket's query is answered: the fast path first, then the reference answerer, then upstream.

use std::net::IpAddr;
use std::sync::Arc;

use dns_common::order::next;
use ipnet::IpNet;

use super::worker::{Answerer, Disposition};
use crate::answer::{Environment, Identity, Outcome, Owner, Transport, respond};
use crate::cookies::Cookies;
use crate::fastpath::{Fast, Worker};
use crate::forward::PartialChain;
use crate::publish::Served;

/// The answerer of one worker.
pub struct LocalAnswerer {
    served: Arc<Served>,
    fast: Worker,
    environment: Environment<'static>,
    identity: Arc<Identity>,
    cookies: Arc<Cookies>,
    recursion: Arc<[IpNet]>,
    /// From which the order of RRs is drawn.
    random: u64,
}

impl LocalAnswerer {
    /// Answers from what is served. `recursion` are the clients that may use the upstream, none where there is none;
    /// transport, RA, cookies, identity and random number of `environment` are set for each query.
    pub fn new(
        served: Arc<Served>,
        environment: Environment<'static>,
        identity: Arc<Identity>,
        cookies: Arc<Cookies>,
        recursion: Arc<[IpNet]>,
    ) -> Self {
        let fast = Worker::new(Arc::clone(&served));
        Self {
            served,
            fast,
            environment,
            identity,
            cookies,
            recursion,
            random: rand::random(),
        }
    }
}

impl Answerer for LocalAnswerer {
    fn answer(&mut self, query: &[u8], client: IpAddr, transport: Transport, out: &mut Vec<u8>) -> Disposition {
        let client = client.to_canonical();
        let recursion_available = self.recursion.iter().any(|prefix| prefix.contains(&client));
        let environment = Environment {
            transport,
            recursion_available,
            cookies: self.cookies.source(client),
            identity: Some(&self.identity),
            random: next(&mut self.random),
            ..self.environment
        };
        if self.fast.answer(query, &environment, out) == Fast::Answered {
            return Disposition::Reply;
        }
        match respond(query, &self.served.snapshot_guard(), &*self.served, &environment, out) {
            Outcome::Reply => Disposition::Reply,
            Outcome::Silence => Disposition::Silence,
            Outcome::Forward => Disposition::Forward,
            Outcome::CompleteUpstream(chain) => Disposition::CompleteUpstream(PartialChain {
                target: chain.target,
                answer: chain
                    .resolution
                    .answer
                    .into_iter()
                    .map(|section| match section.owner {
                        Owner::Question => (None, section.rrset),
                        Owner::Name(name) => (Some(name), section.rrset),
                    })
                    .collect(),
            }),
        }
    }
}
