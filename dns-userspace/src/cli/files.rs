//! Files that verbs read and write; `-` is standard input or standard output.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use dns_userspace::formats::{Format, FormatError, Imported, LeftOut, Record, Source};
use dns_userspace::model::name::Name;

use super::failure::Failure;
use super::output::write_out;

/// How messages name standard input.
const STANDARD_INPUT: &str = "standard input";

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        let outcome = std::io::stdin().read_to_string(&mut text);
        return outcome.map(|_| text).map_err(|error| Failure::File {
            path: STANDARD_INPUT.to_owned(),
            error,
        });
    }
    std::fs::read_to_string(path).map_err(|error| failed(path, error))
}

/// Writes a file whole or not at all, or to standard output for `-` and `None`.
pub(crate) fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        return write_out(text);
    };
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let outcome = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    outcome.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(path, error)
    })
}

/// The failure of a file.
pub(crate) fn failed(path: &Path, error: std::io::Error) -> Failure {
    Failure::File {
        path: path.display().to_string(),
        error,
    }
}

/// The word for a format, as an option takes it.
pub(crate) fn parse_format(word: &str) -> Result<Format, String> {
    let found = Format::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let words: Vec<&str> = Format::WORDS.iter().map(|(known, _)| *known).collect();
        format!("one of: {}", words.join(", "))
    })
}

/// A name from an option.
pub(crate) fn parse_name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// Reads records from a file, and says on standard error what is not taken over.
pub(crate) fn import(path: &Path, format: Option<Format>, zone: Option<&Name>) -> Result<Imported, Failure> {
    let imported = read_records(path, format, zone)?;
    report(&shown(path), &imported.left_out);
    Ok(imported)
}

/// Reads records from a file.
pub(crate) fn read_records(path: &Path, format: Option<Format>, zone: Option<&Name>) -> Result<Imported, Failure> {
    let text = read(path)?;
    let is_backup = || text.contains("kind: DNSRecordBackup");
    let format = match format.or_else(|| Format::of_file(path)) {
        Some(Format::Yaml) if is_backup() => Format::Backup,
        Some(format) => format,
        None if is_backup() => Format::Backup,
        None => {
            return Err(Failure::Usage(format!(
                "what {} is cannot be told from its name: give --format",
                shown(path)
            )));
        }
    };
    let of_name = zone_of_file(path).filter(|_| format == Format::Zone);
    let shown_as = shown(path);
    let source = Source {
        text: &text,
        shown_as: Path::new(&shown_as),
        folder: path
            .parent()
            .filter(|folder| *folder != Path::new(""))
            .unwrap_or(Path::new(".")),
        zone: zone.or(of_name.as_ref()),
    };
    format.read(source).map_err(|errors| located(path, &errors))
}

/// Says what of a text was left out.
pub(crate) fn report(path: &str, left_out: &[LeftOut]) {
    for part in left_out {
        match part.line {
            0 => eprintln!("{path}: not taken over: {part}"),
            _ => eprintln!("{path}:{part}"),
        }
    }
}

/// Writes records in a format.
pub(crate) fn export(
    path: Option<&Path>,
    format: Format,
    records: &[Record],
    zone: Option<&Name>,
) -> Result<(), Failure> {
    let (text, left_out) = format
        .write(records, zone)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    write(path, &text)?;
    for part in &left_out {
        eprintln!("hotdns: not written: {part}");
    }
    Ok(())
}

/// Every file of a folder whose format its name tells, in the order of names; a file is itself.
pub(crate) fn of_folder(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(path, error))? {
        let file = entry.map_err(|error| failed(path, error))?.path();
        let is_hidden = file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if file.is_file() && !is_hidden && Format::of_file(&file).is_some() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// `example.com.` of `example.com.zone` and of `db.example.com`.
fn zone_of_file(path: &Path) -> Option<Name> {
    let name = path.file_name()?.to_str()?;
    let zone = name.strip_suffix(".zone").or_else(|| name.strip_prefix("db."))?;
    Name::parse(zone).ok()
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        STANDARD_INPUT.to_owned()
    } else {
        path.display().to_string()
    }
}

fn located(path: &Path, errors: &[FormatError]) -> Failure {
    let path = shown(path);
    let lines = errors.iter().map(|error| {
        // A zone file's errors have their place already.
        if error.line == 0 && error.message.starts_with(&path) {
            error.to_string()
        } else if error.line == 0 {
            format!("{path}: {error}")
        } else {
            format!("{path}:{error}")
        }
    });
    Failure::Text(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        write(Some(&path), "one\n").expect("written");
        write(Some(&path), "two\n").expect("written");
        assert_eq!(read(&path).expect("read"), "two\n");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
        let nowhere = folder.path().join("no/a.csv");
        assert!(matches!(write(Some(&nowhere), "x"), Err(Failure::File { .. })));
    }

    #[test]
    fn errors_have_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "name,type,ttl,value\na.example,A,60,x\n").expect("written");
        let error = import(&path, None, None).expect_err("no address").to_string();
        assert!(
            error.starts_with(&format!("{}:2: `x` is no A value", path.display())),
            "{error}"
        );
        let path = folder.path().join("example.com.zone");
        std::fs::write(&path, "@ 60 SOA a b 1 2 3 4 5\nwww 60 A x\n").expect("written");
        let error = import(&path, None, None).expect_err("no address").to_string();
        assert!(error.starts_with(&format!("{}:2:10: ", path.display())), "{error}");
    }
}
