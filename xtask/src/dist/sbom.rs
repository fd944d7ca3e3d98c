//! The packages that the program is made of, as CycloneDX 1.5.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{process, workspace};

/// Every package that the program is linked with, at the version of the lock file.
pub(super) fn of_lock_file(version: &str) -> Result<String> {
    let format = "{p}\t{l}";
    let options = [
        "tree",
        "--locked",
        "--package",
        "dns-userspace",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ];
    let text = process::read(process::cargo().args(options).args(["--no-dedupe", "--format", format]))?;
    let mut components: Vec<Value> = text.lines().filter_map(component).collect();
    components.sort_by_key(|component| component["purl"].to_string());
    components.dedup();
    anyhow::ensure!(
        !components.is_empty(),
        "cargo tree names no package in {}",
        workspace::root().display()
    );
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "hotdns", "version": version}},
        "components": components,
    });
    serde_json::to_string_pretty(&document).context("no JSON can be made of the packages")
}

/// `NAME vVERSION (proc-macro)\tLICENCE`.
fn component(line: &str) -> Option<Value> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // Packages of this workspace have their path behind them.
    if package.contains("(/") {
        return None;
    }
    Some(json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
        "licenses": [{"expression": licence.replace('/', " OR ")}],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_tree_are_components() {
        let found = component("serde_derive v1.0.2 (proc-macro)\tMIT OR Apache-2.0").expect("a package");
        assert_eq!(found["purl"], "pkg:cargo/serde_derive@1.0.2");
        assert_eq!(component("dns-common v0.1.0 (/src/dns-common)\tMIT"), None);
    }
}
