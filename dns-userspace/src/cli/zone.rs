//! `hotdns zone`: zones of a running server.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, Subcommand};
use dns_userspace::formats::{Format, Source};
use dns_userspace::model::name::Name;
use dns_userspace::model::shown::percent_encoded;
use serde_json::{Value, json};

use super::apply::served_records;
use super::changes::{ChangeOptions, submit};
use super::connection::{Client, Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::files::{self, failed, parse_format, parse_name};
use super::output::{OutputFormat, cell, table, write_out};
use super::plan;
use super::record::{Filter, records};

/// Arguments of `hotdns zone`.
#[derive(Debug, Args)]
pub(crate) struct ZoneArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: ZoneVerb,
}

#[derive(Debug, Subcommand)]
enum ZoneVerb {
    /// List all zones.
    List,
    /// Show one zone.
    Show(NameArgs),
    /// Create a zone with an SOA and an NS record by default, or from a file.
    Create(CreateArgs),
    /// Delete a zone with all its records.
    Delete(DeleteArgs),
    /// Write a zone's records into a file.
    Export(ExportArgs),
    /// Replace a zone's records by those of a file.
    Import(ImportArgs),
    /// Edit a zone as text, in the editor that VISUAL or EDITOR names.
    Edit(EditArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
    /// A file with its records; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the file is [default: by its name, else a zone file].
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
    /// The file that is written [default: standard output].
    file: Option<PathBuf>,
    /// What is written: zone, hosts, csv, backup, json or yaml [default: by the file's name, else zone].
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// What the file is [default: by its name, else a zone file].
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
    #[command(flatten)]
    options: ChangeOptions,
}

#[derive(Debug, Args)]
struct EditArgs {
    /// The zone.
    #[arg(value_parser = parse_name)]
    name: Name,
    /// Make the changes without asking.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Does what `hotdns zone` was asked for.
pub(crate) fn zone(args: &ZoneArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let output = args.server.output;
    match &args.verb {
        ZoneVerb::List => list(&client, output),
        ZoneVerb::Show(show) => {
            let zone = client.call("GET", &path(&show.name), Payload::None)?.json()?;
            output.print(&zone, || zones(std::slice::from_ref(&zone)))
        }
        ZoneVerb::Create(create) => self::create(&client, create, output),
        ZoneVerb::Delete(delete) => {
            if !delete.yes && !confirmed(&format!("Delete the zone {} with all its records?", delete.name))? {
                return Err(Failure::Usage("nothing was deleted".to_owned()));
            }
            client.call("DELETE", &path(&delete.name), Payload::None).map(|_| ())
        }
        ZoneVerb::Export(export) => {
            let by_name = export.file.as_deref().and_then(Format::of_file);
            let format = export.format.or(by_name).unwrap_or(Format::Zone);
            let records = zone_records(&client, &export.name)?;
            files::export(export.file.as_deref(), format, &records, Some(&export.name))
        }
        ZoneVerb::Import(import) => self::import(&client, import, output),
        ZoneVerb::Edit(edit) => self::edit(&client, edit),
    }
}

fn path(zone: &Name) -> String {
    format!("/api/v1/zones/{}", percent_encoded(&zone.to_string()))
}

/// A zone's records; that there are none is that there is no such zone.
fn zone_records(client: &Client, zone: &Name) -> Result<Vec<dns_userspace::formats::Record>, Failure> {
    let records = served_records(client, Some(zone), None, None)?;
    if records.is_empty() {
        return Err(Failure::Refused {
            status: 404,
            code: "not_found".to_owned(),
            detail: format!("there is no zone {zone}"),
        });
    }
    Ok(records)
}

fn list(client: &Client, output: OutputFormat) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let path = path_with("/api/v1/zones", &[("cursor", cursor.as_deref())]);
        let mut page = client.call("GET", &path, Payload::None)?.json()?;
        match page["zones"].take() {
            Value::Array(zones) => all.extend(zones),
            _ => {
                return Err(Failure::Unexpected {
                    call: format!("GET {path}"),
                    reason: "no member `zones`".to_owned(),
                });
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let document = json!({ "zones": all });
    output.print(&document, || {
        zones(document["zones"].as_array().map_or(&[][..], Vec::as_slice))
    })
}

fn zones(zones: &[Value]) -> String {
    let members = ["name", "serial", "records", "source", "kind", "version"];
    let rows = zones
        .iter()
        .map(|zone| members.map(|member| cell(&zone[member])).to_vec());
    table(&["NAME", "SERIAL", "RECORDS", "SOURCE", "KIND", "VERSION"], rows)
}

fn create(client: &Client, create: &CreateArgs, output: OutputFormat) -> Result<(), Failure> {
    let mut body = json!({"name": create.name.to_string()});
    if let Some(file) = &create.file {
        let format = create.format.or_else(|| Format::of_file(file)).unwrap_or(Format::Zone);
        let imported = files::import(file, Some(format), Some(&create.name))?;
        body["records"] = json!(imported.records);
    }
    let zone = client.call("POST", "/api/v1/zones", Payload::Json(&body))?.json()?;
    for warning in zone["warnings"].as_array().into_iter().flatten() {
        eprintln!("hotdns: warning: {}", cell(warning));
    }
    output.print(&zone, || zones(std::slice::from_ref(&zone)))
}

fn import(client: &Client, import: &ImportArgs, output: OutputFormat) -> Result<(), Failure> {
    let format = import
        .format
        .or_else(|| Format::of_file(&import.file))
        .unwrap_or(Format::Zone);
    let imported = files::import(&import.file, Some(format), Some(&import.name))?;
    let found = against(client, &import.name, &imported.records)?;
    let edits = plan::edits(&found)?;
    let answer = if edits.is_empty() {
        json!({"version": null, "diff": []})
    } else {
        submit(client, edits, &import.options)?
    };
    output.print(&answer, || plan::shown(&found))
}

/// How a zone differs from what it is to be.
fn against(
    client: &Client,
    zone: &Name,
    wanted: &[dns_userspace::formats::Record],
) -> Result<Vec<plan::Difference>, Failure> {
    let name = zone.to_string();
    let filter = Filter {
        zone: Some(&name),
        ..Filter::default()
    };
    let served = plan::served(records(client, &filter, None)?)?;
    Ok(plan::differences(&served, wanted, true))
}

fn edit(client: &Client, edit: &EditArgs) -> Result<(), Failure> {
    let before = zone_records(client, &edit.name)?;
    let written = Format::Zone.write(&before, Some(&edit.name));
    let (text, _) = written.map_err(|error| Failure::Text(error.to_string()))?;
    let file = std::env::temp_dir().join(format!("hotdns-{}-{}zone", std::process::id(), edit.name));
    let outcome = edit_in(client, edit, &file, &text);
    if matches!(outcome, Err(Failure::Text(_) | Failure::Refused { .. })) {
        eprintln!("hotdns: your text is kept in {}", file.display());
    } else {
        let _ = std::fs::remove_file(&file);
    }
    outcome
}

fn edit_in(client: &Client, edit: &EditArgs, file: &std::path::Path, text: &str) -> Result<(), Failure> {
    files::write(Some(file), text)?;
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // An editor may have arguments, as in `code --wait`.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()
        .map_err(|error| failed(std::path::Path::new(&editor), error))?;
    if !status.success() {
        return Err(Failure::Usage(format!(
            "{editor} ended with {status}: nothing was changed"
        )));
    }
    let changed = files::read(file)?;
    let source = Source {
        text: &changed,
        shown_as: file,
        zone: Some(&edit.name),
    };
    let imported = Format::Zone.read(source).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::Text(lines.join("\n"))
    })?;
    let found = against(client, &edit.name, &imported.records)?;
    if found.is_empty() {
        return write_out("nothing changed\n");
    }
    write_out(&plan::shown(&found))?;
    if !edit.yes && !edit.options.dry_run && !confirmed("Make these changes?")? {
        return Err(Failure::Text("nothing was changed".to_owned()));
    }
    submit(client, plan::edits(&found)?, &edit.options).map(|_| ())
}

/// Asks on the terminal.
fn confirmed(question: &str) -> Result<bool, Failure> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{question} There is no terminal to ask on: say --yes"
        )));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| failed(std::path::Path::new("standard input"), error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
