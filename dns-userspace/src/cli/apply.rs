//! `hotdns diff` and `hotdns apply`: files that say how records are to be. `hotdns import` is an apply of other
//! programs' files; `hotdns convert` makes one file of another without a server, and `hotdns export` a file of what is
//! served.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use dns_userspace::formats::{Format, Imported, Record, Records};
use dns_userspace::model::name::Name;
use serde_json::{Value, json};

use super::changes::{ChangeOptions, shown_answers, submit};
use super::connection::{Client, ServerArgs};
use super::failure::Failure;
use super::files::{self, parse_format, parse_name};
use super::output::{OutputFormat, write_out};
use super::plan::{self, Difference};
use super::progress::Progress;
use super::record::{Filter, records};

/// Which files are read, and how.
#[derive(Debug, Args)]
struct Input {
    /// Files, or folders whose files are read; `-` is standard input.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// What the files are: zone, hosts, dnsmasq, corefile, named, csv, backup, json or yaml [default: by their names].
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
    /// The zone that a zone file is of [default: by its name, as in example.com.zone or db.example.com].
    #[arg(long, value_parser = parse_name)]
    zone: Option<Name>,
}

/// Arguments of `hotdns diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    input: Input,
    /// Show the API's records that the files do not have, too.
    #[arg(long)]
    prune: bool,
}

/// Arguments of `hotdns apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    input: Input,
    /// Delete the API's records that the files do not have: those of --zone, or without it all.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Arguments of `hotdns import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Arguments of `hotdns convert`.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    input: Input,
    /// What is written: config, zone, hosts, csv, backup, json or yaml.
    #[arg(long, value_name = "FORMAT", default_value = "config")]
    to: String,
}

/// Arguments of `hotdns export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The file that is written [default: standard output].
    file: Option<PathBuf>,
    /// What is written: zone, hosts, csv, backup, json or yaml [default: by the file's name, else yaml].
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
    /// Only this zone.
    #[arg(long, value_parser = parse_name)]
    zone: Option<Name>,
    /// Only records of this source: api, zone_file, config or a watched source's.
    #[arg(long)]
    source: Option<String>,
    /// The records of this view.
    #[arg(long)]
    view: Option<String>,
}

/// Everything that the files say, RRsets of several files joined; what is not taken over is said.
fn read(input: &Input, output: OutputFormat) -> Result<Imported, Failure> {
    read_with(input, output, files::import)
}

type ReadFile = fn(&Path, Option<Format>, Option<&Name>) -> Result<Imported, Failure>;

fn read_with(input: &Input, output: OutputFormat, read: ReadFile) -> Result<Imported, Failure> {
    let mut whole = Imported::default();
    let mut records = Records::default();
    for path in &input.files {
        let files = files::of_folder(path)?;
        let progress = Progress::of_things(output, "files", Some(files.len()));
        for file in files {
            let part = progress.suspend(|| read(&file, input.format, input.zone.as_ref()))?;
            progress.add(1);
            part.records.into_iter().for_each(|record| records.push(record));
            whole.zones.extend(part.zones);
            whole.upstreams.extend(part.upstreams);
            whole.listen.extend(part.listen);
            whole.port = part.port.or(whole.port);
            whole.left_out.extend(part.left_out);
        }
    }
    whole.records = records.into_vec();
    Ok(whole)
}

fn difference(
    client: &Client,
    wanted: &[Record],
    zone: Option<&Name>,
    prune: bool,
) -> Result<Vec<Difference>, Failure> {
    let zone = zone.map(Name::to_string);
    let views: BTreeSet<Option<&str>> = wanted
        .iter()
        .map(|record| record.view.as_deref())
        .chain(std::iter::once(None))
        .collect();
    let mut served = Vec::new();
    for view in views {
        let filter = Filter {
            // Pruning is of the zone; what is wanted elsewhere must be compared all the same.
            zone: zone.as_deref().filter(|_| prune),
            view,
            ..Filter::default()
        };
        served.extend(plan::served(records(client, &filter, None)?)?);
    }
    Ok(plan::differences(&served, wanted, prune))
}

