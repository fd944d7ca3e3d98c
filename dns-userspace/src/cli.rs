//! The command line.

pub(crate) mod check;
pub(crate) mod discovery;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dns_userspace::config::{ConfigSource, Environment, Overrides, XdpMode};

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
    /// Move from one proxy or registry to another: convert and validate tags, compare routers with names.
    Discovery(discovery::DiscoveryArgs),
}

/// Arguments of `hotdns run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
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
    #[command(flatten)]
    environment: EnvironmentArgs,
}

/// Arguments of `hotdns check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    environment: EnvironmentArgs,
}

impl RunArgs {
    /// Where the configuration comes from.
    pub(crate) fn into_source(self) -> ConfigSource {
        let Self {
            config,
            listen,
            http,
            interface,
            xdp,
            environment,
        } = self;
        ConfigSource {
            path: config,
            overrides: Overrides {
                listen,
                http,
                interfaces: interface,
                xdp_mode: xdp,
                environment: environment.into_environment(),
            },
        }
    }
}

impl CheckArgs {
    /// Where the configuration comes from.
    pub(crate) fn into_source(self) -> ConfigSource {
        ConfigSource {
            path: self.config,
            overrides: Overrides {
                environment: self.environment.into_environment(),
                ..Overrides::default()
            },
        }
    }
}

/// Variables of the environment that stand for keys of the configuration.
#[derive(Args, Default)]
struct EnvironmentArgs {
    #[arg(long, env = "CONSUL_HTTP_ADDR", hide = true)]
    consul_http_addr: Option<String>,
    #[arg(long, env = "CONSUL_HTTP_TOKEN", hide = true, hide_env_values = true)]
    consul_http_token: Option<String>,
    #[arg(long, env = "DOMAIN_SUFFIX", hide = true)]
    domain_suffix: Option<String>,
    #[arg(long, env = "NOMAD_ADDR", hide = true)]
    nomad_addr: Option<String>,
    #[arg(long, env = "NOMAD_TOKEN", hide = true, hide_env_values = true)]
    nomad_token: Option<String>,
    #[arg(long, env = "TRAEFIK_PROVIDER_PRIMARY", hide = true)]
    traefik_provider_primary: Option<String>,
}

impl EnvironmentArgs {
    fn into_environment(self) -> Environment {
        let all = [
            ("CONSUL_HTTP_ADDR", self.consul_http_addr),
            ("CONSUL_HTTP_TOKEN", self.consul_http_token),
            ("DOMAIN_SUFFIX", self.domain_suffix),
            ("NOMAD_ADDR", self.nomad_addr),
            ("NOMAD_TOKEN", self.nomad_token),
            ("TRAEFIK_PROVIDER_PRIMARY", self.traefik_provider_primary),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Environment::new(given)
    }
}

// Tokens are not for logs.
impl std::fmt::Debug for EnvironmentArgs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EnvironmentArgs")
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
        assert!(Cli::try_parse_from(["hotdns", "run"]).is_err(), "--config is needed");
        assert!(Cli::try_parse_from(["hotdns", "serve", "--config", "c"]).is_err());
    }
}
