//! `hotdns check`: everything that can be wrong with the files, without serving them.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use dns_userspace::config::{ConfigSource, ConfigWithZones};

/// How much is in order; shown as the line that a good check prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Configured zones.
    pub zones: usize,
    /// RRsets in their files.
    pub zone_rrsets: usize,
    /// RRsets of `records`.
    pub records: usize,
    /// Warnings that were written.
    pub warnings: usize,
}

/// The files have errors, and they have been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{errors} errors")]
pub struct CheckFailed {
    /// How many errors were written.
    pub errors: usize,
}

/// `hotdns check`: the summary goes to standard output, errors and warnings to standard error.
pub(crate) fn report(source: &ConfigSource) -> ExitCode {
    match check(source, &mut std::io::stderr().lock()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Validates the configuration and every zone file, and writes every error and warning to `report`.
///
/// A report that cannot be written changes nothing in the result.
pub fn check(source: &ConfigSource, report: &mut dyn Write) -> Result<Summary, CheckFailed> {
    let mut lines = Lines {
        report,
        errors: 0,
        warnings: 0,
    };
    let desired = match source.load_everything() {
        Ok(desired) => desired,
        Err(errors) => {
            errors.iter().for_each(|error| lines.error(error));
            return lines.into_failure();
        }
    };
    let ConfigWithZones {
        config,
        warnings,
        zones,
        unchanged: _,
        clashes,
        shown: _,
    } = &desired;
    warnings.iter().for_each(|warning| lines.warning(warning));
    clashes.iter().for_each(|clash| lines.error(clash));
    let mut zone_rrsets = 0;
    for zone in zones {
        match &zone.content {
            Ok(content) => {
                zone_rrsets += content.rrsets.len();
                content.warnings.iter().for_each(|warning| lines.warning(warning));
            }
            Err(errors) => errors.iter().for_each(|error| lines.error(error)),
        }
    }
    if lines.errors > 0 {
        return lines.into_failure();
    }
    Ok(Summary {
        zones: zones.len(),
        zone_rrsets,
        records: config.records.len(),
        warnings: lines.warnings,
    })
}

/// Writes and counts.
struct Lines<'a> {
    report: &'a mut dyn Write,
    errors: usize,
    warnings: usize,
}

impl Lines<'_> {
    fn error(&mut self, error: &dyn fmt::Display) {
        self.errors += 1;
        let _ = writeln!(self.report, "{error}");
    }

    fn warning(&mut self, warning: &dyn fmt::Display) {
        self.warnings += 1;
        let _ = writeln!(self.report, "warning: {warning}");
    }

    fn into_failure(self) -> Result<Summary, CheckFailed> {
        let _ = writeln!(self.report, "{}", counted(self.errors, "error"));
        Err(CheckFailed { errors: self.errors })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ok: {} with {}, {} in `records`",
            counted(self.zones, "zone"),
            counted(self.zone_rrsets, "RRset"),
            counted(self.records, "RRset"),
        )?;
        match self.warnings {
            0 => Ok(()),
            warnings => write!(f, ", {}", counted(warnings, "warning")),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use dns_userspace::config::Overrides;

    fn checked(folder: &Path) -> (Result<Summary, CheckFailed>, String) {
        let source = ConfigSource {
            path: folder.join("hotdns.yaml"),
            overrides: Overrides::default(),
        };
        let mut report = Vec::new();
        let result = check(&source, &mut report);
        (result, String::from_utf8(report).expect("UTF-8"))
    }

    const ZONE: &str = "example.com. 300 IN SOA ns.example.com. host.example.com. 1 7200 900 1209600 300\n\
                        example.com. 300 IN NS ns.example.com.\n\
                        ns.example.com. 300 IN A 192.0.2.1\n";

    #[test]
    fn a_good_configuration_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("zones")).expect("a folder");
        fs::write(folder.path().join("zones/example.com.zone"), ZONE).expect("written");
        let text = "zones:\n  - name: example.com.\n    file: zones/example.com.zone\n\
                    records:\n  - {name: a.example.net., type: A, value: [192.0.2.1]}\n";
        fs::write(folder.path().join("hotdns.yaml"), text).expect("written");
        let (result, report) = checked(folder.path());
        assert_eq!(report, "");
        assert_eq!(
            result.expect("ok").to_string(),
            "ok: 1 zone with 3 RRsets, 1 RRset in `records`"
        );
    }

    #[test]
    fn bad_zone_files_and_clashes_are_all_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("good.zone"), ZONE).expect("written");
        fs::write(folder.path().join("bad.zone"), "example.net. 300 IN A 192.0.2.999\n").expect("written");
        let text = "zones:\n  - {name: example.com., file: good.zone}\n  - {name: example.net., file: bad.zone}\n\
                    records:\n  - {name: NS.example.com., type: A, value: [192.0.2.7]}\n\
                    \x20 - {name: ns.example.com, type: TXT, value: [fine]}\n";
        fs::write(folder.path().join("hotdns.yaml"), text).expect("written");
        let (result, report) = checked(folder.path());
        assert!(result.is_err());
        let clash = format!(
            "{}:5:5: NS.example.com. A is also in the zone file good.zone",
            folder.path().join("hotdns.yaml").display()
        );
        assert!(report.starts_with(&clash), "{report}");
        assert!(
            report.contains(&format!("{}:1:", folder.path().join("bad.zone").display())),
            "{report}"
        );
        assert!(!report.contains("TXT"), "{report}");
    }

    #[test]
    fn a_file_that_is_not_there_is_one_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (result, report) = checked(folder.path());
        assert_eq!(result, Err(CheckFailed { errors: 1 }));
        assert!(report.contains("hotdns.yaml: the file cannot be read"), "{report}");
    }
}
