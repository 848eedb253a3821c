#![doc = include_str!("../README.md")]

mod api;
pub mod auth;
pub mod cli;
pub mod config;
mod forwarded;
mod observe;
mod respond;
mod route;
pub mod server;
pub mod service;
mod telemetry;

pub use self::{respond::MediaBody, service::MediaService};
