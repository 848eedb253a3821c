//! Blocks that are read and checked, most of them without an effect yet.

use std::path::PathBuf;

use crate::config::{
    schema::section,
    values::{Cidr, Free, Secret, Text},
};

section! {
    /// `archiving`
    struct Archiving {
        /// Allow exports.
        "enabled" => enabled: bool = true, Planned Host;
        /// Let users export their own media.
        "selfService" => self_service: bool = false, Planned Host;
        /// Size of an export's parts in bytes.
        "targetBytesPerPart" => target_bytes_per_part: u64 [1..=u64::MAX] = 209_715_200, Planned Host;
    }
}

section! {
    /// `urlPreviews`
    struct UrlPreviews {
        /// Offer previews.
        "enabled" => enabled: bool = true, Planned Host;
        /// Previews that are made at the same time.
        "numWorkers" => num_workers: u32 [1..=10_000] = 10, Planned Global;
        /// Days after which a preview is dropped; 0 or less for never.
        "expireAfterDays" => expire_after_days: i64 = 0, Planned Global;
        /// Largest page in bytes.
        "maxPageSizeBytes" => max_page_size_bytes: u64 = 10_485_760, Planned Host;
        /// Accept invalid certificates.
        "previewUnsafeCertificates" => preview_unsafe_certificates: bool = false, Planned Host;
        /// Words of a description.
        "numWords" => num_words: u32 = 50, Planned Host;
        /// Characters of a description.
        "maxLength" => max_length: u32 = 200, Planned Host;
        /// Words of a title.
        "numTitleWords" => num_title_words: u32 = 30, Planned Host;
        /// Characters of a title.
        "maxTitleLength" => max_title_length: u32 = 150, Planned Host;
        /// Types other than HTML that are previewed.
        "filePreviewTypes" => file_preview_types: Vec<Text> = vec![Text::new("image/*")], Planned Host;
        /// Networks that are never connected to.
        "disallowedNetworks" => disallowed_networks: Vec<Cidr> = networks(&PRIVATE), Planned Host;
        /// Networks that may be connected to.
        "allowedNetworks" => allowed_networks: Vec<Cidr> = networks(&["0.0.0.0/0"]), Planned Host;
        /// Language where the client asks for none.
        "defaultLanguage" => default_language: Text = Text::new("en-US,en"), Planned Host;
        /// What pages are told about who asks.
        "userAgent" => user_agent: Text = Text::new("matrix-media-repo"), Planned Host;
        /// Ask oEmbed providers.
        "oEmbed" => o_embed: bool = false, Planned Host;
    }
}

const PRIVATE: [&str; 9] = [
    "127.0.0.1/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fe80::/64",
    "fc00::/7",
];

fn networks(list: &[&str]) -> Vec<Cidr> {
    list.iter().filter_map(|network| network.parse().ok().map(Cidr)).collect()
}

section! {
    /// `rateLimit`
    struct RateLimit {
        /// Apply the limits.
        "enabled" => enabled: bool = true, Planned Global;
        /// Requests per second and client address.
        "requestsPerSecond" => requests_per_second: f64 [0.0..=1e9] = 5.0, Planned Global;
        /// Requests at once.
        "burst" => burst: u32 = 10, Planned Global;
        /// Limits in bytes.
        "buckets" => buckets: Buckets = Buckets::default(), Planned Global;
    }
}

section! {
    /// `rateLimit.buckets`
    struct Buckets {
        /// Bytes that a client address may download.
        "downloads" => downloads: Bucket = Bucket::default(), Planned Global;
    }
}

section! {
    /// `rateLimit.buckets.downloads`
    struct Bucket {
        /// Bytes that fit.
        "capacityBytes" => capacity_bytes: u64 = 524_288_000, Planned Global;
        /// Bytes that become free each minute.
        "drainBytesPerMinute" => drain_bytes_per_minute: u64 = 5_242_880, Planned Global;
        /// Bytes by which one download may exceed it.
        "overflowLimitBytes" => overflow_limit_bytes: u64 = 104_857_600, Planned Global;
    }
}

