//! A network namespace of its own.

use std::fs::File;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use super::cleanup;
use super::process::run;

/// A network namespace that lives as long as this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback interface up. The label is for people who look at `ip netns`.
    pub fn new(label: &str) -> Result<Self> {
        let name = cleanup::register(label);
        let namespace = Self { name };
        run("ip", &["netns", "add", &namespace.name])?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these arguments inside.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// A command that will run inside; its process is the program itself, not a wrapper.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside to its end; gives its standard output, or an error with what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run("ip", &[&["netns", "exec", &self.name, program], arguments].concat())
    }

    /// Calls a function on a thread that is inside. Sockets it opens stay inside, wherever they are used later.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
                    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {path}"))?;
                    inside()
                })
                .join()
                .unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    Err(anyhow!(
                        "panicked: {}",
                        text.or(panic.downcast_ref().copied()).unwrap_or("(no text)")
                    ))
                })
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cleanup::remove(&self.name);
    }
}
