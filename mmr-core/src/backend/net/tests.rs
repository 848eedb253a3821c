//! The transport against name servers and TLS servers under the test's control.

mod bodies;
mod contract;
mod discovery;
mod dns;
mod egress;
mod elsewhere;
mod fallback;
mod inbound;
mod length;
mod origin;
mod peer;
mod pool;
mod tls;
mod wellknown;
mod world;
