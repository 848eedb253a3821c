//! From a host and a port to a TCP connection.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;

use super::{error::NetError, guard::EgressPolicy, resolve::Resolver};

/// Lead of one attempt before the next address is tried beside it (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried of a host that has more.
const MAX_ADDRESSES: usize = 8;

/// Opens connections that the egress policy allows.
#[derive(Debug)]
pub(super) struct Dialer {
    resolver: Resolver,
    egress: EgressPolicy,
}

impl Dialer {
    pub(super) const fn new(resolver: Resolver, egress: EgressPolicy) -> Self {
        Self { resolver, egress }
    }

    /// Connects to a name or an IP address. It takes as long as the operating system likes.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        // What was checked is what is connected to. Looking the name up again would let it change in between.
        let addresses = self.checked_addresses(host).await?;
        let targets = in_turns(addresses).into_iter().map(|ip| SocketAddr::new(ip, port));
        let failed = |source| NetError::Connect { host: host.to_owned(), port, source };
        let stream = race(targets.take(MAX_ADDRESSES), TcpStream::connect).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    /// All addresses of the host. One that is refused refuses the host: nobody honest has both kinds.
    async fn checked_addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let addresses = match ip_literal(host) {
            Some(address) => vec![address],
            None => self.resolver.addresses(host).await?,
        };
        for address in &addresses {
            let refused = |refused| NetError::Refused { host: host.to_owned(), refused };
            self.egress.check(*address).map_err(refused)?;
        }
        Ok(addresses)
    }
}

/// The address that a host is, when it is none that DNS knows. IPv6 with or without brackets.
pub(super) fn ip_literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// The families in turns, IPv6 first (RFC 8305 section 4).
fn in_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(v6.next());
        turns.extend(v4.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// Starts one attempt after the other, the next one early when one fails. The first that succeeds wins.
async fn race<T, F>(
    mut targets: impl ExactSizeIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    loop {
        attempts.extend(targets.next().map(&connect));
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            () = tokio::time::sleep(STAGGER), if targets.len() > 0 => {}
            else => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Mutex};

    use tokio::time::Instant;

    use super::*;

    fn targets(ports: std::ops::Range<u16>) -> impl ExactSizeIterator<Item = SocketAddr> {
        ports.map(|port| SocketAddr::from(([192, 0, 2, 1], port)))
    }

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mixed = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"].map(ip);
        let expected = ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip);
        assert_eq!(in_turns(mixed.into()), expected);
    }

    #[test]
    fn an_ip_literal_may_have_brackets() {
        assert_eq!(ip_literal("[::1]"), ip_literal("::1"));
        assert_eq!(ip_literal("192.0.2.1"), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(ip_literal("example.org"), None);
        assert_eq!(ip_literal("2130706433"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_does_not_hold_up_the_next() {
        let begin = Instant::now();
        let connect = async |target: SocketAddr| match target.port() {
            0 => pending().await,
            port => Ok(port),
        };
        assert_eq!(race(targets(0..3), connect).await.unwrap(), 1);
        assert_eq!(begin.elapsed(), STAGGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_starts_the_next_at_once() {
        let begin = Instant::now();
        let connect = async |target: SocketAddr| match target.port() {
            0 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        };
        assert_eq!(race(targets(0..3), connect).await.unwrap(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_may_still_win() {
        let connect = async |target: SocketAddr| match target.port() {
            0 => {
                tokio::time::sleep(2 * STAGGER).await;
                Ok(0)
            }
            _ => pending().await,
        };
        assert_eq!(race(targets(0..3), connect).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_failure_is_told() {
        let tried = Mutex::new(Vec::new());
        let connect = |target: SocketAddr| {
            tried.lock().unwrap().push(target.port());
            async move { Err::<(), _>(io::Error::other(target.port().to_string())) }
        };
        assert_eq!(race(targets(0..3), connect).await.unwrap_err().to_string(), "2");
        assert_eq!(*tried.lock().unwrap(), [0, 1, 2]);
    }
}
