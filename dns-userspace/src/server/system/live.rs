//! What a reload puts into force besides records.
//!
//! ```text
//! configuration ─ make ─► InForce ─ install ─► table and program, policy, HTTP, TCP, log ─► does every address answer?
//!                  │ error: nothing has changed                                                 └ no: all is put back
//! ```
//!
//! What can fail is done before anything changes. Sources and targets follow once the records are taken: they start,
//! and they are stopped, which cannot fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use dns_common::cookie::words;
use dns_common::limit::{Limits, Pace};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use super::super::logging;
use super::super::supervisor::Spawner;
use super::control::{Pending, Reconfiguration, replace_rules};
use super::files::{self, Shares};
use super::forward::Forwarding;
use super::watched::WatchedFiles;
use super::xdp::TableChoices;
use super::{environment, health, http, identity, recursion, stream_settings, workers};
use crate::api::ApiState;
use crate::config::{Config, RateLimitConfig, ZoneTemplate};
use crate::control::{ControlError, ControlHandle, Door, Failure, History, Replaced};
use crate::cookies::{Cookies, Secrets};
use crate::lines::CompileOptions;
use crate::model::access::{Access, AccessList};
use crate::model::source::SourceId;
use crate::observe::figures::Figures;
use crate::observe::metrics::Metrics;
use crate::principal::{Credentials, TokenFile};
use crate::serve::gate::{Charged, Gate};
use crate::serve::policy::{Policies, Policy};
use crate::serve::query_log::{QueryLog, QueryLogParts};
use crate::serve::worker::StreamLimits;
use crate::source::{Gone, Registry};
use crate::target::RunningTargets;

/// How long a source that is stopped may take to end.
const END: Duration = Duration::from_secs(5);

/// What is made from a configuration, to be in force as one.
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) policy: Arc<Policy>,
    pub(super) choices: Arc<TableChoices>,
    pub(super) options: CompileOptions,
    pub(super) credentials: Credentials,
    /// Those in force when another configuration takes the place of this one.
    pub(super) secrets: Secrets,
}

/// What makes the parts of a policy.
pub(super) struct Makers {
    pub(super) cookies: Arc<Cookies>,
    pub(super) gates: Gates,
    pub(super) forwarding: Forwarding,
    /// What query logs work with.
    pub(super) logs: QueryLogParts,
    /// Where DNS is served.
    pub(super) listening: Vec<SocketAddr>,
    /// The limit of open files, and how many were open before DNS was served.
    pub(super) files: (u64, usize),
}

impl Makers {
    /// What is in force first; the gate and the table are there already. Within a runtime.
    pub(super) fn first(
        &self,
        config: &Config,
        policy: &Policy,
        choices: &ArcSwap<TableChoices>,
        credentials: Credentials,
    ) -> anyhow::Result<InForce> {
        let policy = self.policy(config, Arc::clone(&policy.gate), None)?;
        Ok(InForce {
            choices: choices.load_full(),
            options: CompileOptions::of(&policy.environment, config.resolves()),
            policy: Arc::new(policy),
            credentials,
            secrets: self.cookies.secrets(),
            config: config.clone(),
        })
    }

    /// What is made from a configuration; of what is in force `now` what does not differ. An error says what cannot be
    /// had. Within a runtime.
    fn next(&self, config: &Config, now: &InForce) -> anyhow::Result<InForce> {
        let old = &now.config;
        let gate = match old.acl == config.acl && old.rate_limit == config.rate_limit {
            true => Arc::clone(&now.policy.gate),
            false => Arc::new(self.gates.make(config)),
        };
        let policy = self.policy(config, gate, Some(now))?;
        let secrets = match &config.edns.cookie_secret_file {
            Some(file) if old.edns.cookie_secret_file.as_ref() != Some(file) => Secrets::read(file)
                .map_err(|error| anyhow::anyhow!("edns.cookie_secret_file {} {error}", file.display()))?,
            _ => self.cookies.secrets(),
        };
        let credentials = match credentials_differ(old, config) {
            true => http::credentials(config)?,
            false => now.credentials.clone(),
        };
        Ok(InForce {
            choices: Arc::new(TableChoices::of(config, &self.listening, &policy)),
            options: CompileOptions::of(&policy.environment, config.resolves()),
            policy: Arc::new(policy),
            credentials,
            secrets,
            config: config.clone(),
        })
    }

