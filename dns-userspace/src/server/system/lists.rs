//! Lists of rules that are fetched, and the cache on disk: what is done by time beside the forwarder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::supervisor::Spawner;
use crate::resolve::Forwarder;
use crate::rules::RuleBook;

/// The cache is written so often.
const CACHE_WRITTEN: Duration = Duration::from_secs(300);
/// Its file, below `storage.path`.
const CACHE_FILE: &str = "cache";
/// No fetch of a list is further away than this; then it is looked again.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Fetches lists when they are due, until the server stops.
pub(super) fn keep_lists(rules: &Arc<RuleBook>, spawner: &Spawner) {
    let (rules, stopping) = (Arc::clone(rules), spawner.stopping());
    spawner.spawn("lists", async move {
        loop {
            let book = Arc::clone(&rules);
            let fetched = tokio::task::spawn_blocking(move || book.fetch_due());
            let next = tokio::select! {
                next = fetched => next?.unwrap_or(LONGEST),
                () = stopping.cancelled() => return Ok(()),
            };
            tokio::select! {
                () = tokio::time::sleep(next.clamp(Duration::from_millis(100), LONGEST)) => {}
                () = rules.woken() => {}
                () = stopping.cancelled() => return Ok(()),
            }
        }
    });
}

/// Reads the cache that was written before.
pub(super) async fn restore_cache(forwarder: &Arc<Forwarder>, storage: &Path) {
    let (forwarder, path) = (Arc::clone(forwarder), storage.join(CACHE_FILE));
    let shown = path.display().to_string();
    match tokio::task::spawn_blocking(move || forwarder.restore_cache(&path)).await {
        Ok(Ok(Some(restored))) => {
            info!(
                entries = restored.entries,
                age_seconds = restored.age,
                "the cache is read from {shown}"
            );
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => warn!("{shown} is not read, so the cache begins empty: {error}"),
        Err(error) => warn!("{shown} was not read: {error}"),
    }
}

/// Writes the cache from time to time, and at the end.
pub(super) fn keep_cache(
    forwarder: Arc<Forwarder>,
    storage: &Path,
    end: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let path = storage.join(CACHE_FILE);
    async move {
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(CACHE_WRITTEN) => false,
                () = end.cancelled() => true,
            };
            save(&forwarder, path.clone()).await;
            if is_last {
                return;
            }
        }
    }
}

async fn save(forwarder: &Arc<Forwarder>, path: PathBuf) {
    let (forwarder, shown) = (Arc::clone(forwarder), path.display().to_string());
    match tokio::task::spawn_blocking(move || forwarder.save_cache(&path)).await {
        Ok(Ok(entries)) => tracing::debug!(entries, "the cache is written to {shown}"),
        Ok(Err(error)) => warn!("the cache cannot be written to {shown}: {error}"),
        Err(error) => warn!("the cache was not written: {error}"),
    }
}
