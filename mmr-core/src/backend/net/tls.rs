//! TLS over a connection that the egress policy has let pass.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{dial::ip_literal, error::NetError};

/// The protocol name of HTTP/2 in the handshake.
pub(super) const H2: &[u8] = b"h2";

/// What is trusted, and the HTTP versions that are spoken.
pub(super) fn config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, NetError> {
    let setup = |source: rustls::Error| NetError::Setup { what: "TLS", source: source.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(roots(extra_roots).map_err(setup)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(extra: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let native = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // The system's may hold a few that are malformed; those that the operator names may not.
    let (usable, _) = roots.add_parsable_certificates(native.certs);
    if usable == 0 {
        tracing::warn!(errors = ?native.errors, "the system has no trusted TLS roots; is ca-certificates installed?");
    }
    extra.iter().try_for_each(|root| roots.add(root.clone()))?;
    Ok(roots)
}

/// Speaks TLS with whoever can prove to be `name`: a DNS name, or an IP address, which is never sent as SNI.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    stream: TcpStream,
    name: &str,
) -> Result<TlsStream<TcpStream>, NetError> {
    let failed = |source| NetError::Tls { name: name.to_owned(), source };
    let server_name = match ip_literal(name) {
        Some(address) => ServerName::from(address),
        None => ServerName::try_from(name.to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?,
    };
    TlsConnector::from(config).connect(server_name, stream).await.map_err(failed)
}