    fn policy(&self, config: &Config, gate: Arc<Gate>, now: Option<&InForce>) -> anyhow::Result<Policy> {
        let environment = environment(config, &self.cookies);
        let before = now.and_then(|now| Some((&now.config, now.policy.forwarder.as_ref()?)));
        let in_flight = self.shares(config).forwards;
        let log = match now.filter(|now| now.config.query_log == config.query_log) {
            Some(now) => now.policy.log.clone(),
            None => {
                let log = QueryLog::start(config, self.logs.clone()).context("the query log cannot be started")?;
                Some(Arc::new(log))
            }
        };
        Ok(Policy {
            environment,
            identity: Arc::new(identity(config)),
            recursion: recursion(config),
            gate,
            forwarder: self.forwarding.make(config, environment, in_flight, before)?,
            log,
        })
    }

    /// Who gets how many of the process's descriptors.
    pub(super) fn shares(&self, config: &Config) -> Shares {
        let (limit, open) = self.files;
        Shares::of(limit, open, workers(), config)
    }
}

/// What makes gates.
pub(super) struct Gates {
    /// Of the buckets of rate limits.
    pub(super) bucket_secret: [u64; 2],
    /// What the XDP program charges.
    pub(super) charged: Arc<Charged>,
    pub(super) figures: Arc<Figures>,
}

impl Gates {
    /// The server's access list and rate limits.
    pub(super) fn make(&self, config: &Config) -> Gate {
        let RateLimitConfig {
            enabled,
            rate,
            burst,
            ipv4_prefix,
            ipv6_prefix,
            slip,
            ref exempt,
            global,
        } = config.rate_limit;
        let exempt = (!exempt.is_empty()).then(|| Arc::new(AccessList::new(exempt, &[], Access::Refused)));
        let limits = Limits {
            prefix: Pace::new(rate, burst),
            global: global.map_or(Pace::NONE, |(rate, burst)| Pace::new(rate, burst)),
            secret: self.bucket_secret,
            slip: slip.into(),
            has_exempt: exempt.is_some().into(),
            ..Limits::NONE
        };
        Gate {
            access: config.acl.clone(),
            limits: if enabled {
                limits.with_prefixes(ipv4_prefix, ipv6_prefix)
            } else {
                Limits::NONE
            },
            exempt,
            charged: Arc::clone(&self.charged),
            figures: Arc::clone(&self.figures),
        }
    }
}

/// A secret for the buckets of rate limits.
pub(super) fn bucket_secret() -> anyhow::Result<[u64; 2]> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness for rate limits: {error}"))?;
    Ok(words(secret))
}

/// Whether clients of the API have to show something else.
fn credentials_differ(old: &Config, new: &Config) -> bool {
    let (old, new) = (&old.http, &new.http);
    old.token_file != new.token_file || old.tokens_file != new.tokens_file || old.auth != new.auth
}

/// What is in force, and all that obeys it.
pub(super) struct Live {
    pub(super) makers: Makers,
    pub(super) now: InForce,
    /// What was in force before what was applied last.
    pub(super) before: Option<InForce>,
    pub(super) policies: Arc<Policies>,
    pub(super) pending: Pending,
    pub(super) token: Arc<ArcSwapOption<TokenFile>>,
    pub(super) api: ApiState,
    pub(super) template: Arc<ArcSwap<ZoneTemplate>>,
    pub(super) streams: StreamLimits,
    pub(super) watched: Arc<WatchedFiles>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sources: Arc<Registry>,
    pub(super) targets: RunningTargets,
    /// Sources that are not configured any more, and have records still.
    pub(super) retiring: Vec<Gone>,
    pub(super) control: ControlHandle,
    pub(super) history: Arc<History>,
    pub(super) spawner: Spawner,
    pub(super) runtime: Handle,
}

