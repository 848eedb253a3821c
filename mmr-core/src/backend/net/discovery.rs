//! Where a Matrix server is.
//!
//! The numbers of the steps are those of the specification, "[Resolving server names]".
//!
//! [Resolving server names]: https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names

use std::{collections::HashMap, fmt};

use ruma::{OwnedServerName, ServerName};

use super::{
    error::NetError,
    options::NetOptions,
    resolve::{Resolver, Services},
    wellknown::WellKnown,
};

const SERVICE: &str = "_matrix-fed._tcp";
const DEPRECATED_SERVICE: &str = "_matrix._tcp";

/// Where a server is, and as whom it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// Where to connect, in the order to try. Never empty.
    pub targets: Vec<Target>,
    /// What the Host header says.
    pub host: String,
    /// Whom the certificate has to be for: a DNS name, or an IP address, with brackets for IPv6.
    pub tls_name: String,
    /// Whom the server's `.well-known` file names in its place.
    pub delegate: Option<OwnedServerName>,
    /// What decided about the targets.
    pub step: Step,
}

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// A DNS name, or an IP address, with brackets for IPv6.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What decides where to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `federation.domains` in the configuration.
    Configured,
    /// The name is an IP address (steps 1 and 3.1).
    IpLiteral,
    /// The name has a port (steps 2 and 3.2).
    ExplicitPort,
    /// An SRV record `_matrix-fed._tcp` (steps 3.3 and 4).
    Service,
    /// An SRV record `_matrix._tcp` (steps 3.4 and 5).
    DeprecatedService,
    /// Nothing: the host itself, at the default port (steps 3.5 and 6).
    DefaultPort,
}

/// Finds servers.
#[derive(Debug)]
pub(super) struct Discovery {
    configured: HashMap<OwnedServerName, Target>,
    default_port: u16,
    resolver: Resolver,
    well_known: WellKnown,
}

impl Discovery {
    pub(super) fn new(
        options: NetOptions,
        resolver: Resolver,
        well_known: WellKnown,
    ) -> Result<Self, NetError> {
        let NetOptions { domains, default_port, .. } = options;
        let parse = |(server, place): (OwnedServerName, String)| match ServerName::parse(&place) {
            Ok(place) => Ok((server, target(&place, default_port))),
            Err(_) => Err(NetError::InvalidSetting {
                key: "federation.domains",
                value: place,
                reason: "a host with an optional port is expected",
            }),
        };
        let configured = domains.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { configured, default_port, resolver, well_known })
    }

    /// Where `server` is. Names are not resolved to addresses yet.
    pub(super) async fn locate(&self, server: &ServerName) -> Result<Destination, NetError> {
        if let Some(place) = self.configured.get(server) {
            return Ok(destination(server, vec![place.clone()], Step::Configured));
        }
        if let Some(found) = self.by_name_alone(server) {
            return Ok(found);
        }
        // The delegate's own file is not asked for: delegation ends after one hop.
        let Some(delegate) = self.well_known.lookup(server.host()).await else {
            return self.by_dns(server).await;
        };
        let found = match self.by_name_alone(&delegate) {
            Some(found) => found,
            None => self.by_dns(&delegate).await?,
        };
        Ok(Destination { delegate: Some(delegate), ..found })
    }

    /// Steps 1 and 2, or 3.1 and 3.2.
    fn by_name_alone(&self, name: &ServerName) -> Option<Destination> {
        let step = match (name.is_ip_literal(), name.port()) {
            (true, _) => Step::IpLiteral,
            (false, Some(_)) => Step::ExplicitPort,
            (false, None) => return None,
        };
        Some(destination(name, vec![target(name, self.default_port)], step))
    }

    /// Steps 4 to 6, or 3.3 to 3.5.
    async fn by_dns(&self, name: &ServerName) -> Result<Destination, NetError> {
        for (service, step) in [(SERVICE, Step::Service), (DEPRECATED_SERVICE, Step::DeprecatedService)] {
            match self.resolver.services(service, name.host()).await? {
                Services::At(targets) => return Ok(destination(name, targets, step)),
                Services::Disabled => return Err(NetError::Disabled { name: name.to_string() }),
                Services::Unknown => {}
            }
        }
        Ok(destination(name, vec![target(name, self.default_port)], Step::DefaultPort))
    }
}

fn target(name: &ServerName, default_port: u16) -> Target {
    Target { host: name.host().to_owned(), port: name.port().unwrap_or(default_port) }
}

/// The server is spoken to by its name, never by that of a target.
fn destination(name: &ServerName, targets: Vec<Target>, step: Step) -> Destination {
    Destination { targets, host: name.to_string(), tls_name: name.host().to_owned(), delegate: None, step }
}
