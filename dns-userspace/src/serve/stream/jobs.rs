//! The jobs of one session.
//!
//! ```text
//! job ─ task of the main runtime ─┐
//! job ─ task of the main runtime ─┴─► channel, QUEUED messages ─► session ─► output, while there is room in it
//! ```
//!
//! A job is asked for its next message once the one before is in the channel. So however many messages it gives, no
//! more are in memory than the channel and the output hold, and one in the task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::admission::Admissions;
use super::keepalive;
use crate::message::Protocol;
use crate::serve::job::RunningJob;
use crate::serve::worker::Shared;

/// Messages of one session that wait in its channel.
const QUEUED: usize = 4;

/// What is under way for one session; dropped, all of it ends.
#[derive(Default)]
pub(super) struct Jobs {
    tasks: JoinSet<()>,
    /// There while there are tasks or messages: an idle session has no buffers.
    channel: Option<(mpsc::Sender<Queued>, mpsc::Receiver<Queued>)>,
}

/// A message that waits for its session; it counts in the sum over all sessions.
pub(super) struct Queued {
    pub(super) message: Vec<u8>,
    admissions: Arc<Admissions>,
}

impl Queued {
    fn new(message: Vec<u8>, admissions: Arc<Admissions>) -> Self {
        admissions.waiting.fetch_add(message.len(), Ordering::Relaxed);
        Self { message, admissions }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.admissions.waiting.fetch_sub(self.message.len(), Ordering::Relaxed);
    }
}

impl Jobs {
    /// Jobs that may have more to give.
    pub(super) fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// Whether nothing more comes.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.channel.as_ref().is_none_or(|(_, messages)| messages.is_empty())
    }

    /// Starts a job. Its messages get the keepalive option where `idle_timeout` is given.
    pub(super) fn start(
        &mut self,
        job: RunningJob,
        protocol: Protocol,
        idle_timeout: Option<Duration>,
        admissions: &Arc<Admissions>,
        shared: &Shared,
    ) {
        let (sender, _) = self.channel.get_or_insert_with(|| mpsc::channel(QUEUED));
        let (sender, admissions, counting) = (sender.clone(), Arc::clone(admissions), shared.clone());
        let task = async move {
            let mut job = job;
            let mut is_first = true;
            while let Some(mut message) = job.next().await {
                if let Some(idle_timeout) = idle_timeout {
                    keepalive::grant(&mut message, idle_timeout);
                }
                // An answer counts once, however many messages it has.
                if std::mem::take(&mut is_first) {
                    counting.count(protocol, &message);
                }
                let queued = Queued::new(message, Arc::clone(&admissions));
                if sender.send(queued).await.is_err() {
                    return;
                }
            }
        };
        self.tasks.spawn_on(task, &shared.main);
    }

    /// Forgets jobs that have ended.
    pub(super) fn reap(&mut self) {
        while !self.tasks.is_empty() && self.tasks.try_join_next().is_some() {}
        if self.is_empty() {
            self.channel = None;
        }
    }

    /// The next message of any job; `None` where a job has ended instead.
    pub(super) async fn next(&mut self) -> Option<Queued> {
        let (_, messages) = self.channel.as_mut()?;
        tokio::select! {
            biased;
            message = messages.recv() => message,
            Some(_) = self.tasks.join_next() => None,
        }
    }
}