impl Live {
    /// Which secrets this configuration takes from other files.
    pub(super) fn replaced(&self, config: &Config) -> Replaced {
        Replaced {
            token: self.now.config.http.token_file != config.http.token_file,
            cookies: self.now.config.edns.cookie_secret_file != config.edns.cookie_secret_file,
        }
    }

    /// Puts a configuration into force, but for what needs a restart; the names of the keys that differ. On an error
    /// what was in force is in force.
    pub(super) fn apply(&mut self, config: &Config, writer: &Door) -> Result<Vec<String>, Vec<String>> {
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let applied = Config::applied_live(&self.now.config, config);
        let next = self.makers.next(config, &self.now);
        let next = next.map_err(|error| vec![format!("{error:#}")])?;
        let answered = match applied.is_empty() {
            true => Vec::new(),
            false => health::answering(&self.makers.listening),
        };
        self.now.secrets = self.makers.cookies.secrets();
        self.install(&self.now, &next, writer).map_err(|reason| vec![reason])?;
        let silent = health::silent(&answered, next.policy.gate.access.as_deref());
        if !silent.is_empty() {
            self.put_back(&next, &self.now, writer);
            let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
            return Err(vec![format!(
                "with {} as the file has it, {} did not answer any more, so what was in force is in force again",
                applied.join(", "),
                silent.join(", ")
            )]);
        }
        self.before = Some(std::mem::replace(&mut self.now, next));
        Ok(applied.into_iter().map(str::to_owned).collect())
    }

    /// What was applied last goes again.
    pub(super) fn revert(&mut self, writer: &Door) {
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        if let Some(before) = self.before.take() {
            self.put_back(&self.now, &before, writer);
            self.now = before;
        }
    }

    fn put_back(&self, from: &InForce, to: &InForce, writer: &Door) {
        if let Err(reason) = self.install(from, to, writer) {
            error!("what was in force before the reload cannot be put back: {reason}");
        }
    }

    /// On an error nothing has changed.
    fn install(&self, from: &InForce, to: &InForce, writer: &Door) -> Result<(), String> {
        let cookies = &self.makers.cookies;
        let file = |of: &InForce| of.config.edns.cookie_secret_file.clone();
        let moves_secrets = file(from) != file(to);
        if moves_secrets {
            cookies.take_from(file(to).as_deref(), to.secrets);
        }
        if let Err(reason) = self.replace_policy(from, to, writer) {
            if moves_secrets {
                cookies.take_from(file(from).as_deref(), from.secrets);
            }
            return Err(format!(
                "a table of answers with these settings cannot be had: {reason}"
            ));
        }
        let (old, new) = (&from.config, &to.config);
        replace_rules(&self.makers.forwarding.rules, &new.rules);
        if credentials_differ(old, new) {
            self.token.store(to.credentials.token.clone());
            self.api.replace_credentials(to.credentials.clone());
        }
        if old.http.rate_limit != new.http.rate_limit {
            self.api.replace_rate(new.http.rate_limit);
        }
        self.template.store(Arc::new(new.zone_template.clone()));
        if old.tcp != new.tcp || old.resolves() != new.resolves() {
            files::raise_limit(new.tcp.connections());
            self.streams.set(&stream_settings(new, &self.makers.shares(new)));
        }
        if old.log_level != new.log_level {
            logging::set_filter(&new.log_level);
        }
        self.watched.switch(new.files.watch);
        Ok(())
    }