/// Shows how what is served differs from the files; exit code 1 where it does.
pub(crate) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let wanted = read(&args.input, client.output())?;
    let found = difference(&client, &wanted.records, args.input.zone.as_ref(), args.prune)?;
    args.server
        .output
        .print(&plan::as_json(&found), || plan::shown(&found))?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(Failure::Findings)
    }
}

/// Makes what is served as the files say.
pub(crate) fn apply(args: &ApplyArgs) -> Result<(), Failure> {
    let wanted = read(&args.input, args.server.output)?;
    change(
        &args.server,
        &wanted,
        args.input.zone.as_ref(),
        args.prune,
        &args.options,
    )
}

/// Takes over records of other programs' files.
pub(crate) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let wanted = read(&args.input, args.server.output)?;
    for zone in &wanted.zones {
        let (name, file) = (&zone.name, &zone.file);
        eprintln!(
            "hotdns: zone {name}: its records are in {file}; take them over with: hotdns import --zone {name} {file}"
        );
    }
    change(&args.server, &wanted, args.input.zone.as_ref(), false, &args.options)
}

fn change(
    server: &ServerArgs,
    wanted: &Imported,
    zone: Option<&Name>,
    prune: bool,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let client = server.connect()?;
    let found = difference(&client, &wanted.records, zone, prune)?;
    if let Some(held) = found.iter().find(|difference| difference.holder.is_some()) {
        let name = held
            .new
            .as_ref()
            .map_or(String::new(), |record| format!("{} {}", record.name, record.r#type));
        let holder = held.holder.as_deref().unwrap_or_default();
        return Err(Failure::Refused {
            status: 409,
            code: "managed_by_file".to_owned(),
            detail: format!("{name} comes from {holder}; nothing was changed"),
        });
    }
    let edits = plan::edits(&found)?;
    let (count, verb) = (edits.len(), if options.dry_run { "would change" } else { "changed" });
    let answer = if edits.is_empty() {
        json!({"version": null, "diff": []})
    } else {
        submit(&client, edits, options)?
    };
    server.output.print(&answer, || {
        let plural = if count == 1 { "" } else { "s" };
        let answers = shown_answers(&answer);
        format!("{}{answers}{count} RRset{plural} {verb}\n", plan::shown(&found))
    })
}

/// Makes one file of others, without a server.
pub(crate) fn convert(args: &ConvertArgs) -> Result<(), Failure> {
    if args.to == "config" {
        // Its comments say what is not taken over.
        let imported = read_with(&args.input, OutputFormat::Table, files::read_records)?;
        let text = imported.to_config().map_err(|error| Failure::Text(error.to_string()))?;
        return write_out(&text);
    }
    let format = parse_format(&args.to).map_err(|words| Failure::Usage(format!("--to: config, or {words}")))?;
    let imported = read(&args.input, OutputFormat::Table)?;
    files::export(None, format, &imported.records, args.input.zone.as_ref())
}

/// Writes a file of what is served.
pub(crate) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let by_name = args.file.as_deref().and_then(Format::of_file);
    let format = args.format.or(by_name).unwrap_or(Format::Yaml);
    let records = served_records(
        &client,
        args.zone.as_ref(),
        args.source.as_deref(),
        args.view.as_deref(),
    )?;
    files::export(args.file.as_deref(), format, &records, args.zone.as_ref())
}

/// What is served, as files say it.
pub(crate) fn served_records(
    client: &Client,
    zone: Option<&Name>,
    source: Option<&str>,
    view: Option<&str>,
) -> Result<Vec<Record>, Failure> {
    let zone = zone.map(Name::to_string);
    let filter = Filter {
        zone: zone.as_deref(),
        view,
        ..Filter::default()
    };
    let mut all: Vec<Value> = records(client, &filter, None)?;
    all.retain(|record| source.is_none_or(|source| record["source"] == source));
    Ok(plan::served(all)?.into_iter().map(|served| served.record).collect())
}
