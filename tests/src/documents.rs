//! The pages that users read, and the commands and samples in them.
//!
//! ````text
//! README.md and the like, docs/*.md ─► fenced blocks ─► of `console`: commands, each with the output that is shown
//! ````
//!
//! The changelog is left out, and so are the decisions in `docs/adr`: they speak of the past.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const CHANGELOG: &str = "CHANGELOG.md";

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The page, as seen from the repository's root.
    pub page: String,
    /// The line of its first line of text, counted from 1.
    pub line: usize,
    /// What stands behind the fence; empty where nothing does.
    pub language: String,
    /// Its text, each line with its end.
    pub text: String,
}

/// A command of a `console` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is typed, without the prompt.
    pub text: String,
    /// What the page shows of its output; empty where it shows nothing.
    pub output: String,
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{} ({})", self.page, self.line, self.language)
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Every page, by its path from the root.
///
/// # Errors
/// A folder cannot be read.
pub fn pages() -> Result<Vec<String>> {
    let root = root();
    let mut pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .map(str::to_owned)
        .to_vec();
    for folder in ["docs", "docs/tutorials"] {
        for entry in std::fs::read_dir(root.join(folder)).context("cannot list docs")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") && name != CHANGELOG {
                pages.push(format!("{folder}/{name}"));
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Every fenced block of every page, by page and line.
///
/// # Errors
/// A page cannot be read, or a block is not closed.
pub fn blocks() -> Result<Vec<Block>> {
    let root = root();
    let mut blocks = Vec::new();
    for page in pages()? {
        let text = std::fs::read_to_string(root.join(&page)).with_context(|| format!("cannot read {page}"))?;
        blocks.extend(blocks_of(&page, &text)?);
    }
    Ok(blocks)
}

fn blocks_of(page: &str, text: &str) -> Result<Vec<Block>> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: number + 1,
                    language: language.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    match open {
        Some(block) => bail!("{block}: not closed"),
        None => Ok(blocks),
    }
}

impl Block {
    /// The commands of a `console` block. A line that ends in `\` goes on in the next one; what follows a command, up
    /// to the next prompt, is its output.
    ///
    /// # Errors
    /// The block does not begin with a prompt.
    pub fn commands(&self) -> Result<Vec<Command>> {
        let mut commands: Vec<Command> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command {
                    text: text.to_owned(),
                    output: String::new(),
                });
                goes_on = text.ends_with('\\');
                continue;
            }
            let command = commands
                .last_mut()
                .with_context(|| format!("{self}: no prompt before {line}"))?;
            if goes_on {
                command.text.push('\n');
                command.text.push_str(line);
                goes_on = line.ends_with('\\');
            } else {
                command.output.push_str(line);
                command.output.push('\n');
            }
        }
        Ok(commands)
    }
}

/// Whether the output is what a page shows. White space does not count; `…` in a line stands for anything. Where
/// `is_excerpt`, or where there is a `…`, each line that is shown must come, in this order; else the whole is the same.
pub fn is_as_shown(shown: &str, output: &str, is_excerpt: bool) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let output = squeezed(output);
    if !is_excerpt && !shown.contains('…') {
        return squeezed(shown) == output;
    }
    let mut rest = output.as_str();
    for part in shown.lines().flat_map(|line| line.split('…')).map(squeezed) {
        match rest.find(&part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_place_and_language() {
        let blocks = blocks_of("a.md", "x\n```yaml\na: 1\nb: 2\n```\ny\n```\nz\n```\n").expect("closed");
        let [first, second] = &blocks[..] else {
            panic!("{blocks:?}")
        };
        assert_eq!(
            (first.line, &first.language[..], &first.text[..]),
            (3, "yaml", "a: 1\nb: 2\n")
        );
        assert_eq!((second.line, &second.language[..], &second.text[..]), (8, "", "z\n"));
        assert!(blocks_of("a.md", "```\n").is_err());
    }

    #[test]
    fn commands_have_their_output() {
        let text = "$ one \\\n  -d x\nshown\nand more\n$ two\n".to_owned();
        let block = Block {
            page: "a.md".into(),
            line: 1,
            language: "console".into(),
            text,
        };
        let commands = block.commands().expect("prompts");
        assert_eq!(commands.len(), 2);
        assert_eq!(
            (&commands[0].text[..], &commands[0].output[..]),
            ("one \\\n  -d x", "shown\nand more\n")
        );
        assert_eq!((&commands[1].text[..], &commands[1].output[..]), ("two", ""));
        let without = Block {
            text: "no prompt\n".into(),
            ..block
        };
        assert!(without.commands().is_err());
    }

    #[test]
    fn output_is_compared_without_white_space_and_with_gaps() {
        assert!(is_as_shown("a b\n", "a  b\n", false));
        assert!(!is_as_shown("a\n", "a\nb\n", false));
        assert!(is_as_shown("a\n", "a\nb\n", true));
        assert!(is_as_shown("a\nc\n", "a\nb\nc\n", true) && !is_as_shown("c\na\n", "a\nb\nc\n", true));
        assert!(is_as_shown("{a…}\n", "{a, b}", false) && !is_as_shown("{a…c}", "{a, b}", false));
    }
}
