//! Support for the integration tests: a server in-process, a homeserver that does as it is told, a client.

mod client;
pub mod gcs;
mod homeserver;
mod pgbouncer;
mod postgres;
pub mod s3;
mod server;

pub use self::{
    client::{Client, Reply},
    homeserver::FakeHomeserver,
    pgbouncer::PgBouncer,
    postgres::{Cluster, bare_database_url, connect, database_url},
    server::{ADMIN, ALICE, BOB, GUEST, SERVER_NAME, Scratch, TestServer, TestServerBuilder},
};
