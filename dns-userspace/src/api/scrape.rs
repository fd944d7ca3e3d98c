//! `GET /metrics`: the text is made away from the threads that serve requests, one at a time, and a large one at most
//! once a second.
//!
//! Clients that are slow to take a text share it. Texts that newer ones have replaced are held for them up to
//! [`MOST_BYTES`] together; then the oldest goes, and the answers that it was in are cut off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::observe::metrics::Metrics;

/// A text above this size is shown for [`LIFE`].
const LARGE_BYTES: usize = 64 << 10;
/// How long a large text is the newest.
const LIFE: Duration = Duration::from_secs(1);
/// Octets of all texts that are held.
const MOST_BYTES: usize = 32 << 20;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// A metric cannot be written as text.
    #[error("a metric cannot be shown: {0}")]
    Metric(#[from] prometheus::Error),
    /// The thread that makes the text panicked, or the server ends.
    #[error("the metrics were not made: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The texts.
#[derive(Debug, Default)]
pub(super) struct Scrapes(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The oldest first, by the time when they were made.
    texts: VecDeque<(Instant, Arc<Vec<u8>>)>,
}

impl Scrapes {
    /// The metrics: made now or, where they are many, within the last second.
    pub(super) async fn text(&self, metrics: &Arc<Metrics>) -> Result<Arc<Vec<u8>>, ScrapeError> {
        let metrics = Arc::clone(metrics);
        self.newest(LIFE, move || metrics.render()).await
    }

    async fn newest(
        &self,
        life: Duration,
        render: impl FnOnce() -> Result<Vec<u8>, prometheus::Error> + Send + 'static,
    ) -> Result<Arc<Vec<u8>>, ScrapeError> {
        let mut held = self.0.lock().await;
        if let Some((made, text)) = held.texts.back()
            && text.len() > LARGE_BYTES
            && made.elapsed() < life
        {
            return Ok(Arc::clone(text));
        }
        let text = Arc::new(tokio::task::spawn_blocking(render).await??);
        held.add(Arc::clone(&text));
        Ok(text)
    }
}

impl Held {
    fn add(&mut self, text: Arc<Vec<u8>>) {
        // What no answer needs any more goes at once.
        self.texts.retain(|(_, text)| Arc::weak_count(text) > 0);
        self.texts.push_back((Instant::now(), text));
        let mut bytes: usize = self.texts.iter().map(|(_, text)| text.len()).sum();
        while bytes > MOST_BYTES
            && self.texts.len() > 1
            && let Some((_, oldest)) = self.texts.pop_front()
        {
            bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn made(scrapes: &Scrapes, life: Duration, bytes: usize) -> Arc<Vec<u8>> {
        let text = scrapes.newest(life, move || Ok(vec![b'#'; bytes]));
        text.await.expect("made")
    }

    #[tokio::test]
    async fn a_large_text_is_made_once_in_its_life_and_a_small_one_each_time() {
        let scrapes = Scrapes::default();
        let first = made(&scrapes, Duration::MAX, LARGE_BYTES + 1).await;
        assert!(Arc::ptr_eq(&first, &made(&scrapes, Duration::MAX, 1).await));
        assert_eq!(made(&scrapes, Duration::ZERO, 1).await.len(), 1);
        assert_eq!(made(&scrapes, Duration::MAX, 2).await.len(), 2);
    }

    #[tokio::test]
    async fn texts_are_held_for_those_who_read_them_up_to_a_sum() {
        let scrapes = Scrapes::default();
        let third = MOST_BYTES / 3;
        let mut readers = Vec::new();
        for _ in 0..3 {
            readers.push(Arc::downgrade(&made(&scrapes, Duration::ZERO, third).await));
        }
        assert!(readers.iter().all(|reader| reader.upgrade().is_some()));
        readers.push(Arc::downgrade(&made(&scrapes, Duration::ZERO, third).await));
        let held: Vec<bool> = readers.iter().map(|reader| reader.upgrade().is_some()).collect();
        assert_eq!(held, [false, true, true, true]);
        // Nobody reads it any more: the next one takes its place.
        readers.remove(1);
        made(&scrapes, Duration::ZERO, 1).await;
        assert_eq!(scrapes.0.lock().await.texts.len(), 3);
        // One alone may be larger.
        assert_eq!(
            made(&scrapes, Duration::ZERO, MOST_BYTES + 1).await.len(),
            MOST_BYTES + 1
        );
        assert_eq!(scrapes.0.lock().await.texts.len(), 1);
    }
}
