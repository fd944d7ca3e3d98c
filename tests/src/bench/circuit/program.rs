//! The program that is attached to the server's end, whoever did that, and what the kernel knows of it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use aya::programs::{ProgramInfo, loaded_programs};

use super::Circuit;

/// What the kernel knows of an XDP program.
#[derive(Clone, Copy, Debug)]
pub struct ProgramFigures {
    /// Time in it, while statistics were on.
    pub run_time_ns: u64,
    /// Packets it saw, while statistics were on.
    pub run_count: u64,
    /// Instructions that the verifier walked.
    pub verified_instructions: u64,
}

impl Circuit {
    /// The XDP program on the server's end.
    pub fn program(&self) -> Result<ProgramInfo> {
        let text = self
            .server
            .ip(&["-j", "link", "show", "dev", &self.pair.second.device])?;
        let links: serde_json::Value = serde_json::from_str(&text).context("`ip -j` does not speak JSON")?;
        let id = links[0]["xdp"]["prog"]["id"]
            .as_u64()
            .context("no XDP program on the server's end")?;
        for program in loaded_programs() {
            let program = program.context("cannot list the loaded programs")?;
            if u64::from(program.id()) == id {
                return Ok(program);
            }
        }
        bail!("the program {id} is gone")
    }

    /// What the kernel knows of it (`/proc/self/fdinfo`).
    pub fn program_figures(&self) -> Result<ProgramFigures> {
        let fd = self.program()?.fd().context("cannot open the program")?;
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        let info = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok())
                .with_context(|| format!("no {name} in {path}"))
        };
        Ok(ProgramFigures {
            run_time_ns: field("run_time_ns")?,
            run_count: field("run_cnt")?,
            verified_instructions: field("verified_insns")?,
        })
    }
}
