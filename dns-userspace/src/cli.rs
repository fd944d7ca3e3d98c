//! The command line.

mod apply;
mod cache;
mod changes;
pub(crate) mod check;
mod connection;
mod database;
mod discovery;
mod doctor;
mod explain;
mod failure;
mod files;
mod history;
mod init;
mod k8s;
mod mark;
mod nodes;
mod output;
mod plan;
mod progress;
mod record;
mod reload;
mod rule;
mod shell;
mod status;
mod targets;
mod token;
mod top;
mod unix;
mod upstreams;
mod watch;
mod zone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dns_userspace::config::{ConfigSource, DryRun, Overrides, XdpMode};
use dns_userspace::server;

/// A DNS server whose hot answers leave from the network card, by XDP.
#[derive(Debug, Parser)]
#[command(name = "hotdns", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve DNS and the HTTP API until SIGTERM or SIGINT; SIGHUP reloads the files.
    ///
    /// The flags replace what the configuration file says, at reloads too.
    Run(RunArgs),
    /// Validate a configuration file and its zone files, without serving anything.
    ///
    /// Prints every error with file, line and column, and exits with 1 if there is one.
    Check(CheckArgs),
    /// Write a configuration that starts, from questions or flags.
    Init(init::InitArgs),
    /// Look at this host and the configuration: what is in the way, and what to do about it.
    Doctor(doctor::DoctorArgs),
    /// Show whether a server serves, what, and how much.
    Status(status::StatusArgs),
    /// Show the servers that share an etcd, and which version each serves.
    Nodes(nodes::NodesArgs),
    /// Watch a server live: rates, rcodes, latency, what is asked most and by whom.
    Top(top::TopArgs),
    /// List and change records of a running server.
    Record(record::RecordArgs),
    /// List and change zones of a running server.
    Zone(zone::ZoneArgs),
    /// Take over records from files: zone files, hosts, dnsmasq.conf, Corefile, CSV, DNSRecordBackup, JSON, YAML.
    Import(apply::ImportArgs),
    /// Write what is served into a file.
    Export(apply::ExportArgs),
    /// Make a configuration, or a file in another format, of files; without a server.
    Convert(apply::ConvertArgs),
    /// Show how what is served differs from files.
    Diff(apply::DiffArgs),
    /// Make what is served as files say.
    Apply(apply::ApplyArgs),
    /// Show who changed what.
    History(history::HistoryArgs),
    /// Make a zone's records as they were at a version.
    Rollback(history::RollbackArgs),
    /// Show which record, source, view and plane answers a question, and why.
    Explain(explain::ExplainArgs),
    /// Show changes as they happen.
    Watch(watch::WatchArgs),
    /// Show where names go besides: what waits, what differs, and which replica writes.
    Targets(targets::TargetsArgs),
    /// Show the servers that names which are not ours go to, how they do, and which names these are.
    Upstreams(upstreams::UpstreamsArgs),
    /// List and flush what is kept of upstream's answers.
    Cache(cache::CacheArgs),
    /// List the rules for names that are not ours, and switch one off for a time.
    Rule(rule::RuleArgs),
    /// List and change who may use the API.
    Token(token::TokenArgs),
    /// Look at objects of the clusters that a running server watches, and take over names from external-dns.
    K8s(k8s::K8sArgs),
    /// Move from one proxy or registry to another: convert and validate tags, compare routers with names.
    Discovery(discovery::DiscoveryArgs),
    /// Fetch a copy of a running server's database.
    Backup(database::BackupArgs),
    /// Put a backup in the place of the database of a server that is stopped.
    Restore(database::RestoreArgs),
    /// Make a running server read its files again.
    Reload(reload::ReloadArgs),
    /// Print the script that completes hotdns' command line in a shell.
    Completions(shell::CompletionsArgs),
    /// Write man pages into a folder.
    #[command(hide = true)]
    ManPages(shell::ManPagesArgs),
}