section! {
    /// `identicons`
    struct Identicons {
        /// Offer them.
        "enabled" => enabled: bool = true, Planned Host;
    }
}

section! {
    /// `quarantine`
    struct Quarantine {
        /// Answer thumbnail requests with a placeholder.
        "replaceThumbnails" => replace_thumbnails: bool = true, Planned Host;
        /// Answer downloads with a placeholder.
        "replaceDownloads" => replace_downloads: bool = false, Planned Host;
        /// The placeholder; empty for a built-in one.
        "thumbnailPath" => thumbnail_path: PathBuf = PathBuf::new(), Planned Host;
        /// Let the homeserver's administrators quarantine media.
        "allowLocalAdmins" => allow_local_admins: bool = true, Planned Host;
    }
}

section! {
    /// `timeouts`
    struct Timeouts {
        /// Seconds that a page may take for its preview.
        "urlPreviewTimeoutSeconds" => url_preview_timeout_seconds: u64 [1..=86_400] = 10, Planned Host;
        /// Seconds that another server may take until media from it begins to arrive.
        "federationTimeoutSeconds" => federation_timeout_seconds: u64 [1..=86_400] = 120, Used Host;
        /// Seconds that the homeserver may take to answer.
        "clientServerTimeoutSeconds" => client_server_timeout_seconds: u64 [1..=86_400] = 30, Used Host;
    }
}

section! {
    /// `plugins[]`
    struct Plugin {
        /// The program.
        "exec" => exec: Option<PathBuf> = None, Planned Global;
        /// What it is told.
        "config" => config: Free = Free::default(), Planned Global;
    }
}

section! {
    /// `redis`
    struct Redis {
        /// Use it.
        "enabled" => enabled: bool = false, Ignored Global;
        /// Number of the database.
        "databaseNumber" => database_number: u32 = 0, Ignored Global;
        /// Its servers.
        "shards" => shards: Vec<Shard> = Vec::new(), Ignored Global;
    }
}

section! {
    /// `redis.shards[]`
    struct Shard {
        /// A name for the log.
        "name" => name: Text = Text::default(), Ignored Global;
        /// Host and port.
        "addr" => addr: Text = Text::default(), Ignored Global;
    }
}

section! {
    /// `sentry`
    struct Sentry {
        /// Send reports.
        "enabled" => enabled: bool = false, Ignored Global;
        /// Where to.
        "dsn" => dsn: Text = Text::new("not supplied"), Ignored Global;
        /// A name for this deployment.
        "environment" => environment: Text = Text::default(), Ignored Global;
        /// Log what is sent.
        "debug" => debug: bool = false, Ignored Global;
    }
}

section! {
    /// `pgo`
    struct Pgo {
        /// Send profiles.
        "enabled" => enabled: bool = false, Ignored Global;
        /// Where to.
        "submitUrl" => submit_url: Text = Text::new("https://mmr-pgo.t2host.io/v1/submit"), Ignored Global;
        /// With which key.
        "submitKey" => submit_key: Option<Secret> = None, Ignored Global;
    }
}

section! {
    /// `retention`
    struct Retention {
        /// Uploads of local users.
        "localMedia" => local_media: RetentionClass = RetentionClass::default(), Planned Global;
        /// Copies of other servers' media.
        "remoteMedia" => remote_media: RetentionClass = RetentionClass::default(), Planned Global;
        /// Thumbnails.
        "thumbnails" => thumbnails: RetentionClass = RetentionClass::default(), Planned Global;
        /// Pictures of URL previews.
        "previews" => previews: RetentionClass = RetentionClass::default(), Planned Global;
        /// Media ids that were reserved and not used.
        "pendingUploads" => pending_uploads: RetentionClass = RetentionClass::default(), Planned Global;
    }
}

section! {
    /// `retention.<class>`
    struct RetentionClass {
        /// Days after its upload.
        "maxAgeDays" => max_age_days: Option<u32> = None, Planned Global;
        /// Days after it was last asked for.
        "maxIdleDays" => max_idle_days: Option<u32> = None, Planned Global;
        /// Bytes that the class may hold; the least recently used goes first.
        "maxBytes" => max_bytes: Option<u64> = None, Planned Global;
    }
}
