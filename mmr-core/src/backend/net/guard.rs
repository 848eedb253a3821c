//! Which addresses may be connected to.
//!
//! Where federation connects is chosen by strangers, so only the public Internet is open to it. What is not public is
//! what the IANA registries of special-purpose addresses ([IPv4], [IPv6]) say, read strictly: a block with a few public
//! addresses inside is closed as a whole.
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

const CLOSED_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),          // this network
    v4(10, 0, 0, 0, 8),         // private
    v4(100, 64, 0, 0, 10),      // shared, behind carrier-grade NAT
    v4(127, 0, 0, 0, 8),        // loopback
    v4(169, 254, 0, 0, 16),     // link-local, with the metadata services of clouds
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // protocol assignments
    v4(192, 0, 2, 0, 24),       // documentation
    v4(192, 88, 99, 0, 24),     // relays of 6to4, given up
    v4(192, 168, 0, 0, 16),     // private
    v4(198, 18, 0, 0, 15),      // benchmarks
    v4(198, 51, 100, 0, 24),    // documentation
    v4(203, 0, 113, 0, 24),     // documentation
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved
    v4(255, 255, 255, 255, 32), // broadcast
];

/// The only block that unicast addresses of the Internet come from (RFC 4291 section 2.4).
const UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const CLOSED_V6: [Ipv6Net; 3] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments, with Teredo, benchmarks and ORCHID
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x3fff, 0, 0, 20),     // documentation
];

const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// Decides what may be connected to: globally reachable addresses, and the networks that the operator has named.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    allowed: Vec<IpNet>,
}

impl EgressPolicy {
    /// A policy with exceptions: whatever lies in one of `allowed` is allowed, globally reachable or not
    /// (`egress.allowedNetworks`).
    #[must_use]
    pub const fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be connected to.
    ///
    /// An IPv6 address that stands for an IPv4 address (mapped, 6to4, NAT64) is judged as that one.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let embedded = embedded_v4(address);
        let named = |address| self.allowed.iter().any(|network| network.contains(&address));
        if named(address) || embedded.is_some_and(|v4| named(v4.into())) {
            return Ok(());
        }
        let open = match (embedded, address) {
            (Some(v4), _) | (None, IpAddr::V4(v4)) => is_open_v4(v4),
            (None, IpAddr::V6(v6)) => is_open_v6(v6),
        };
        if open { Ok(()) } else { Err(Refused { address }) }
    }
}

/// The address may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is neither globally reachable nor in egress.allowedNetworks")]
#[non_exhaustive]
pub struct Refused {
    /// The address in question.
    pub address: IpAddr,
}

fn is_open_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|network| network.contains(&address))
}

fn is_open_v6(address: Ipv6Addr) -> bool {
    UNICAST_V6.contains(&address) && !CLOSED_V6.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that packets to an IPv6 address end up at.
///
/// Where it is not certain (local NAT64, Teredo, the ancient compatible form) there is none, and the IPv6 address itself
/// is closed.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [_, high, low, .., penultimate, last] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if SIX_TO_FOUR.contains(&address) {
        Some(join(high, low))
    } else if NAT64.contains(&address) {
        Some(join(penultimate, last))
    } else {
        address.to_ipv4_mapped()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(address: &str) -> bool {
        EgressPolicy::default().check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn the_internet_is_open() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(allows(address), "{address}");
        }
    }

    #[test]
    fn special_addresses_are_closed() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "4000::1",
            "64:ff9b:1::8.8.8.8",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!allows(address), "{address}");
        }
    }

    #[test]
    fn a_named_network_is_open_in_every_notation() {
        let policy = EgressPolicy::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::", "fd00::5"] {
            assert_eq!(policy.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["10.2.0.1", "::ffff:10.2.0.1", "fd00:0:0:1::5", "127.0.0.1"] {
            assert!(policy.check(address.parse().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn a_refusal_names_the_address_and_the_setting() {
        let refused = EgressPolicy::default().check("10.0.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "10.0.0.1 is neither globally reachable nor in egress.allowedNetworks"
        );
    }

    /// An IPv6 address with `v4` behind `prefix`, which is `bytes` long.
    fn embed(prefix: Ipv6Addr, bytes: usize, v4: Ipv4Addr) -> IpAddr {
        let mut octets = prefix.octets();
        octets[bytes..bytes + 4].copy_from_slice(&v4.octets());
        Ipv6Addr::from(octets).into()
    }

    fn disguises(v4: Ipv4Addr) -> [IpAddr; 3] {
        [v4.to_ipv6_mapped().into(), embed(SIX_TO_FOUR.addr(), 2, v4), embed(NAT64.addr(), 12, v4)]
    }

    proptest! {
        #[test]
        fn no_disguise_opens_a_closed_address(network in 0..CLOSED_V4.len(), host: u32) {
            let network = CLOSED_V4[network];
            let v4 = Ipv4Addr::from(u32::from(network.addr()) | (host & u32::from(network.hostmask())));
            let policy = EgressPolicy::default();
            prop_assert!(policy.check(v4.into()).is_err());
            for disguise in disguises(v4) {
                prop_assert!(policy.check(disguise).is_err(), "{}", disguise);
            }
        }

        #[test]
        fn a_disguise_is_judged_as_the_address_behind_it(v4: u32) {
            let v4 = Ipv4Addr::from(v4);
            let policy = EgressPolicy::default();
            for disguise in disguises(v4) {
                prop_assert_eq!(policy.check(disguise).is_ok(), policy.check(v4.into()).is_ok(), "{}", disguise);
            }
        }

        #[test]
        fn ipv6_outside_of_global_unicast_is_closed(address: u128) {
            let address = Ipv6Addr::from(address);
            prop_assume!(!UNICAST_V6.contains(&address) && embedded_v4(address.into()).is_none());
            prop_assert!(EgressPolicy::default().check(address.into()).is_err());
        }
    }
}
