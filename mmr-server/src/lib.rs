#![doc = include_str!("../README.md")]

mod api;
pub mod auth;
mod forwarded;
mod observe;
mod respond;
mod route;
pub mod server;
pub mod service;

pub use self::{respond::MediaBody, service::MediaService};
