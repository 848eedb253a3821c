//! How the network is used.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use ruma::OwnedServerName;
use rustls::pki_types::CertificateDer;

use super::guard::EgressPolicy;
use crate::clock::{Clock, SystemClock};

/// How the network is used. The default is right for the Internet.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// What may be connected to.
    pub egress: EgressPolicy,
    /// The DNS servers to ask, instead of those that the system asks.
    pub nameservers: Vec<SocketAddr>,
    /// Trusted roots beside the system's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Servers that are not looked up: connect to this `host:port` (without a port: to `default_port`). The server's
    /// name stays what the certificate is for, and what the Host header says. `egress` applies here, too.
    pub domains: HashMap<OwnedServerName, String>,
    /// Longest wait for a connection to one host, DNS and TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for a `.well-known` file, redirects included.
    pub well_known_timeout: Duration,
    /// Longest silence while a body comes.
    pub stall_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The port that `.well-known` files are asked for at: 443 but in tests.
    pub well_known_port: u16,
    /// The port of a server that names none: 8448 but in tests.
    pub default_port: u16,
    /// What the life time of cached `.well-known` files is measured with.
    pub clock: Arc<dyn Clock>,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            egress: EgressPolicy::default(),
            nameservers: Vec::new(),
            extra_roots: Vec::new(),
            domains: HashMap::new(),
            connect_timeout: Duration::from_secs(10),
            well_known_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            well_known_port: 443,
            default_port: 8448,
            clock: Arc::new(SystemClock),
        }
    }
}

impl NetOptions {
    /// Options for tests with servers on this machine: `127.0.0.0/8` is open, `nameserver` is the only one asked, and
    /// `root` is trusted.
    #[must_use]
    pub fn loopback(nameserver: SocketAddr, root: CertificateDer<'static>) -> Self {
        let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        Self {
            egress: EgressPolicy::new(vec![IpNet::V4(loopback)]),
            nameservers: vec![nameserver],
            extra_roots: vec![root],
            ..Self::default()
        }
    }
}
