//! Addresses, networks and URLs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::text;
use crate::config::{node::Node, schema::Scalar};

/// An address or host name to listen on, without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct BindHost(pub(in crate::config) String);

impl BindHost {
    pub(in crate::config) fn new(host: &str) -> Self {
        Self(host.to_owned())
    }
}

impl Scalar for BindHost {
    fn accepts() -> String {
        "an IP address or host name without a port; empty for all IPv4 addresses".to_owned()
    }

    fn shown(&self) -> String {
        self.0.clone()
    }

    fn parse(node: &Node) -> Option<Self> {
        let text = text(node)?.trim();
        if text.is_empty() {
            return Some(Self::new("0.0.0.0"));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let known = bare.parse::<IpAddr>().is_ok() || (bare == text && is_host_name(text));
        known.then(|| Self::new(bare))
    }
}

fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

impl Scalar for SocketAddr {
    fn accepts() -> String {
        "\"address:port\"".to_owned()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node)?.parse().ok()
    }
}

/// `host:port`, the host being a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct HostPort(pub(in crate::config) String);

impl Scalar for HostPort {
    fn accepts() -> String {
        "\"host:port\"".to_owned()
    }

    fn shown(&self) -> String {
        self.0.clone()
    }

    fn parse(node: &Node) -> Option<Self> {
        let text = text(node)?;
        let (host, port) = text.rsplit_once(':')?;
        let host_is_valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_host_name(host),
        };
        let port_is_valid = port.parse::<u16>().is_ok_and(|port| port > 0);
        (host_is_valid && port_is_valid).then(|| Self(text.to_owned()))
    }
}

/// The base URL of a homeserver: http or https, no credentials, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct BaseUrl(pub(in crate::config) Url);

impl Scalar for BaseUrl {
    fn accepts() -> String {
        "a URL with http:// or https:// and a host, without user name, query and fragment".to_owned()
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        let url = Url::parse(text(node)?).ok()?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let known = matches!(url.scheme(), "http" | "https") && url.has_host();
        (plain && known).then_some(Self(url))
    }
}

/// A network. Host bits may be set, as in `127.0.0.1/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Cidr(pub(in crate::config) IpNet);

impl Scalar for Cidr {
    fn accepts() -> String {
        "a network like \"10.0.0.0/8\" or \"fc00::/7\"".to_owned()
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node)?.parse().ok().map(Self)
    }
}
