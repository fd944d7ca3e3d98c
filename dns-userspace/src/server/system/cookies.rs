//! The clock and the secrets of DNS cookies while the server runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::super::supervisor::Spawner;
use crate::cookies::Cookies;
use crate::model::shown::with_causes;
use crate::serve::xdp::SharedProgram;

/// Cookies tell seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ticks, draws new secrets when it is time, and tells the XDP program.
pub(super) fn keep(cookies: Arc<Cookies>, program: SharedProgram, spawner: &Spawner) {
    let stopping = spawner.stopping();
    spawner.spawn("cookies", async move {
        let mut interval = tokio::time::interval(INTERVAL);
        let mut drawn = Instant::now();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                _ = interval.tick() => {}
            }
            cookies.tick();
            match cookies.rotate(drawn.elapsed()) {
                Ok(false) => {}
                Ok(true) => {
                    drawn = Instant::now();
                    info!("a new secret makes DNS cookies; those of the one before stay good");
                }
                Err(error) => warn!("DNS cookies keep their secret: {error:#}"),
            }
            if let Some(program) = &mut *program.lock()
                && let Err(error) = program.set_cookies(cookies.seconds(), &cookies.secrets())
            {
                warn!("the DNS cookies of XDP's answers get old: {}", with_causes(&error));
            }
        }
    });
}
