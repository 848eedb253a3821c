//! Listener, logging, homeservers, access tokens, metrics.

use std::path::PathBuf;

use ruma::{OwnedServerName, OwnedUserId};

use crate::config::{
    schema::section,
    values::{AdminApi, BaseUrl, BindHost, LogLevel, Pattern, Secret, Text},
};

section! {
    /// `repo`
    struct Repo {
        /// Address to listen on.
        "bindAddress" => bind_address: BindHost = BindHost::new("127.0.0.1"), Used Global;
        /// Port to listen on.
        "port" => port: u16 [1..=u16::MAX] = 8000, Used Global;
        /// Directory for daily log files beside the standard output; `-` or empty for none.
        "logDirectory" => log_directory: PathBuf = PathBuf::from("logs"), Used Global;
        /// Colour on the standard output.
        "logColors" => log_colors: bool = false, Used Global;
        /// One JSON object per line instead of text.
        "jsonLogs" => json_logs: bool = false, Used Global;
        /// Least important level that is logged.
        "logLevel" => log_level: LogLevel = LogLevel::Info, Used Global;
        /// Take the client's address from `X-Forwarded-For` even where it is a private one.
        "trustAnyForwardedAddress" => trust_any_forwarded_address: bool = false, Planned Global;
        /// Prefer `X-Forwarded-Host` to `Host`.
        "useForwardedHost" => use_forwarded_host: bool = true, Used Global;
        /// Media stored from now on is served to authenticated requests only.
        "freezeUnauthenticatedMedia" => freeze_unauthenticated_media: bool = true, Used Global;
        /// Connections at the same time; further ones wait.
        "maxConnections" => max_connections: u32 [1..=1_000_000] = 4096, Used Global;
        /// Seconds in which a request's headers must have arrived.
        "headerTimeoutSeconds" => header_timeout_seconds: u64 [1..=3600] = 30, Used Global;
        /// Seconds after which a connection without a request is closed.
        "idleTimeoutSeconds" => idle_timeout_seconds: u64 [1..=86_400] = 90, Used Global;
        /// Seconds without a single byte of a body, in either direction, after which the transfer is given up.
        "stallTimeoutSeconds" => stall_timeout_seconds: u64 [1..=3600] = 60, Used Global;
        /// Seconds that running requests get to finish when the server is told to stop.
        "shutdownGraceSeconds" => shutdown_grace_seconds: u64 [0..=3600] = 20, Used Global;
    }
}

section! {
    /// `homeservers[]`
    struct Homeserver {
        /// The server name, as in user ids; the request's host selects the homeserver by it. Required.
        "name" => name: Option<OwnedServerName> = None, Used Host;
        /// Base URL of the homeserver's client-server API. Required.
        "csApi" => cs_api: Option<BaseUrl> = None, Used Host;
        /// Failures in a row after which the homeserver is left alone for a while; 0 means 10.
        "backoffAt" => backoff_at: u32 = 10, Planned Host;
        /// The homeserver's administration interface.
        "adminApiKind" => admin_api_kind: AdminApi = AdminApi::Matrix, Planned Host;
        /// File with the key that signs requests to other servers, in the format of Synapse, Dendrite or
        /// matrix-media-repo. Without, they give only what is from before media was authenticated.
        "signingKeyPath" => signing_key_path: Option<PathBuf> = None, Used Host;
    }
}

section! {
    /// `sharedSecretAuth`
    struct SharedSecret {
        /// Accept the token.
        "enabled" => enabled: bool = false, Planned Global;
        /// The token.
        "token" => token: Secret = Secret::from("ReplaceMe".to_owned()), Planned Global;
    }
}

section! {
    /// `accessTokens`
    struct AccessTokens {
        /// Seconds for which the homeserver's answer about a token is remembered; 0 to ask each time. A logout that
        /// passes through this server forgets the token at once.
        "maxCacheTimeSeconds" => max_cache_time_seconds: u64 [0..=31_536_000] = 0, Used Host;
        /// Know the tokens of the application services below without asking the homeserver.
        "useLocalAppserviceConfig" => use_local_appservice_config: bool = false, Used Host;
        /// Application services.
        "appservices" => appservices: Vec<crate::config::schema::Located<AppService>> = Vec::new(), Used Host;
    }
}

section! {
    /// `accessTokens.appservices[]`
    struct AppService {
        /// A name for the log.
        "id" => id: Text = Text::default(), Used Host;
        /// The application service's `as_token`. Required.
        "asToken" => as_token: Option<Secret> = None, Used Host;
        /// The user that it acts as unless it says otherwise. Required.
        "senderUserId" => sender_user_id: Option<OwnedUserId> = None, Used Host;
        /// Users that it may act as.
        "userNamespaces" => user_namespaces: Vec<UserNamespace> = Vec::new(), Used Host;
    }
}

section! {
    /// `accessTokens.appservices[].userNamespaces[]`
    struct UserNamespace {
        /// Pattern that the whole user id is searched for.
        "regex" => regex: Option<Pattern> = None, Used Host;
    }
}

section! {
    /// `metrics`
    struct Metrics {
        /// Offer `/metrics` and `/_media/metrics`.
        "enabled" => enabled: bool = false, Used Global;
        /// Address to listen on.
        "bindAddress" => bind_address: BindHost = BindHost::new("localhost"), Used Global;
        /// Port to listen on.
        "port" => port: u16 [1..=u16::MAX] = 9000, Used Global;
    }
}
