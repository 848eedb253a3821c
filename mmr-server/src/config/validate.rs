//! Keys looked at together, and turned into [`Settings`].

use std::{sync::Arc, time::Duration};

use mmr_core::{
    backend::postgres::PostgresOptions,
    download::FetchLimits,
    policy::{DownloadPolicy, QuotaRule, ServerPolicy, ThumbnailPolicy, UploadPolicy},
    store::QuotaCap,
    thumbnail::RenderLimits,
    types::Size,
};
use ruma::OwnedServerName;

use super::{
    AppService, CacheSettings, DatabaseSettings, HomeserverSettings, HttpSettings, LogSettings,
    NetworkSettings, Place, Settings,
    load::missing_place,
    problem::Report,
    raw::{
        AccessTokens, DownloadCache, Downloads, Egress, Federation, Homeserver, Main, Repo, Thumbnails,
        Uploads,
    },
    schema::Located,
    stores::Stores,
};
use crate::server::HttpLimits;

/// One homeserver while files are still laid over each other.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: OwnedServerName,
    pub(super) place: Place,
    pub(super) entry: Homeserver,
    pub(super) blocks: Main,
}

/// `None` where something that cannot be done without is missing; the report says what.
pub(super) fn validate(
    main: Main,
    hosts: Vec<Host>,
    unsupported: Vec<String>,
    report: &mut Report,
) -> Option<Settings> {
    let database = database(&main, report);
    let mut all = Stores::of_everybody(&main.datastores, report);
    if hosts.is_empty() && main.homeservers.is_empty() {
        report.error(
            missing_place("homeservers"),
            "is missing; accepted: a list with name and csApi of each homeserver",
        );
    }
    let homeservers: Vec<_> =
        hosts.into_iter().filter_map(|host| homeserver(host, &main, &mut all, report)).collect();
    let Main { repo, metrics, downloads, thumbnails, federation, egress, admins, tasks, .. } = main;
    Some(Settings {
        http: http(&repo),
        log: log(repo),
        database: database?,
        datastores: all.into_settings(),
        cache: cache(&downloads.cache, report),
        render: render(&thumbnails),
        thumbnail_lifetime: days(thumbnails.expire_after_days),
        fetches: fetches(&downloads),
        task_workers: tasks.num_workers as usize,
        network: network(federation, egress),
        homeservers,
        admins: admins.into_iter().collect(),
        metrics: metrics.enabled.then_some((metrics.bind_address.0, metrics.port)),
        unsupported,
    })
}

fn http(repo: &Repo) -> HttpSettings {
    let seconds = Duration::from_secs;
    HttpSettings {
        listen: (repo.bind_address.0.clone(), repo.port),
        limits: HttpLimits {
            max_connections: repo.max_connections as usize,
            header_timeout: seconds(repo.header_timeout_seconds),
            idle_timeout: seconds(repo.idle_timeout_seconds),
            stall_timeout: seconds(repo.stall_timeout_seconds),
            shutdown_grace: seconds(repo.shutdown_grace_seconds),
        },
        use_forwarded_host: repo.use_forwarded_host,
    }
}

fn log(repo: Repo) -> LogSettings {
    let directory =
        Some(repo.log_directory).filter(|path| !path.as_os_str().is_empty() && path.as_os_str() != "-");
    LogSettings { level: repo.log_level, json: repo.json_logs, colors: repo.log_colors, directory }
}

fn network(federation: Federation, egress: Egress) -> NetworkSettings {
    NetworkSettings {
        ca_file: federation.ca_file.filter(|path| !path.as_os_str().is_empty()),
        domains: federation.domains.into_iter().map(|(name, place)| (name, place.0)).collect(),
        allowed_networks: egress.allowed_networks.into_iter().map(|network| network.0).collect(),
        nameservers: egress.nameservers,
    }
}

