//! Support for the integration tests: a server in-process, a homeserver that does as it is told, a client.

mod client;
mod homeserver;
mod server;

pub use self::{
    client::{Client, Reply},
    homeserver::FakeHomeserver,
    server::{ADMIN, ALICE, BOB, GUEST, SERVER_NAME, Scratch, TestServer, TestServerBuilder},
};
