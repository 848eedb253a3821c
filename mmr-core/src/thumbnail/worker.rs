//! Rendering in sandboxed child processes: for decoders that are fast, but not memory-safe.
//!
//! The program that embeds this crate starts copies of itself. In `main`, before anything else, it looks for the word
//! under which it starts them, and gives control to [`run`]; elsewhere it hands a [`Workers`] to its
//! [`RenderPool`](super::RenderPool):
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use mmr_core::thumbnail::{RenderLimits, RenderPool, formats, worker::{self, WorkerCommand, Workers}};
//!
//! if std::env::args().nth(1).as_deref() == Some("render-worker") {
//!     return worker::run(&formats::native_renderers());
//! }
//! let limits = RenderLimits::default();
//! let command = WorkerCommand::this_program(["render-worker"]);
//! let pool = RenderPool::with_engine(limits, Arc::new(Workers::new(command, limits)));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A worker lives long and renders one source at a time. It gets the source through a pipe and answers through another;
//! it can open neither files nor sockets (Landlock and seccomp, where the kernel has them), may take no more memory than
//! was booked for the source, and is killed at the deadline, when nobody waits any more, and when this process ends. One
//! that crashes costs its source an error.

mod child;
mod command;
mod parent;
mod protocol;
pub(super) mod sandbox;

pub use self::{child::run, command::WorkerCommand, parent::Workers};
