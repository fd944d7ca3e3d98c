//! How many connections there may be, in all and of one client, and how long each may be idle.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::StreamSettings;
use crate::observe::figures::Figures;

/// Who is connected, over all acceptors and workers.
#[derive(Debug)]
pub(in crate::serve) struct Admissions {
    limit: AtomicUsize,
    per_client: AtomicUsize,
    /// Octets of replies that wait for their clients, and of what clients have sent that waits to be answered.
    pub(super) waiting: AtomicUsize,
    waiting_limit: usize,
    /// In milliseconds.
    idle_timeout: AtomicU64,
    figures: Arc<Figures>,
}

impl Admissions {
    pub(in crate::serve) fn new(settings: &StreamSettings, figures: Arc<Figures>) -> Self {
        let admissions = Self {
            limit: AtomicUsize::default(),
            per_client: AtomicUsize::default(),
            waiting: AtomicUsize::new(0),
            waiting_limit: settings.waiting_bytes,
            idle_timeout: AtomicU64::default(),
            figures,
        };
        admissions.set(settings);
        admissions
    }

    /// Takes the numbers of connections and the idle time-out from these settings, from now on.
    pub(in crate::serve) fn set(&self, settings: &StreamSettings) {
        let idle = u64::try_from(settings.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        self.limit.store(settings.connections, Ordering::Relaxed);
        self.per_client
            .store(settings.connections_per_client, Ordering::Relaxed);
        self.idle_timeout.store(idle, Ordering::Relaxed);
    }

    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(in crate::serve) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admission> {
        let client = client_key(client);
        let mut by_client = self.figures.tcp_clients.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_client.get(&client).copied().unwrap_or(0);
        if self.open() >= self.limit() || open >= self.per_client.load(Ordering::Relaxed) {
            self.figures.tcp_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        by_client.insert(client, open + 1);
        self.figures.tcp_connections.fetch_add(1, Ordering::Relaxed);
        Some(Admission {
            admissions: Arc::clone(self),
            client,
        })
    }

    /// Octets that wait, of all clients together.
    #[cfg(test)]
    pub(in crate::serve) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn open(&self) -> usize {
        usize::try_from(self.figures.tcp_connections.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Whether so much waits for all clients together that each gets less.
    pub(super) fn is_scarce(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= self.waiting_limit
    }

    /// Whether that did not do, so that connections are to be closed; counts the one that asks.
    pub(super) fn is_too_much(&self) -> bool {
        let is_too_much = self.waiting.load(Ordering::Relaxed) / 2 >= self.waiting_limit;
        if is_too_much {
            self.figures.tcp_refused.fetch_add(1, Ordering::Relaxed);
        }
        is_too_much
    }

    /// How long a connection may be idle by now.
    pub(super) fn idle_timeout(&self) -> Duration {
        let usual = Duration::from_millis(self.idle_timeout.load(Ordering::Relaxed));
        let (open, limit) = (self.open(), self.limit());
        if open * 10 >= limit * 9 {
            usual.min(Duration::from_millis(500))
        } else if open * 4 >= limit * 3 {
            usual.min(Duration::from_secs(2))
        } else {
            usual
        }
    }
}

/// The holder of an IPv6 /64 has all of its addresses.
fn client_key(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

/// One admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(in crate::serve) struct Admission {
    pub(super) admissions: Arc<Admissions>,
    client: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admissions.figures.tcp_connections.fetch_sub(1, Ordering::Relaxed);
        let by_client = self.admissions.figures.tcp_clients.lock();
        let mut by_client = by_client.unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_client.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}
