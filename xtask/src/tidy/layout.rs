//! Rules about files: where they may be, what they may be called, how large they may be, and what manifests say.

use std::path::Path;

use super::Finding;

/// What the top level of the repository may hold, besides files and folders whose name starts with a dot.
const TOP_LEVEL: &[&str] = &[
    "dns-common",
    "dns-ebpf",
    "dns-userspace",
    "xtask",
    "tests",
    "docs",
    "deploy",
    "Cargo.toml",
    "Cargo.lock",
    "Taskfile.yml",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// Module names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

const LARGEST_FILE_BYTES: u64 = 512 * 1024;

/// Checks all files.
pub(super) fn check(root: &Path, files: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(top_level(file));
        findings.extend(module_name(file));
        let bytes = root.join(file).metadata().map_or(0, |metadata| metadata.len());
        findings.extend(size(file, bytes));
        if file.ends_with("Cargo.toml") {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            findings.extend(manifest(file, &text));
        }
    }
    findings
}

fn top_level(file: &str) -> Option<Finding> {
    let first = file.split('/').next().unwrap_or_default();
    let allowed = first.starts_with('.') || TOP_LEVEL.contains(&first);
    (!allowed).then(|| {
        Finding::new(
            file,
            0,
            format!("`{first}` does not belong to the top level of the repository"),
        )
    })
}

fn module_name(file: &str) -> Option<Finding> {
    let stem = file.strip_suffix(".rs")?;
    if stem.ends_with("/mod") {
        return Some(Finding::new(
            file,
            0,
            "no mod.rs: write `foo.rs` beside the folder `foo`",
        ));
    }
    let name = stem.split('/').find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(
        file,
        0,
        format!("`{name}` says nothing: name the module after what it does"),
    ))
}

fn size(file: &str, bytes: u64) -> Option<Finding> {
    let too_large = bytes > LARGEST_FILE_BYTES && file != "Cargo.lock";
    (too_large).then(|| {
        Finding::new(
            file,
            0,
            format!("{bytes} bytes, more than {LARGEST_FILE_BYTES}: built, or data?"),
        )
    })
}

/// Every dependency is declared once, in the workspace, with the reason why it is there.
fn manifest(file: &str, text: &str) -> Vec<Finding> {
    let mut section = "";
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if line.is_empty() || line.starts_with('#') {
        } else if section == "workspace.dependencies" {
            let is_own = line.contains("path = ");
            if !is_own && !line.contains('#') {
                findings.push(Finding::new(
                    file,
                    number,
                    "a dependency without a reason: add `# why it is here`",
                ));
            }
        } else if section.ends_with("dependencies") && !line.contains("workspace = true") {
            findings.push(Finding::new(
                file,
                number,
                "declare the dependency in the workspace: `name.workspace = true`",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_is_closed() {
        assert_eq!(top_level("dns-common/src/lib.rs"), None);
        assert_eq!(top_level(".ci/run"), None);
        assert!(top_level("scripts/x.sh").is_some());
        assert_eq!(top_level("SECURITY.md"), None);
        assert_eq!(top_level("LICENSE-MIT"), None);
        assert!(top_level("NOTES.md").is_some());
    }

    #[test]
    fn empty_names_are_found_as_file_and_folder() {
        assert!(module_name("xtask/src/utils.rs").is_some());
        assert!(module_name("tests/tests/common/client.rs").is_some());
        assert!(module_name("tests/src/mod.rs").is_some());
        assert_eq!(module_name("dns-common/src/lib.rs"), None);
        assert_eq!(module_name("docs/misc.md"), None);
    }

    #[test]
    fn a_large_file_is_found_unless_it_is_the_lock() {
        assert!(size("tests/data.bin", LARGEST_FILE_BYTES + 1).is_some());
        assert_eq!(size("tests/data.bin", LARGEST_FILE_BYTES), None);
        assert_eq!(size("Cargo.lock", LARGEST_FILE_BYTES + 1), None);
    }

    #[test]
    fn a_dependency_needs_its_reason_and_its_place() {
        let workspace = "[workspace.dependencies]\nanyhow = \"1\" # errors\nlibc = \"0.2\"\nown = { path = \"own\" }\n";
        let lines: Vec<usize> = manifest("Cargo.toml", workspace)
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [3]);
        let member = "[dependencies]\nanyhow.workspace = true\n[dev-dependencies]\nlibc = \"0.2\"\n[lints]\nx = 1\n";
        let lines: Vec<usize> = manifest("a/Cargo.toml", member)
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [4]);
    }
}
