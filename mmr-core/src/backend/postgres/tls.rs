//! TLS toward the database, as `sslmode` wants it.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::dsn::{Dsn, DsnError, TlsMode};

/// What speaks TLS, should the connection be encrypted. Reads the files that the connection string names. Blocks.
pub(super) fn connector(dsn: &Dsn) -> Result<MakeRustlsConnect, DsnError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match (dsn.tls, &dsn.root_cert) {
        (TlsMode::VerifyFull, _) => Check::CaAndName,
        (TlsMode::VerifyCa, _) | (TlsMode::Require, Some(_)) => Check::Ca,
        (TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require, _) => Check::Nothing,
    };
    let trusted = match (check, &dsn.root_cert) {
        (Check::Nothing, _) => Vec::new(),
        (_, Some(path)) => certificates("sslrootcert", path)?,
        (_, None) => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    if check != Check::Nothing && roots.is_empty() {
        return Err(unusable("sslrootcert", &"no trusted certificate is there to check the server's with"));
    }
    // A certificate that the operator names is trusted as itself, too, as OpenSSL does with a self-signed one.
    let pinned = if dsn.root_cert.is_some() { trusted } else { Vec::new() };
    let verifier = Verifier { check, roots, pinned, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("sslmode", &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &dsn.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("sslcert", cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable("sslkey", &format_args!("{}: {error}", key.display())))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable("sslcert", &error))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(parameter: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, DsnError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable(parameter, &format_args!("{} holds no certificate", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(parameter, &format_args!("{}: {error}", path.display()))),
    }
}

fn unusable(parameter: &'static str, detail: &dyn fmt::Display) -> DsnError {
    DsnError::Parameter { parameter, detail: detail.to_string() }
}

/// What the server must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Ca,
    CaAndName,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        );
        match chain {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => {
                chain?;
            }
            Err(error) if !self.pinned.iter().any(|pinned| pinned == end_entity) => return Err(error),
            _ => {}
        }
        if self.check == Check::CaAndName {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
