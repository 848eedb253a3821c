//! Connection strings: URLs and `key=value` lists, with the TLS parameters of libpq and of Go's lib/pq, which
//! `tokio-postgres` does not know.

use std::{fmt, path::PathBuf, str::FromStr as _};

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

/// Why a connection string cannot be used. Never shows its values: one of them is a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DsnError {
    /// It is neither a URL nor a list of `key=value`.
    #[error("the connection string is neither a postgres:// URL nor a list of key=value: {0}")]
    Syntax(String),
    /// A parameter has a value that it cannot have.
    #[error("{parameter} in the connection string: {detail}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// What is wrong with its value.
        detail: String,
    },
}

/// Whether the connection is encrypted, and what the server must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Never.
    Disable,
    /// If the server wants no other; nothing is proved.
    Allow,
    /// If the server can, and lets us in that way; nothing is proved.
    Prefer,
    /// Always. What the server proves is `verify-ca`'s when a CA is given, and nothing otherwise.
    Require,
    /// Always, and its certificate comes from a trusted CA.
    VerifyCa,
    /// Always, and the certificate is for its name, too.
    VerifyFull,
}

/// A connection string, taken apart.
#[derive(Debug)]
pub(super) struct Dsn {
    /// All but TLS.
    pub(super) config: Config,
    pub(super) tls: TlsMode,
    /// Certificates of CAs to trust instead of the system's, PEM.
    pub(super) root_cert: Option<PathBuf>,
    /// Our certificate and its key, PEM.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

/// Parameters of libpq or lib/pq that mean nothing here.
const IGNORED: [&str; 4] = ["fallback_application_name", "binary_parameters", "gssencmode", "sslinline"];

impl Dsn {
    pub(super) fn parse(text: &str) -> Result<Self, DsnError> {
        let text = text.trim();
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        let (rest, found) = if is_url { split_url(text)? } else { split_list(text)? };
        // The library's message names the parameter and never a value.
        let mut config = Config::from_str(&rest).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            DsnError::Syntax(cause)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        let value = |name: &str| {
            found
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .filter(|v| !v.is_empty())
        };
        let tls = match value("sslmode") {
            Some(mode) => mode_of(mode)?,
            // The default of lib/pq; a socket in the file system is never encrypted.
            None => TlsMode::Require,
        };
        let root_cert = value("sslrootcert").filter(|path| *path != "system").map(PathBuf::from);
        let identity = match (value("sslcert"), value("sslkey")) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err(missing("sslkey", "sslcert")),
            (None, Some(_)) => return Err(missing("sslcert", "sslkey")),
        };
        let is_local = !config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)))
            && config.get_hostaddrs().is_empty();
        let tls = if is_local { TlsMode::Disable } else { tls };
        config.ssl_mode(match tls {
            TlsMode::Disable | TlsMode::Allow => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        Ok(Self { config, tls, root_cert, identity })
    }
}

impl TlsMode {
    /// The mode to try when the server refuses the first.
    pub(super) fn second_try(self) -> Option<SslMode> {
        match self {
            Self::Allow => Some(SslMode::Require),
            Self::Prefer => Some(SslMode::Disable),
            Self::Disable | Self::Require | Self::VerifyCa | Self::VerifyFull => None,
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

fn missing(parameter: &'static str, other: &str) -> DsnError {
    DsnError::Parameter { parameter, detail: format!("{other} is given without it") }
}

fn mode_of(mode: &str) -> Result<TlsMode, DsnError> {
    Ok(match mode {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => {
            return Err(DsnError::Parameter {
                parameter: "sslmode",
                detail: "must be disable, allow, prefer, require, verify-ca or verify-full".to_owned(),
            });
        }
    })
}

/// Whether a parameter is ours, and not the library's.
fn is_ours(name: &str) -> bool {
    matches!(name, "sslmode" | "sslrootcert" | "sslcert" | "sslkey") || IGNORED.contains(&name)
}

type Split = (String, Vec<(String, String)>);

fn split_url(url: &str) -> Result<Split, DsnError> {
    // Credentials come before the first `@`, and may hold a bare question mark.
    let authority = url.find("://").map_or(0, |at| at + 3);
    let hosts = match url[authority..].find(['@', '/']) {
        Some(at) if url[authority + at..].starts_with('@') => authority + at,
        _ => authority,
    };
    let Some(at) = url[hosts..].find('?').map(|at| hosts + at) else {
        return Ok((url.to_owned(), Vec::new()));
    };
    let mut found = Vec::new();
    let mut kept = Vec::new();
    for pair in url[at + 1..].split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if is_ours(name) {
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| DsnError::Syntax(format!("the value of {name} is not UTF-8")))?;
            found.push((name.to_owned(), value.into_owned()));
        } else {
            kept.push(pair);
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{}{separator}{}", &url[..at], kept.join("&")), found))
}

fn split_list(list: &str) -> Result<Split, DsnError> {
    let mut found = Vec::new();
    let mut kept = String::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let (name, behind) =
            rest.split_once('=').ok_or_else(|| DsnError::Syntax("a parameter without a value".to_owned()))?;
        let name = name.trim();
        let (value, behind) = list_value(behind.trim_start())
            .ok_or_else(|| DsnError::Syntax("a quoted value that does not end".to_owned()))?;
        rest = behind.trim_start();
        if is_ours(name) {
            found.push((name.to_owned(), value));
        } else {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            kept.push_str(&format!("{name}='{quoted}' "));
        }
    }
    Ok((kept, found))
}

/// A value as libpq writes it, and what follows.
fn list_value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |text| (true, text));
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Dsn {
        Dsn::parse(text).unwrap()
    }

