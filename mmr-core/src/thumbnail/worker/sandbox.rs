//! What a worker gives up before it reads a byte that strangers wrote.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::PathBuf};

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
    let mut missing = Missing::default();
    let memory = File::open("/proc/self/statm");
    // Asks a file the first time.
    let page_bytes = rustix::param::page_size() as u64;
    missing.note("limit of memory", memory.as_ref().map(drop).map_err(ToString::to_string));
    missing.limit(&[
        ("limit of files", Resource::Fsize, 0),
        ("limit of memory", Resource::Data, setup.memory_bytes.saturating_add(SLACK_BYTES)),
    ]);
    missing.attend();
    #[cfg(target_os = "linux")]
    {
        missing.note("Landlock", linux::give_up_files());
        missing.note("seccomp", linux::give_up_system_calls());
    }
    #[cfg(not(target_os = "linux"))]
    missing.note("sandbox", Err("only Linux has one".to_owned()));
    Sandbox { setup, memory: memory.ok(), page_bytes, missing: missing.0 }
}

/// What a program of others may have that this process is about to become.
#[derive(Debug)]
pub(in crate::thumbnail) struct ProgramRules {
    /// Memory, that of its libraries included.
    pub(in crate::thumbnail) memory_bytes: u64,
    /// Processor time.
    pub(in crate::thumbnail) cpu_seconds: u64,
    /// Files and directories besides the libraries of the system.
    pub(in crate::thumbnail) readable: Vec<PathBuf>,
    /// Files.
    pub(in crate::thumbnail) writable: Vec<PathBuf>,
}

/// Locks this process in, as well as the kernel can, so that it can become a program and do with the rest what it was
/// started for. Returns what the kernel does not have.
pub(in crate::thumbnail) fn enter_for_program(rules: &ProgramRules) -> Vec<String> {
    /// Address space is not memory: code is mapped, and reserves are made.
    const RESERVED_BYTES: u64 = 1024 * 1024 * 1024;
    // Stacks of threads count as memory, and are as large as this one.
    const STACK_BYTES: u64 = 2 * 1024 * 1024;
    const FILES: u64 = 64;
    let mut missing = Missing::default();
    missing.attend();
    #[cfg(target_os = "linux")]
    {
        missing.note("Landlock", linux::give_up_files_except(&rules.readable, &rules.writable));
        missing.note("seccomp", linux::give_up_system_calls_of_program());
    }
    #[cfg(not(target_os = "linux"))]
    missing.note("sandbox", Err("only Linux has one".to_owned()));
    // Last, as this process has more memory than the program may.
    missing.limit(&[
        ("limit of files", Resource::Fsize, rules.memory_bytes),
        ("limit of open files", Resource::Nofile, FILES),
        ("limit of processor time", Resource::Cpu, rules.cpu_seconds),
        ("limit of the stack", Resource::Stack, STACK_BYTES),
        ("limit of memory", Resource::Data, rules.memory_bytes),
        ("limit of addresses", Resource::As, rules.memory_bytes.saturating_add(RESERVED_BYTES)),
    ]);
    missing.0
}

/// What the kernel does not have, one remark for each.
#[derive(Debug, Default)]
struct Missing(Vec<String>);

impl Missing {
    fn note(&mut self, what: &str, outcome: Result<(), String>) {
        if let Err(error) = outcome {
            self.0.push(format!("{what}: {error}"));
        }
    }

    /// No core dumps, and no more than this.
    fn limit(&mut self, limits: &[(&str, Resource, u64)]) {
        for &(name, resource, most) in [("limit of core dumps", Resource::Core, 0)].iter().chain(limits) {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            self.note(name, rustix::process::setrlimit(resource, limit).map_err(|error| error.to_string()));
        }
    }

    /// Those whom nobody waits for yet come before those whom somebody does; and nobody waits without a parent.
    fn attend(&mut self) {
        self.note("priority", rustix::process::nice(10).map(drop).map_err(|error| error.to_string()));
        #[cfg(target_os = "linux")]
        {
            let orphaned = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            self.note("end with the parent", orphaned.map_err(|error| error.to_string()));
        }
    }
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
