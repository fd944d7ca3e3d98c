//! How many queries may be on their way: in all, and of one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of queries.
#[derive(Debug)]
pub(super) struct Pending {
    slots: Arc<Semaphore>,
    per_client: usize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// The right to one query on its way; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
    of: Option<(Arc<Pending>, IpAddr)>,
}

impl Pending {
    pub(super) fn new(in_all: usize, per_client: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(in_all.min(Semaphore::MAX_PERMITS))),
            per_client,
            clients: Mutex::default(),
        }
    }

    /// A place for a client's query.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let client = group(client);
        let mut clients = self.lock();
        let count = clients.entry(client).or_default();
        if *count >= self.per_client {
            return None;
        }
        *count += 1;
        drop(clients);
        Some(Permit {
            _slot: slot,
            of: Some((Arc::clone(self), client)),
        })
    }

    /// A place for a query of our own.
    pub(super) fn admit_nobody(&self) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(Permit { _slot: slot, of: None })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((pending, client)) = &self.of else {
            return;
        };
        let mut clients = pending.lock();
        if let Some(count) = clients.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(client);
            }
        }
    }
}

/// A site has an IPv6 /64 at least.
fn group(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_all_places() {
        let pending = Arc::new(Pending::new(5, 2));
        let admit = |client: &str| pending.admit(client.parse().unwrap());
        let first = admit("2001:db8::1");
        let second = admit("2001:db8::2");
        assert!(first.is_some() && second.is_some());
        assert!(admit("2001:db8::3").is_none(), "the same /64");
        let others = [admit("192.0.2.1"), admit("192.0.2.2"), admit("192.0.2.3")];
        assert!(others.iter().all(Option::is_some));
        assert!(
            admit("192.0.2.4").is_none() && pending.admit_nobody().is_none(),
            "all are taken"
        );
        drop(first);
        assert!(admit("2001:db8::3").is_some());
        drop((second, others));
        assert!(pending.lock().is_empty());
    }
}
