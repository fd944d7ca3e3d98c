//! How many requests each principal may send, and how many passwords of one client are checked.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::Problem;
use crate::principal::Principal;

/// Keys above which those that have sent nothing lately are forgotten.
const MANY_KEYS: usize = 4096;

/// Passwords of one client that are checked at once; then one a second.
const WRONG_PASSWORDS: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// The limits.
pub(super) struct Rates {
    passwords: DefaultKeyedRateLimiter<IpAddr>,
    requests: Option<DefaultKeyedRateLimiter<Arc<str>>>,
    clock: DefaultClock,
}

impl Rates {
    /// So many requests a second of each principal, and so many at once.
    pub(super) fn new(requests: Option<(u32, u32)>) -> Self {
        let quota = requests.and_then(|(rate, burst)| {
            let (rate, burst) = (NonZeroU32::new(rate)?, NonZeroU32::new(burst)?);
            Some(Quota::per_second(rate).allow_burst(burst))
        });
        let password = Quota::per_second(NonZeroU32::MIN).allow_burst(WRONG_PASSWORDS);
        Self {
            passwords: RateLimiter::keyed(password),
            requests: quota.map(RateLimiter::keyed),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request; an error where the principal has sent too many.
    pub(super) fn request(&self, principal: &Principal) -> Result<(), Problem> {
        let Some(limiter) = &self.requests else {
            return Ok(());
        };
        if limiter.len() > MANY_KEYS {
            limiter.retain_recent();
        }
        limiter.check_key(principal.name()).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let detail = format!("{} sends more requests than `http.rate_limit` allows", principal.name());
            limited(detail, wait)
        })
    }

    /// Counts a password that will be checked; an error where the client has sent too many.
    pub(super) fn password(&self, client: IpAddr) -> Result<(), Problem> {
        if self.passwords.len() > MANY_KEYS {
            self.passwords.retain_recent();
        }
        self.passwords.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            limited("too many passwords of this client were checked".to_owned(), wait)
        })
    }
}

fn limited(detail: String, wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds.max(1))
}
