//! What takes the place of the XDP plane where the server is built without it (feature `xdp`): there is never a
//! program, so sockets answer everything from tables on the heap.

use std::collections::BTreeMap;
use std::sync::Arc;

use dns_common::counters::{Counters, RCODE_CLASSES};
use dns_common::tap::Tapped;

use crate::cookies::Secrets;
use crate::model::access::AccessList;
use crate::model::views::Clients;
use crate::publish::{self, Home};

/// A program; there can be none.
pub enum Program {}

/// The publisher of tables.
pub type Publisher = publish::Publisher<Program>;
/// Makes tables.
pub type Loader = publish::Loader<Program>;
/// Where a program would be.
pub type SharedProgram = publish::SharedHome<Program>;

/// Where programs show their answers: there are none.
#[derive(Clone, Default)]
pub struct Taps;

impl Taps {
    /// Nothing is shown.
    pub fn drain(&self, _most: usize, _each: impl FnMut(&Tapped, &[u8])) -> usize {
        0
    }

    /// Nothing is lost.
    pub fn lost(&self) -> u64 {
        0
    }
}

impl Program {
    /// Where it is attached.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, u32, &'static str)> {
        match *self {}
        #[expect(unreachable_code, reason = "it gives the iterator a type")]
        std::iter::empty()
    }

    /// What it has counted.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        match *self {}
    }

    /// The seconds and secrets of DNS cookies.
    pub fn set_cookies(&mut self, _seconds: u32, _secrets: &Secrets) -> anyhow::Result<()> {
        match *self {}
    }
}

impl Home for Program {
    fn set_clients(&mut self, _clients: &Clients) -> anyhow::Result<()> {
        match *self {}
    }

    fn set_zone_access(&mut self, _lists: BTreeMap<u32, Arc<AccessList>>) {
        match *self {}
    }

    fn take_over(&mut self, _old: &mut Self) -> anyhow::Result<()> {
        match *self {}
    }

    fn lacks_room(&self) -> bool {
        match *self {}
    }

    fn zone_counters(&self, _zone: u32) -> anyhow::Result<[u64; RCODE_CLASSES]> {
        match *self {}
    }

    fn forget_zone(&mut self, _zone: u32) -> anyhow::Result<()> {
        match *self {}
    }
}
