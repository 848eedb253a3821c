//! TLS toward a Postgres server that has it: every `sslmode`, certificates of both sides, and what errors say.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use base64::Engine as _;
use mmr_core::{
    backend::postgres::{PostgresOptions, PostgresStore},
    store::{MediaIndex as _, StoreError},
    testing::store_suite::fixtures::{mxc, ok},
};
use mmr_test_support::{Cluster, connect};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Who may come in how: the name says it.
const ACCESS: &str = "local all all trust
host all postgres 127.0.0.1/32 trust
hostssl all encrypted 127.0.0.1/32 trust
hostnossl all plain 127.0.0.1/32 trust
host all either 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 cert";

/// A server with TLS, and the files of its clients.
struct Lab {
    cluster: Cluster,
    files: TempDir,
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
fn certificate(ca: &Ca, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let names = if usage == ExtendedKeyUsagePurpose::ServerAuth { vec![name.to_owned()] } else { vec![] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (certificate_pem(params.signed_by(&key, ca).unwrap().der()), pem("PRIVATE KEY", &key.serialize_der()))
}

fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Lab {
    async fn shared() -> &'static Self {
        static LAB: OnceCell<Lab> = OnceCell::const_new();
        LAB.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        let files = TempDir::new().unwrap();
        let (ours, other) = (ca("Test CA"), ca("Another CA"));
        let (client, client_key) = certificate(&ours, "certified", ExtendedKeyUsagePurpose::ClientAuth);
        let (stranger, stranger_key) = certificate(&other, "certified", ExtendedKeyUsagePurpose::ClientAuth);
        for (name, pem) in [
            ("ca.pem", certificate_pem(ours.der())),
            ("other-ca.pem", certificate_pem(other.der())),
            ("client.pem", client),
            ("client.key", client_key),
            ("stranger.pem", stranger),
            ("stranger.key", stranger_key),
        ] {
            std::fs::write(files.path().join(name), pem).unwrap();
        }
        let (server, server_key) = certificate(&ours, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
        let admin = connect(&cluster.url()).await;
        // The server itself writes them, so that they belong to it.
        for (name, text) in [
            ("server.crt", &*server),
            ("server.key", &server_key),
            ("root.crt", &certificate_pem(ours.der())),
            ("pg_hba.conf", ACCESS),
        ] {
            let lines = text.trim().replace('\n', "'), ('");
            let program = format!("umask 077; cat > {name}");
            admin.batch_execute(&format!("COPY (VALUES ('{lines}')) TO PROGRAM '{program}'")).await.unwrap();
        }
        for sql in [
            "CREATE ROLE encrypted LOGIN SUPERUSER",
            "CREATE ROLE plain LOGIN SUPERUSER",
            "CREATE ROLE either LOGIN SUPERUSER",
            "CREATE ROLE certified LOGIN SUPERUSER",
            "ALTER SYSTEM SET ssl_ca_file = 'root.crt'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            admin.batch_execute(sql).await.unwrap();
        }
        let until_read = async {
            // Sessions that begin after the server has read its files tell so.
            while connect(&cluster.url()).await.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0)
                != "on"
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), until_read).await.expect("the server reads its files");
        Self { cluster, files }
    }

    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let parameters = parameters.replace("DIR", &self.files.path().display().to_string());
        format!("postgres://{user}@{host}:{}/postgres?{parameters}", self.cluster.port())
    }

    async fn open(&self, user: &str, host: &str, parameters: &str) -> Result<PostgresStore, StoreError> {
        PostgresStore::connect(PostgresOptions::new(&self.url(user, host, parameters))).await
    }

    /// The message of the refusal, its causes included.
    async fn refusal(&self, user: &str, host: &str, parameters: &str) -> String {
        let error = self.open(user, host, parameters).await.expect_err("the connection is refused");
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(matches!(error, StoreError::Other(_)), "waiting does not help: {text}");
        text
    }

    /// Connects, and asks the server whether all sessions are encrypted, and whom their certificates name.
    async fn sessions(&self, user: &str, host: &str, parameters: &str) -> Vec<(bool, Option<String>)> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let name = format!("tls{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let store = self.open(user, host, &format!("{parameters}&application_name={name}")).await.unwrap();
        ok(store.lookup(&mxc(1)).await);
        let sql = "SELECT s.ssl, s.client_dn FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = $1";
        let rows = connect(&self.cluster.url()).await.query(sql, &[&name]).await.unwrap();
        assert!(rows.len() >= 2, "the pool's and the listener's are among {rows:?}");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn is_encrypted(&self, user: &str, host: &str, parameters: &str) -> bool {
        let sessions = self.sessions(user, host, parameters).await;
        assert!(sessions.iter().all(|session| session.0 == sessions[0].0), "{sessions:?}");
        sessions[0].0
    }
}

#[tokio::test]
async fn require_encrypts_and_trusts_anybody() {
    let lab = Lab::shared().await;
    assert!(lab.is_encrypted("either", "localhost", "sslmode=require").await);
    assert!(lab.is_encrypted("either", "127.0.0.1", "sslmode=require").await);
}

#[tokio::test]
async fn without_a_mode_the_connection_is_encrypted() {
    assert!(Lab::shared().await.is_encrypted("either", "localhost", "connect_timeout=10").await);
}

#[tokio::test]
async fn disable_does_not_encrypt() {
    assert!(!Lab::shared().await.is_encrypted("either", "localhost", "sslmode=disable").await);
}

