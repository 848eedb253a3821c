//! Names to addresses and services, over DNS.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::{NetError as HickoryError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, Record, RecordType, rdata::SRV},
};

use super::{discovery::Target, error::NetError};

/// Wait for one try to ask one name server.
const TRY: Duration = Duration::from_secs(3);
const TRIES: usize = 2;
/// What DNS answers is kept at most this long, whatever it says, so that a move is noticed.
const LONGEST_TTL: Duration = Duration::from_hours(1);
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_mins(5);
/// More services than anybody has; a liar may name thousands.
const MAX_SERVICES: usize = 16;

/// Asks DNS. Answers are cached for as long as they say.
#[derive(Clone)]
pub(super) struct Resolver(TokioResolver);

/// What DNS says about a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Services {
    /// There is no record.
    Unknown,
    /// There is a record, and it says that the service is not offered.
    Disabled,
    /// Where it is offered, in the order to try.
    At(Vec<Target>),
}

impl Resolver {
    /// Asks `nameservers`, or those that the system asks when there are none.
    pub(super) fn new(nameservers: &[SocketAddr]) -> Result<Self, NetError> {
        let setup =
            |source: HickoryError| NetError::Setup { what: "the DNS resolver", source: source.into() };
        let mut builder = if nameservers.is_empty() {
            TokioResolver::builder_tokio().map_err(setup)?
        } else {
            let nameservers = nameservers.iter().map(nameserver).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), nameservers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = TRIES;
        options.try_tcp_on_error = true;
        options.positive_max_ttl = Some(LONGEST_TTL);
        options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
        builder.build().map(Self).map_err(setup)
    }

    /// Every address of a name, at least one.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        // Both families on our own: when one fails and the other has nothing, the name may well exist.
        let (v6, v4) = tokio::join!(self.lookup(name, RecordType::AAAA), self.lookup(name, RecordType::A));
        let addresses: Vec<_> = [&v6, &v4]
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(Lookup::answers)
            .filter_map(|record| record.data.ip_addr())
            .collect();
        if addresses.is_empty() {
            v6?;
            v4?;
            return Err(NetError::NoSuchName { name: name.to_owned() });
        }
        Ok(addresses)
    }

    /// Where `name` offers `service`, which is like `_matrix-fed._tcp`.
    ///
    /// A target must not be an alias (RFC 2782). That binds who publishes the record: one that is an alias all the same is
    /// resolved like any name, as other homeservers do, or media of servers that everybody else reaches would be missing.
    pub(super) async fn services(&self, service: &str, name: &str) -> Result<Services, NetError> {
        let lookup = self.lookup(&format!("{service}.{name}"), RecordType::SRV).await?;
        let mut records: Vec<_> = lookup.iter().flat_map(Lookup::answers).filter_map(srv).collect();
        if records.is_empty() {
            return Ok(Services::Unknown);
        }
        // RFC 2782 knows "." only alone; beside others it is a target that cannot be reached.
        records.retain(|record| !record.target.is_root());
        if records.is_empty() {
            return Ok(Services::Disabled);
        }
        let mut targets = in_order_to_try(records, &mut random_up_to);
        targets.truncate(MAX_SERVICES);
        Ok(Services::At(targets))
    }

    /// What DNS says; `None` when it says that there is nothing.
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Option<Lookup>, NetError> {
        let failed = |source: Box<dyn Error + Send + Sync>| NetError::Dns { name: name.to_owned(), source };
        // What is no name in DNS, a label of a hundred letters for one, does not exist there either.
        let Ok(mut dns_name) = Name::from_ascii(name) else { return Ok(None) };
        // Names of the Matrix network are never relative to the search domains of this machine.
        dns_name.set_fqdn(true);
        match self.0.lookup(dns_name, kind).await {
            Ok(lookup) => Ok(Some(lookup)),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

fn nameserver(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn srv(record: &Record) -> Option<SRV> {
    match &record.data {
        RData::SRV(srv) => Some(srv.clone()),
        _ => None,
    }
}

/// Orders by priority, and at random by weight within one priority (RFC 2782). `random(n)` is uniform in `0..=n`.
fn in_order_to_try(mut records: Vec<SRV>, random: &mut impl FnMut(u32) -> u32) -> Vec<Target> {
    // Those without weight first, as the RFC wants it, so that they have a small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let rivals = records.iter().take_while(|record| record.priority == priority);
        let total = rivals.clone().map(|record| u32::from(record.weight)).sum();
        let chosen = random(total);
        let mut sum = 0;
        let index = rivals
            .map(|record| {
                sum += u32::from(record.weight);
                sum
            })
            .position(|sum| sum >= chosen);
        let record = records.remove(index.unwrap_or_default());
        let host = record.target.to_ascii();
        ordered.push(Target { host: host.trim_end_matches('.').to_owned(), port: record.port });
    }
    ordered
}

fn random_up_to(limit: u32) -> u32 {
    // The bias of the remainder is far below what weights are for; without randomness the first one is fine.
    let random = getrandom::u64().unwrap_or_default();
    u32::try_from(random % (u64::from(limit) + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> SRV {
        SRV::new(priority, weight, 1, Name::from_ascii(target).unwrap())
    }

    fn hosts(records: Vec<SRV>, mut random: impl FnMut(u32) -> u32) -> Vec<String> {
        in_order_to_try(records, &mut random).into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn a_lower_priority_value_comes_first() {
        let records = vec![record(20, 9, "c."), record(0, 1, "a."), record(10, 0, "b.")];
        assert_eq!(hosts(records, |_| 0), ["a", "b", "c"]);
    }

    #[test]
    fn weight_decides_within_a_priority() {
        let records = || vec![record(0, 10, "light."), record(0, 90, "heavy.")];
        let share = |chosen| hosts(records(), move |total| if total == 100 { chosen } else { 0 }).remove(0);
        assert_eq!((0..=10).map(share).filter(|first| first == "light").count(), 11);
        assert_eq!((11..=100).map(share).filter(|first| first == "heavy").count(), 90);
    }

    #[test]
    fn a_target_without_weight_has_a_small_chance() {
        let records = || vec![record(0, 5, "heavy."), record(0, 0, "none.")];
        assert_eq!(hosts(records(), |_| 0), ["none", "heavy"]);
        assert_eq!(hosts(records(), |total| total.min(1)), ["heavy", "none"]);
    }

    proptest! {
        #[test]
        fn every_target_is_tried_once(records in prop::collection::vec((0..4_u16, any::<u16>()), 0..20)) {
            let records: Vec<_> = records
                .into_iter()
                .enumerate()
                .map(|(index, (priority, weight))| record(priority, weight, &format!("t{index}.")))
                .collect();
            let mut expected: Vec<_> = (0..records.len()).map(|index| format!("t{index}")).collect();
            let mut tried = hosts(records, random_up_to);
            tried.sort();
            expected.sort();
            prop_assert_eq!(tried, expected);
        }
    }
}
