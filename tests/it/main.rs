//! The server and the library as their users meet them, in one process.

mod admin;
mod architecture;
mod auth;
mod batches;
mod cluster;
mod download;
mod federation;
mod hostile;
mod info;
mod limits;
mod range;
mod redirect;
mod remote;
mod rendering;
mod statements;
mod tasks;
mod tenants;
mod thumbnail;
mod upload;