fn downloads(blocks: &Main, federation: &Federation) -> DownloadPolicy {
    let Downloads { max_bytes, failure_cache_minutes, verify_first, .. } = blocks.downloads;
    let backoff_after = u32::try_from(federation.backoff_at).ok().filter(|&failures| failures > 0);
    DownloadPolicy {
        max_bytes: unless_zero(max_bytes),
        fetch_timeout: Duration::from_secs(blocks.timeouts.federation_timeout_seconds),
        failure_ttl: Duration::from_secs(60 * u64::from(failure_cache_minutes)),
        backoff_after: backoff_after.unwrap_or(20),
        verify_first,
        ignored_hosts: federation.ignored_hosts.iter().map(|host| host.0.to_ascii_lowercase()).collect(),
        ..DownloadPolicy::default()
    }
}

fn cache(cache: &DownloadCache, report: &mut Report) -> CacheSettings {
    let DownloadCache { memory_bytes, disk_path, disk_bytes } = cache.clone();
    let path = disk_path.filter(|path| !path.as_os_str().is_empty());
    if path.is_some() != (disk_bytes > 0) {
        report.error(
            missing_place("downloads.cache"),
            "has one of diskPath and diskBytes; accepted: a directory and the bytes that it may hold, or neither",
        );
    }
    CacheSettings { memory_bytes, disk: path.map(|path| (path, disk_bytes)) }
}

fn fetches(downloads: &Downloads) -> FetchLimits {
    let bodies = downloads.num_workers as usize;
    FetchLimits { bodies, queue: bodies.saturating_mul(64) }
}

fn render(thumbnails: &Thumbnails) -> RenderLimits {
    // Each is a process that computes: more of them only take memory.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = (thumbnails.num_workers as usize).min(processors);
    RenderLimits {
        workers,
        // Deep enough for a room full of pictures, short enough that nobody waits for the deadline in it.
        queue: workers.saturating_mul(64),
        memory_budget_bytes: thumbnails.memory_budget_bytes,
        deadline: Duration::from_secs(thumbnails.render_timeout_seconds),
    }
}

fn database(main: &Main, report: &mut Report) -> Option<DatabaseSettings> {
    match (&main.database.sqlite, &main.database.postgres) {
        (Some(path), None) => Some(DatabaseSettings::Sqlite(path.value.clone())),
        (None, Some(url)) => {
            let pool = &main.database.pool;
            let options = PostgresOptions {
                max_connections: pool.max_connections,
                max_idle: pool.max_idle_connections.min(pool.max_connections),
                ..PostgresOptions::new(url.value.expose())
            };
            Some(DatabaseSettings::Postgres(options))
        }
        (Some(_), Some(postgres)) => {
            let place = postgres.place.clone().unwrap_or_else(|| missing_place("database.postgres"));
            report.error(place, "stands beside database.sqlite; accepted: one of them");
            None
        }
        (None, None) => {
            report.error(
                missing_place("database"),
                "is missing; accepted: database.postgres with a connection string, or database.sqlite with the path of \
                 a file, made if need be",
            );
            None
        }
    }
}

fn homeserver(
    host: Host,
    main: &Main,
    stores: &mut Stores,
    report: &mut Report,
) -> Option<HomeserverSettings> {
    let Host { name, place, entry, blocks } = host;
    let Some(cs_api) = entry.cs_api else {
        let key = if place.key == "homeserver" { "csApi".to_owned() } else { format!("{}.csApi", place.key) };
        report.error(
            Place { key, ..place },
            format!("is missing for {name}; accepted: the homeserver's base URL"),
        );
        return None;
    };
    let has_own = blocks.datastores != main.datastores;
    let placement = has_own.then(|| stores.of_homeserver(&blocks.datastores, report));
    let AccessTokens { max_cache_time_seconds, .. } = blocks.access_tokens;
    let freeze = blocks.repo.freeze_unauthenticated_media;
    Some(HomeserverSettings {
        cs_api: cs_api.0.to_string(),
        timeout: Duration::from_secs(blocks.timeouts.client_server_timeout_seconds),
        token_ttl: Duration::from_secs(max_cache_time_seconds),
        signing_keys: entry.signing_key_path.filter(|path| !path.as_os_str().is_empty()),
        app_services: app_services(&blocks.access_tokens, report),
        reported_max_bytes: reported(&blocks.uploads),
        policy: ServerPolicy {
            uploads: uploads(&blocks.uploads, freeze, report),
            downloads: downloads(&blocks, &main.federation),
            thumbnails: Arc::new(thumbnails(&blocks.thumbnails)),
            placement,
        },
        name,
    })
}

