//! Lists at URLs are fetched when it is time, and put into force.
//!
//! ```text
//! no copy, or a damaged one ─► now
//! a copy                    ─► once it is `refresh` old
//! a look that failed        ─► after 10 s, 20 s, 40 s … up to `refresh`, an hour at most
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Action, Active, BlockList, Fetched, RemoteList, Rule, RuleBook, load};

const PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What is known of the lists.
#[derive(Default)]
pub(super) struct Upkeep {
    /// Those whose last look failed.
    failed: Mutex<HashMap<RemoteList, Failed>>,
    woken: Notify,
}

struct Failed {
    times: u32,
    next: Instant,
    error: String,
}

impl Upkeep {
    /// There may be other lists now.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Why the last look at a list failed.
    pub(super) fn error_of(&self, list: &RemoteList) -> Option<String> {
        self.lock().get(list).map(|failed| failed.error.clone())
    }

    /// How long until a list is to be fetched.
    fn due_in(&self, list: &RemoteList) -> Duration {
        if let Some(failed) = self.lock().get(list) {
            return failed.next.saturating_duration_since(Instant::now());
        }
        // A copy that cannot be read is none.
        let age = list.age().filter(|_| list.copy().is_ok());
        age.map_or(Duration::ZERO, |age| list.refresh.saturating_sub(age))
    }

    fn note(&self, list: &RemoteList, error: Option<String>) {
        let mut failed = self.lock();
        match error {
            None => drop(failed.remove(list)),
            Some(error) => {
                let times = failed.get(list).map_or(0, |failed| failed.times).saturating_add(1);
                let next = Instant::now() + pause_after(times, list.refresh);
                failed.insert(list.clone(), Failed { times, next, error });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RemoteList, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause_after(times: u32, refresh: Duration) -> Duration {
    let pause = PAUSE.saturating_mul(2u32.saturating_pow(times.saturating_sub(1)));
    pause.min(LONGEST_PAUSE).min(refresh)
}

impl RuleBook {
    /// Waits until there may be other lists than before.
    pub async fn woken(&self) {
        self.upkeep.woken.notified().await;
    }

    /// Fetches the lists that are due, and puts those that are others into force. How long until the next one is due;
    /// `None` where there are no lists at URLs. It may take minutes.
    pub fn fetch_due(&self) -> Option<Duration> {
        let rules: Vec<Rule> = self.rules.load().iter().map(|active| active.rule.clone()).collect();
        for rule in &rules {
            let mut is_new = false;
            for list in rule.remotes() {
                if self.upkeep.due_in(list).is_zero() {
                    is_new |= self.fetch(rule, list);
                }
            }
            if is_new {
                self.reread(rule);
            }
        }
        let lists = rules.iter().flat_map(Rule::remotes);
        lists.map(|list| self.upkeep.due_in(list)).min()
    }

    fn fetch(&self, rule: &Rule, list: &RemoteList) -> bool {
        let fetched = list.fetch(|text| match &rule.action {
            Action::Rpz(rpz) => rpz.read(text).map(drop),
            _ => BlockList::check(text),
        });
        let (name, url) = (&*rule.name, &*list.url);
        let is_new = match &fetched {
            Ok(Fetched::New) => true,
            Ok(Fetched::Same) => false,
            Err(error) => {
                tracing::warn!(
                    rule = name,
                    url,
                    error,
                    "a list cannot be had: the last good copy stays in force"
                );
                false
            }
        };
        self.upkeep.note(list, fetched.err());
        is_new
    }

    /// Reads the lists of one rule again, where that is still in force.
    fn reread(&self, rule: &Rule) {
        let mut errors = Vec::new();
        let before = self.rules.load();
        let before = before
            .iter()
            .find(|active| active.rule == *rule)
            .map(|active| &active.lists);
        let lists = load(rule, before, &mut errors);
        tracing::info!(rule = &*rule.name, names = lists.len(), "the lists of a rule are new");
        for error in errors {
            tracing::error!("{error}");
        }
        self.fenced(&mut || {
            self.rules.rcu(|rules| {
                let rules = rules.iter().map(|active| match active.rule == *rule {
                    true => Active {
                        lists: lists.clone(),
                        ..active.clone()
                    },
                    false => active.clone(),
                });
                Arc::new(rules.collect::<Vec<_>>())
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_time_between_two_looks_and_an_hour_at_most() {
        let day = Duration::from_secs(86_400);
        let pauses: Vec<u64> = [1, 2, 3, 9, 10, u32::MAX]
            .map(|times| pause_after(times, day).as_secs())
            .into();
        assert_eq!(pauses, [10, 20, 40, 2560, 3600, 3600]);
        assert_eq!(pause_after(9, Duration::from_secs(60)).as_secs(), 60);
    }
}
