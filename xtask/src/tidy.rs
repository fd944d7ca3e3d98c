//! `cargo xtask tidy`: the rules of `docs/ARCHITECTURE.md` and of style that a program can check.
//!
//! ```text
//! git's list of files ─┬─► layout rules (names, sizes, top level, manifests)
//!                      └─► Rust sources ─► code without comments, strings and tests ─► layering rules
//! ```
//!
//! A rule is a function from the files to findings; each finding says where, what, and what the rule wants.

mod layering;
mod layout;
mod rooms;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    /// 0 where the finding is about the file itself.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.file, self.message),
            line => write!(formatter, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Checks every file that git has or would add, and fails on any finding.
pub(crate) fn tidy() -> Result<()> {
    let root = workspace::root();
    let files = listed(&root)?;
    let mut findings = layout::check(&root, &files);
    let library =
        std::fs::read_to_string(root.join(rooms::ROOT)).with_context(|| format!("cannot read {}", rooms::ROOT))?;
    let order = rooms::order(&library);
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        findings.extend(layering::check(file, &text));
        findings.extend(rooms::check(&order, file, &text));
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: {} files", files.len());
    Ok(())
}

/// Tracked files and those that are new and not ignored, as long as they exist.
fn listed(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listing = process::read(Command::new("git").current_dir(root).args(arguments))
        .context("tidy asks git which files are the project's")?;
    let mut files: Vec<String> = listing
        .split('\0')
        .filter(|file| !file.is_empty())
        .map(str::to_owned)
        .collect();
    files.retain(|file| root.join(PathBuf::from(file)).exists());
    files.dedup();
    Ok(files)
}