#[tokio::test]
async fn disable_is_refused_where_the_server_wants_encryption() {
    let text = Lab::shared().await.refusal("encrypted", "localhost", "sslmode=disable").await;
    assert!(text.contains("sslmode=disable") && text.contains("pg_hba.conf"), "{text}");
}

#[tokio::test]
async fn require_is_refused_where_the_server_wants_none() {
    let text = Lab::shared().await.refusal("plain", "localhost", "sslmode=require").await;
    assert!(text.contains("sslmode=require") && text.contains("pg_hba.conf"), "{text}");
}

#[tokio::test]
async fn allow_encrypts_only_where_it_must() {
    let lab = Lab::shared().await;
    for (user, encrypted) in [("either", false), ("plain", false), ("encrypted", true)] {
        assert_eq!(lab.is_encrypted(user, "localhost", "sslmode=allow").await, encrypted, "{user}");
    }
}

#[tokio::test]
async fn prefer_encrypts_wherever_it_may() {
    let lab = Lab::shared().await;
    for (user, encrypted) in [("either", true), ("plain", false), ("encrypted", true)] {
        assert_eq!(lab.is_encrypted(user, "localhost", "sslmode=prefer").await, encrypted, "{user}");
    }
}

#[tokio::test]
async fn a_refusal_both_ways_tells_of_the_encrypted_one() {
    let lab = Lab::shared().await;
    for mode in ["allow", "prefer"] {
        let text = lab.refusal("nobody", "localhost", &format!("sslmode={mode}")).await;
        assert!(text.contains(&format!("sslmode={mode}")) && text.contains("SSL encryption"), "{text}");
        assert!(!text.contains("no encryption"), "{text}");
    }
}

#[tokio::test]
async fn verify_ca_accepts_what_the_ca_has_signed_whatever_the_name() {
    let lab = Lab::shared().await;
    for host in ["localhost", "127.0.0.1"] {
        assert!(lab.is_encrypted("either", host, "sslmode=verify-ca&sslrootcert=DIR/ca.pem").await, "{host}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let lab = Lab::shared().await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert=DIR/other-ca.pem");
        let text = lab.refusal("either", "localhost", &parameters).await;
        assert!(text.contains(&format!("sslmode={mode}")) && text.contains("sslrootcert"), "{text}");
        assert!(text.contains("UnknownIssuer"), "{text}");
    }
}

#[tokio::test]
async fn without_a_root_certificate_only_the_systems_are_trusted() {
    let text = Lab::shared().await.refusal("either", "localhost", "sslmode=verify-full").await;
    assert!(text.contains("sslrootcert"), "{text}");
}

#[tokio::test]
async fn verify_full_accepts_the_name_in_the_certificate() {
    let lab = Lab::shared().await;
    assert!(lab.is_encrypted("either", "localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem").await);
}

#[tokio::test]
async fn verify_full_refuses_another_name() {
    let lab = Lab::shared().await;
    let parameters = "sslmode=verify-full&sslrootcert=DIR/ca.pem";
    for (host, parameters) in
        [("127.0.0.1", parameters.to_owned()), ("db.example", format!("{parameters}&hostaddr=127.0.0.1"))]
    {
        let text = lab.refusal("either", host, &parameters).await;
        assert!(text.contains("sslmode=verify-full") && text.contains("not valid for"), "{text}");
    }
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let lab = Lab::shared().await;
    let parameters =
        "sslmode=verify-full&sslrootcert=DIR/ca.pem&sslcert=DIR/client.pem&sslkey=DIR/client.key";
    let sessions = lab.sessions("certified", "localhost", parameters).await;
    assert!(
        sessions.iter().all(|session| *session == (true, Some("/CN=certified".to_owned()))),
        "{sessions:?}"
    );
}

#[tokio::test]
async fn a_user_who_needs_a_certificate_is_refused_without() {
    let text = Lab::shared().await.refusal("certified", "localhost", "sslmode=require").await;
    assert!(text.contains("sslmode=require") && text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_is_refused_by_name_of_the_setting() {
    let lab = Lab::shared().await;
    let parameters = "sslmode=require&sslcert=DIR/stranger.pem&sslkey=DIR/stranger.key";
    let text = lab.refusal("certified", "localhost", parameters).await;
    assert!(text.contains("sslcert"), "{text}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_their_setting() {
    let lab = Lab::shared().await;
    std::fs::write(lab.files.path().join("empty.pem"), "").unwrap();
    for (parameters, named, file) in [
        ("sslmode=verify-ca&sslrootcert=DIR/missing.pem", "sslrootcert", "missing.pem"),
        ("sslmode=verify-ca&sslrootcert=DIR/empty.pem", "sslrootcert", "empty.pem"),
        ("sslcert=DIR/missing.pem&sslkey=DIR/client.key", "sslcert", "missing.pem"),
        ("sslcert=DIR/client.pem&sslkey=DIR/missing.key", "sslkey", "missing.key"),
        ("sslcert=DIR/client.pem&sslkey=DIR/client.pem", "sslkey", "client.pem"),
        ("sslcert=DIR/client.pem&sslkey=DIR/stranger.key", "sslcert", ""),
    ] {
        let text = lab.refusal("either", "localhost", parameters).await;
        assert!(text.contains(named) && text.contains(file), "{parameters}: {text}");
    }
}
