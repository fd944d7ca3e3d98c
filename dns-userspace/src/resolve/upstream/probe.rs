//! Probes: servers are asked by time, so that one that is back is noticed within an interval, and with `when: always`
//! one that is gone before a client waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::super::exchange::Asking;
use super::super::new_mark;
use super::{Server, Upstream};
use crate::config::{ProbeConfig, ProbeWhen};

const CLASS_IN: u16 = 1;

/// Probes the servers of a set; it ends at once where the configuration wants none.
pub(in crate::resolve) async fn keep(upstream: Arc<Upstream>) {
    let interval = upstream.config.probe.interval;
    if interval.is_zero() {
        return;
    }
    loop {
        sleep(interval).await;
        probe(&upstream).await;
    }
}

/// One round.
pub(in crate::resolve) async fn probe(upstream: &Upstream) {
    let config = &upstream.config.probe;
    let due = upstream.servers.iter().filter(|server| is_due(server, config));
    let time = config.interval.min(upstream.config.timeout);
    join_all(due.map(|server| probe_one(server, config, time))).await;
}

fn is_due(server: &Server, config: &ProbeConfig) -> bool {
    let is_idle = || config.when == ProbeWhen::Always && server.silent_for() >= config.interval;
    !server.is_ourselves() && (server.breaker.is_open() || is_idle())
}

async fn probe_one(server: &Server, config: &ProbeConfig, time: Duration) {
    let asking = Asking {
        name: config.name.as_wire().into(),
        qtype: config.rtype.0,
        qclass: CLASS_IN,
        checking_disabled: false,
        authentic_data: false,
        dnssec_ok: false,
        whole: false,
        view: 0,
        set: 0,
    };
    let result = server.ask(&asking, new_mark(), time).await;
    server
        .metrics
        .count_probe(!result.is_err_and(|error| error.is_silence()));
}
