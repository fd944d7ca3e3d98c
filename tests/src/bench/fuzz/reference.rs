//! The reference answerer as oracle: an answer of the program has its very bytes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use dns_userspace::answer::{self, CookieSource, Environment, Outcome};
use dns_userspace::model::name::Name;
use dns_userspace::model::snapshot::Snapshot;
use dns_userspace::model::source::SourceId;
use dns_userspace::store::{Change, Store};
use dns_userspace::zonefile;

use super::Oracle;
use super::check::{Fate, query};
use crate::bench::zone::Zone;
use crate::planes::{COOKIES, cookie_seconds};

/// What the reference answers over these zones, with the configuration's defaults.
pub struct Reference {
    snapshot: Arc<Snapshot>,
    expected: Vec<u8>,
}

impl Reference {
    /// Reads the zones from the files that the server reads.
    pub fn new(zones: &[Zone], folder: &Path) -> Result<Self> {
        let mut store = Store::new();
        let changes = zones
            .iter()
            .map(|zone| {
                let apex = Name::parse(&zone.origin).with_context(|| zone.origin.clone())?;
                let file: Arc<str> = zone.origin.as_str().into();
                let content = zonefile::load(&folder.join(format!("{}zone", zone.origin)), &apex, file.clone())
                    .map_err(|errors| anyhow!("{}", errors.iter().map(ToString::to_string).collect::<String>()))?;
                Ok(Change::PutZone {
                    source: SourceId::zone_files(),
                    apex,
                    content: Ok(content.rrsets),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let plan = store.plan(changes);
        store.commit(&plan);
        Ok(Self {
            snapshot: store.snapshot(),
            expected: Vec::new(),
        })
    }
}

impl Oracle for Reference {
    fn judge(&mut self, packet: &[u8], fate: &Fate) -> Result<(), String> {
        let Fate::Answered(reply) = fate else { return Ok(()) };
        let frame = query(packet)?;
        let environment = Environment {
            cookies: CookieSource {
                client: frame.source.ip(),
                // The server's clock: what it says has to be right but for that.
                seconds: cookie_seconds(reply).unwrap_or(COOKIES.seconds),
                ..COOKIES
            },
            ..Environment::DEFAULT
        };
        match answer::respond(&frame.payload, &self.snapshot, &(), &environment, &mut self.expected) {
            Outcome::Reply if self.expected == *reply => Ok(()),
            Outcome::Reply => Err(format!("the reference answers otherwise: {:02x?}", self.expected)),
            other => Err(format!("the reference does not answer: {other:?}")),
        }
    }
}
