//! Other servers, and how they are reached.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use ruma::OwnedServerName;

use crate::config::{
    schema::section,
    values::{Cidr, HostPort, Text},
};

section! {
    /// `federation`
    struct Federation {
        /// Failures in a row after which another server is left alone for a while; 0 or less means 20.
        "backoffAt" => backoff_at: i64 = 20, Used Global;
        /// Servers whose media local users cannot fetch.
        "ignoredHosts" => ignored_hosts: Vec<Text> = Vec::new(), Used Global;
        /// File with further trusted certificates for federation.
        "caFile" => ca_file: Option<PathBuf> = None, Used Global;
        /// Where to connect to for a server name, instead of looking it up.
        "domains" => domains: BTreeMap<OwnedServerName, HostPort> = BTreeMap::new(), Used Global;
    }
}

section! {
    /// `egress`
    struct Egress {
        /// Networks that may be connected to although they are not public.
        "allowedNetworks" => allowed_networks: Vec<Cidr> = Vec::new(), Used Global;
        /// DNS servers to ask instead of the system's.
        "nameservers" => nameservers: Vec<SocketAddr> = Vec::new(), Used Global;
    }
}
