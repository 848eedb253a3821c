//! Support for the integration tests: a server in-process, a homeserver that does as it is told, a client.

mod client;
mod homeserver;
pub mod s3;
mod server;

pub use self::{
    client::{Client, Reply},
    homeserver::FakeHomeserver,
    server::{ALICE, BOB, GUEST, SERVER_NAME, Scratch, TestServer, TestServerBuilder},
};