    #[test]
    fn a_url_is_taken_apart() {
        let dsn = parse(
            "postgres://mmr:p%40ss@db.example:5433/media?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&application_name=x",
        );
        assert_eq!(dsn.config.get_user(), Some("mmr"));
        assert_eq!(dsn.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(dsn.config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!(dsn.config.get_ports(), [5433]);
        assert_eq!(dsn.config.get_dbname(), Some("media"));
        assert_eq!(dsn.config.get_application_name(), Some("x"));
        assert_eq!(dsn.tls, TlsMode::VerifyFull);
        assert_eq!(dsn.root_cert.as_deref(), Some(Path::new("/etc/ca.pem")));
    }

    #[test]
    fn a_list_is_taken_apart() {
        let dsn = parse(r"user = mmr password='it\'s = \\ two' host=db.example dbname=media sslmode=disable");
        assert_eq!(dsn.config.get_user(), Some("mmr"));
        assert_eq!(dsn.config.get_password(), Some(&br"it's = \ two"[..]));
        assert_eq!(dsn.config.get_dbname(), Some("media"));
        assert_eq!(dsn.tls, TlsMode::Disable);
        assert_eq!(dsn.config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn every_mode_has_its_meaning() {
        for (mode, expected) in [
            ("disable", TlsMode::Disable),
            ("allow", TlsMode::Allow),
            ("prefer", TlsMode::Prefer),
            ("require", TlsMode::Require),
            ("verify-ca", TlsMode::VerifyCa),
            ("verify-full", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(&format!("postgres://h/d?sslmode={mode}")).tls, expected);
            assert_eq!(parse(&format!("host=h sslmode={mode}")).tls, expected);
        }
    }

    #[test]
    fn without_a_mode_the_connection_is_encrypted() {
        assert_eq!(parse("postgres://h/d").config.get_ssl_mode(), SslMode::Require);
        assert_eq!(parse("host=h").config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn a_socket_in_the_file_system_is_never_encrypted() {
        for text in [
            "postgres:///d?host=/run/postgresql",
            "host=/run/postgresql dbname=d",
            "postgres://u@%2Frun%2Fpg/d",
        ] {
            assert_eq!(parse(text).config.get_ssl_mode(), SslMode::Disable, "{text}");
        }
    }

    #[test]
    fn the_system_can_be_named_as_what_is_trusted() {
        let dsn = parse("postgres://h/d?sslmode=verify-full&sslrootcert=system");
        assert_eq!(dsn.root_cert, None);
    }

    #[test]
    fn parameters_that_mean_nothing_here_are_ignored() {
        parse("postgres://h/d?binary_parameters=yes&fallback_application_name=mmr");
        parse("host=h gssencmode=disable");
    }

    #[test]
    fn an_at_sign_in_a_parameter_is_no_end_of_credentials() {
        let dsn = parse("postgres://h/d?application_name=a%40b&sslmode=disable");
        assert_eq!((dsn.config.get_application_name(), dsn.tls), (Some("a@b"), TlsMode::Disable));
        let dsn = parse("postgres://u:pa?ss@h/d?sslmode=disable");
        assert_eq!(dsn.tls, TlsMode::Disable);
    }

    #[test]
    fn errors_name_the_parameter_and_no_value() {
        for (text, named) in [
            ("postgres://u:secret@h/d?sslmode=maybe", "sslmode"),
            ("postgres://u:secret@h/d?sslcert=c", "sslkey"),
            ("host=h password=secret sslkey=k", "sslcert"),
            ("postgres://u:secret@h/d?connect_timeout=x", "connect_timeout"),
            ("postgres://u:secret@h:x/d", "port"),
            ("postgres://u:secret@h/d?nonsense=1", "nonsense"),
            ("host=h password='secret", "does not end"),
            ("secret", "without a value"),
        ] {
            let error = Dsn::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