fn app_services(tokens: &AccessTokens, report: &mut Report) -> Vec<AppService> {
    if !tokens.use_local_appservice_config {
        return Vec::new();
    }
    let mut all = Vec::new();
    for Located { value, place } in &tokens.appservices {
        let place = place.clone().unwrap_or_else(|| missing_place("accessTokens.appservices"));
        let (Some(as_token), Some(sender)) = (&value.as_token, &value.sender_user_id) else {
            report.error(place, "asToken or senderUserId is missing; accepted: both");
            continue;
        };
        all.push(AppService {
            id: value.id.0.clone(),
            as_token: as_token.clone(),
            sender: sender.clone(),
            namespaces: value.user_namespaces.iter().filter_map(|space| space.regex.clone()).collect(),
        });
    }
    all
}

fn reported(uploads: &Uploads) -> Option<u64> {
    match uploads.reported_max_bytes {
        0 => unless_zero(uploads.max_bytes),
        bytes => u64::try_from(bytes).ok(),
    }
}

fn uploads(uploads: &Uploads, freeze: bool, report: &mut Report) -> UploadPolicy {
    let mut quotas = Vec::new();
    for Located { value, place } in uploads.quotas.users.iter().filter(|_| uploads.quotas.enabled) {
        if value.glob.0.is_empty() {
            let place = place.clone().unwrap_or_else(|| missing_place("uploads.quotas.users"));
            report.error(
                place,
                "glob is missing; accepted: a pattern for user ids, such as \"@*:example.org\"",
            );
        }
        quotas.push(QuotaRule {
            users: value.glob.0.clone(),
            cap: QuotaCap {
                max_bytes: unless_zero(value.max_bytes),
                max_files: unless_zero(value.max_files),
            },
            max_pending: (value.max_pending > 0).then_some(value.max_pending),
        });
    }
    UploadPolicy {
        max_bytes: unless_zero(uploads.max_bytes),
        min_bytes: uploads.min_bytes,
        max_pending: (uploads.max_pending > 0).then_some(uploads.max_pending),
        reservation_ttl: Duration::from_secs(uploads.max_age_seconds),
        freeze,
        quotas,
    }
}

fn thumbnails(raw: &Thumbnails) -> ThumbnailPolicy {
    ThumbnailPolicy {
        sizes: raw.sizes.iter().map(|size| Size::new(size.width, size.height)).collect(),
        dynamic_sizing: raw.dynamic_sizing,
        // There, the limit itself is refused.
        max_pixels: raw.max_pixels - 1,
        max_source_bytes: unless_zero(raw.max_source_bytes).unwrap_or(u64::MAX),
        types: raw.types.iter().map(|name| name.0.clone()).collect(),
        allow_animated: raw.allow_animated,
        default_animated: raw.default_animated,
        max_animate_bytes: unless_zero(raw.max_animate_size_bytes).unwrap_or(u64::MAX),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a place between two frames needs no more digits"
        )]
        still_frame: raw.still_frame as f32,
    }
}

/// `None` for never.
fn days(days: i64) -> Option<Duration> {
    let days = u64::try_from(days).ok().filter(|&days| days > 0)?;
    Some(Duration::from_secs(days.saturating_mul(24 * 60 * 60)))
}

const fn unless_zero(limit: u64) -> Option<u64> {
    if limit == 0 { None } else { Some(limit) }
}
