//! The time that ages answers and rests servers. Tests bring their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::host::clock::since_boot;

/// Time since some moment; it never goes back.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The time since this machine was started. It goes on while the machine is suspended, and nobody can set it: what
    /// is done to the time of day makes no answer live longer.
    pub fn system() -> Self {
        Self::of(since_boot)
    }

    /// The time that `now` says.
    pub fn of(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