/// Does what the arguments ask for.
pub(crate) fn perform(verb: Verb) -> ExitCode {
    let outcome = match verb {
        Verb::Run(run) => return server::run(run.into_source()),
        Verb::Check(check) => return check::report(&check.into_source()),
        Verb::Discovery(args) => discovery::discovery(args),
        Verb::Init(args) => init::init(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Status(args) => status::status(&args),
        Verb::Nodes(args) => nodes::nodes(&args),
        Verb::Top(args) => top::top(&args),
        Verb::Record(args) => record::record(&args),
        Verb::Import(args) => apply::import(&args),
        Verb::Export(args) => apply::export(&args),
        Verb::Convert(args) => apply::convert(&args),
        Verb::Diff(args) => apply::diff(&args),
        Verb::Apply(args) => apply::apply(&args),
        Verb::Zone(args) => zone::zone(&args),
        Verb::History(args) => history::history(&args),
        Verb::Rollback(args) => history::rollback(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Watch(args) => watch::watch(&args),
        Verb::Targets(args) => targets::targets(&args),
        Verb::Upstreams(args) => upstreams::upstreams(&args),
        Verb::Cache(args) => cache::cache(&args),
        Verb::Rule(args) => rule::rule(&args),
        Verb::Token(args) => token::token(&args),
        Verb::K8s(args) => k8s::k8s(&args),
        Verb::Backup(args) => database::backup(&args),
        Verb::Restore(args) => database::restore(&args),
        Verb::Reload(args) => reload::reload(&args),
        Verb::Completions(args) => shell::completions(&args),
        Verb::ManPages(args) => shell::man_pages(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

/// Where packages and images have the configuration.
const USUAL_FILE: &str = "/etc/hotdns/hotdns.yaml";

/// Arguments of `hotdns run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file (YAML); without it, the environment of catalyst-dns-sync (DNS_ZONE, DNS_IP_ADDRESS …),
    /// else /etc/hotdns/hotdns.yaml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write names of the cluster into /etc/hosts; with the environment in the place of a file.
    #[arg(long)]
    dev_mode: bool,
    /// Say what would be written to targets and objects of clusters, and write nothing, in the place of the file's
    /// `dry_run`: off, log or diff.
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "log")]
    dry_run: Option<DryRun>,
    /// Serve DNS on this address, in the place of the file's `listen`; repeatable.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Serve HTTP on this address, in the place of the file's `http.listen`.
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<String>,
    /// Attach the XDP program to this interface, in the place of the file's `xdp.interfaces`; repeatable.
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// How to attach the XDP program, in the place of the file's `xdp.mode`: auto, native, generic or off.
    #[arg(long, value_name = "MODE")]
    xdp: Option<XdpMode>,
}

/// Arguments of `hotdns check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl RunArgs {
    /// Where the configuration comes from.
    pub(crate) fn into_source(self) -> ConfigSource {
        let Self {
            config,
            dev_mode,
            dry_run,
            listen,
            http,
            interface,
            xdp,
        } = self;
        let overrides = Overrides {
            listen,
            http,
            interfaces: interface,
            xdp_mode: xdp,
            dry_run,
            dev_mode,
            environment: crate::environment(),
        };
        ConfigSource {
            path: config.unwrap_or_else(|| overrides.usual_path(Path::new(USUAL_FILE))),
            overrides,
        }
    }
}

impl CheckArgs {
    /// Where the configuration comes from.
    pub(crate) fn into_source(self) -> ConfigSource {
        ConfigSource {
            path: self.config,
            overrides: Overrides {
                environment: crate::environment(),
                ..Overrides::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_the_contracts_flags() {
        let line = "hotdns run --config c.yaml --listen 127.0.0.1:5300 --listen [::1]:5300 --http 127.0.0.1:8080 \
                    --interface lo --interface eth0 --xdp generic";
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("valid");
        let Verb::Run(run) = cli.verb else { panic!("run") };
        let source = run.into_source();
        assert_eq!(source.path, PathBuf::from("c.yaml"));
        assert_eq!(source.overrides.listen, ["127.0.0.1:5300", "[::1]:5300"]);
        assert_eq!(source.overrides.http.as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(source.overrides.interfaces, ["lo", "eth0"]);
        assert_eq!(source.overrides.xdp_mode, Some(XdpMode::Generic));
    }

    #[test]
    fn wrong_words_are_refused_with_the_right_ones() {
        let error = Cli::try_parse_from(["hotdns", "run", "--config", "c", "--xdp", "fast"]).expect_err("no mode");
        assert!(error.to_string().contains("auto, native, generic, off"), "{error}");
        assert!(Cli::try_parse_from(["hotdns", "check"]).is_err(), "--config is needed");
        assert!(
            Cli::try_parse_from(["hotdns", "run"]).is_ok(),
            "the environment stands in its place"
        );
        assert!(Cli::try_parse_from(["hotdns", "serve", "--config", "c"]).is_err());
    }
}
