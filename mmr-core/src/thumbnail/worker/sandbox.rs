//! What a worker gives up before it reads a byte that strangers wrote.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use rustix::{
    process::{Resource, Rlimit, Signal},
    time::ClockId,
};

use super::protocol::Setup;

#[cfg(target_os = "linux")]
mod linux;

/// Memory beyond what was booked: the allocator's own, and its rounding.
const SLACK_BYTES: u64 = 48 * 1024 * 1024;

/// A process that has locked itself in.
#[derive(Debug)]
pub(super) struct Sandbox {
    setup: Setup,
    /// `/proc/self/statm`, opened before files went out of reach.
    memory: Option<File>,
    page_bytes: u64,
    missing: Vec<String>,
}

/// Locks this process in, as well as the kernel can.
pub(super) fn enter(setup: Setup) -> Sandbox {
    let mut missing = Vec::new();
    let mut attempt = |what: &str, outcome: Result<(), String>| {
        if let Err(error) = outcome {
            missing.push(format!("{what}: {error}"));
        }
    };
    // Those whom nobody waits for yet come before those whom somebody does.
    attempt("priority", rustix::process::nice(10).map(drop).map_err(|error| error.to_string()));
    let memory = File::open("/proc/self/statm");
    // Asks a file the first time.
    let page_bytes = rustix::param::page_size() as u64;
    attempt("limit of memory", memory.as_ref().map(drop).map_err(ToString::to_string));
    for (name, resource, most) in [
        ("limit of core dumps", Resource::Core, 0),
        ("limit of files", Resource::Fsize, 0),
        ("limit of memory", Resource::Data, setup.memory_bytes.saturating_add(SLACK_BYTES)),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        attempt(name, rustix::process::setrlimit(resource, limit).map_err(|error| error.to_string()));
    }
    #[cfg(target_os = "linux")]
    {
        let orphaned = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        attempt("end with the parent", orphaned.map_err(|error| error.to_string()));
        attempt("Landlock", linux::give_up_files());
        attempt("seccomp", linux::give_up_system_calls());
    }
    #[cfg(not(target_os = "linux"))]
    attempt("sandbox", Err("only Linux has one".to_owned()));
    Sandbox { setup, memory: memory.ok(), page_bytes, missing }
}

impl Sandbox {
    /// What the kernel does not have.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Another source: it may take the processor time of one from here on.
    pub(super) fn begin(&self) -> io::Result<()> {
        let used = rustix::time::clock_gettime(ClockId::ProcessCPUTime).tv_sec;
        let most = u64::try_from(used).unwrap_or_default().saturating_add(self.setup.cpu_seconds + 1);
        let maximum = rustix::process::getrlimit(Resource::Cpu).maximum;
        Ok(rustix::process::setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum })?)
    }

    /// From here on this process may take `bytes` more than it has.
    pub(super) fn allow_memory(&self, bytes: u64) -> io::Result<()> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let mut text = [0; 128];
        let len = memory.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..len]);
        let pages = text.split(' ').nth(5).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
        let taken = pages * self.page_bytes;
        let maximum = rustix::process::getrlimit(Resource::Data).maximum;
        let most = taken.saturating_add(bytes).saturating_add(SLACK_BYTES).min(maximum.unwrap_or(u64::MAX));
        Ok(rustix::process::setrlimit(Resource::Data, Rlimit { current: Some(most), maximum })?)
    }
}
