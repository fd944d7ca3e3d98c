//! Jobs under way: one that panics costs its own query.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use crate::message::write_failure;
use crate::observe::figures::Figures;
use crate::query::Job;

const SERVFAIL: u8 = 2;

/// A job, and the query that it is for.
pub(super) struct RunningJob {
    /// `None` once it has panicked.
    job: Option<Job>,
    query: Vec<u8>,
    figures: Arc<Figures>,
}

impl RunningJob {
    pub(super) fn new(job: Job, query: &[u8], figures: Arc<Figures>) -> Self {
        Self {
            job: Some(job),
            query: query.to_vec(),
            figures,
        }
    }

    /// The next message; `None` after the last. Where the job panics, its last message is SERVFAIL.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        poll_fn(|context| {
            let Some(job) = &mut self.job else {
                return Poll::Ready(None);
            };
            let Ok(polled) = catch_unwind(AssertUnwindSafe(|| job.poll_next(context))) else {
                self.job = None;
                return Poll::Ready(self.recover());
            };
            polled
        })
        .await
    }

    fn recover(&self) -> Option<Vec<u8>> {
        self.figures.panics.fetch_add(1, Ordering::Relaxed);
        let query = shown(&self.query);
        tracing::error!(%query, "a query made the job that answers it panic; it was answered SERVFAIL");
        let mut reply = Vec::new();
        write_failure(&self.query, SERVFAIL, &mut reply).then_some(reply)
    }
}

/// A query for the log.
pub(super) fn shown(query: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&query[..query.len().min(512)])
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::serve::worker::testing::query;

    #[tokio::test]
    async fn a_query_that_makes_a_job_panic_gets_servfail() {
        let (figures, query) = (Arc::<Figures>::default(), query(7, "a.test."));
        let work = async {
            tokio::task::yield_now().await;
            panic!("as the test says")
        };
        let run = |job| RunningJob::new(job, &query, Arc::clone(&figures));
        let mut panicking = run(Job::one(work));
        let reply = panicking.next().await.expect("a reply");
        assert_eq!((&reply[..4], &reply[12..]), (&[0, 7, 0x81, 2][..], &query[12..]));
        assert_eq!(panicking.next().await, None);
        assert_eq!(figures.panics.load(Ordering::Relaxed), 1);
        let mut good = run(Job::one(async { vec![1] }));
        assert_eq!((good.next().await, good.next().await), (Some(vec![1]), None));
    }

    #[tokio::test]
    async fn a_job_that_panics_behind_some_messages_ends_with_servfail() {
        let query = query(7, "a.test.");
        let messages = (0..).map(|number| match number {
            2 => panic!("as the test says"),
            number => vec![number],
        });
        let mut running = RunningJob::new(Job::many(stream::iter(messages)), &query, Arc::default());
        assert_eq!(
            (running.next().await, running.next().await),
            (Some(vec![0]), Some(vec![1]))
        );
        assert_eq!(running.next().await.expect("SERVFAIL")[3] & 0x0F, SERVFAIL);
        assert_eq!(running.next().await, None);
    }
}