    /// Puts a policy into force with its table. Answers that were promoted by the one before are taken back first.
    fn replace_policy(&self, from: &InForce, to: &InForce, writer: &Door) -> Result<(), String> {
        let mut outcome = Ok(());
        let mut change = || {
            if from.choices.are_like(&to.choices) && from.options == to.options {
                self.policies.replace(Arc::clone(&to.policy));
                return;
            }
            self.pending.put(Reconfiguration {
                options: to.options,
                choices: Arc::clone(&to.choices),
                policy: Arc::clone(&to.policy),
            });
            outcome = writer.reconfigure();
        };
        let forwarders = [from, to].map(|of| of.policy.forwarder.clone());
        let caches = forwarders
            .each_ref()
            .map(|forwarder| forwarder.as_ref()?.cache().cloned());
        let is_other = forwarders
            .each_ref()
            .map(|forwarder| forwarder.as_ref().map(Arc::as_ptr));
        match caches {
            _ if is_other[0] == is_other[1] => change(),
            [Some(old), Some(new)] if Arc::ptr_eq(&old, &new) => old.fence(&mut change),
            [old, new] => {
                new.iter().for_each(|cache| cache.go_on_promoting());
                match &old {
                    Some(old) => old.cease_promoting(&mut change),
                    None => change(),
                }
                if outcome.is_err() {
                    old.iter().for_each(|cache| cache.go_on_promoting());
                }
            }
        }
        outcome
    }

    /// The records of what was applied last are taken: sources and targets follow. What could not be done.
    pub(super) fn was_taken(&mut self, writer: &Door, force: bool) -> Vec<Failure> {
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let (spawner, stopping) = (self.spawner.clone(), self.spawner.stopping());
        let before = self.before.take();
        let config = &self.now.config;
        self.makers
            .forwarding
            .follow(config, &self.policies, &self.metrics, &spawner);
        if before
            .as_ref()
            .is_some_and(|before| before.config.sources != config.sources)
        {
            let (tasks, gone) = self
                .sources
                .replace(&config.sources, &self.control, &self.history, &stopping);
            writer.sources(self.sources.ids());
            self.makers.forwarding.rules.go_through(self.sources.autopaths());
            for task in tasks {
                run_until_stopped(&spawner, "source", task);
            }
            self.retiring.extend(gone);
        }
        let ids = self.sources.ids();
        self.retiring.retain(|gone| !ids.contains(&gone.id));
        if before.is_some_and(|before| before.config.targets != config.targets) {
            let tasks = self.targets.replace(&config.targets, &self.history);
            for task in tasks {
                run_until_stopped(&spawner, "target", task);
            }
        }
        self.retire(writer, force)
    }

    /// The records of sources that are not configured any more go. Those that stay, and why.
    fn retire(&mut self, writer: &Door, force: bool) -> Vec<Failure> {
        let mut left = Vec::new();
        let mut failures = Vec::new();
        for gone in std::mem::take(&mut self.retiring) {
            let ended = self
                .runtime
                .block_on(async { tokio::time::timeout(END, gone.ended.cancelled()).await });
            if ended.is_err() {
                warn!("source {}: its task does not end", gone.id.key());
            }
            match writer.retire(&gone.id, force) {
                Ok(()) => info!(
                    "source {}: it is not configured any more, its records are gone",
                    gone.id.key()
                ),
                Err(error) => {
                    failures.push(failure(&gone.id, &error));
                    left.push(gone);
                }
            }
        }
        self.retiring = left;
        failures
    }
}

fn failure(source: &SourceId, error: &ControlError) -> Failure {
    let source = source.key();
    warn!("source {source}: it is not configured any more, and its records stay: {error}");
    Failure::Source {
        source,
        error: error.to_string(),
    }
}

/// Runs a task that may end before the process does.
pub(super) fn run_until_stopped(
    spawner: &Spawner,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let stopping = spawner.stopping();
    spawner.spawn(name, async move {
        task.await;
        stopping.cancelled().await;
        Ok(())
    });
}

/// What is in force, once the server has started.
pub(super) type SharedLive = Arc<Mutex<Option<Live>>>;
