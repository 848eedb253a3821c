//! The transport against name servers and TLS servers under the test's control.

mod discovery;
mod dns;
mod egress;
mod origin;
mod pool;
mod tls;
mod wellknown;
mod world;
