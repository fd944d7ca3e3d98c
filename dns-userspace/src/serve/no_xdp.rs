//! What takes the place of the XDP plane where the server is built without it (feature `xdp`): there is never a
//! program, so sockets answer everything from tables on the heap.

use std::convert::Infallible;

use dns_common::counters::{Counters, RCODE_CLASSES};
use dns_common::tap::Tapped;

use crate::cookies::Secrets;
use crate::model::views::Clients;
use crate::publish::{self, Home, ZoneAccess};

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
pub struct Taps {}

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
    pub fn counters(&self) -> Result<Counters, Infallible> {
        match *self {}
    }

    /// The seconds and secrets of DNS cookies.
    pub fn set_cookies(&mut self, _seconds: u32, _secrets: &Secrets) -> Result<(), Infallible> {
        match *self {}
    }
}

impl Home for Program {
    type Error = Infallible;

    fn set_clients(&mut self, _clients: &Clients) -> Result<(), Infallible> {
        match *self {}
    }

    fn set_zone_access(&mut self, _lists: ZoneAccess) {
        match *self {}
    }

    fn take_over(&mut self, _old: &mut Self) -> Result<(), Infallible> {
        match *self {}
    }

    fn lacks_room(&self) -> bool {
        match *self {}
    }

    fn zone_counters(&self, _zone: u32) -> Result<[u64; RCODE_CLASSES], Infallible> {
        match *self {}
    }

    fn forget_zone(&mut self, _zone: u32) -> Result<(), Infallible> {
        match *self {}
    }
}
