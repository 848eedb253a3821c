//! Uploads, downloads, thumbnails.

use std::path::PathBuf;

use mmr_core::policy::ThumbnailPolicy;

use crate::config::{
    schema::section,
    values::{SourceType, Text},
};

section! {
    /// `uploads`
    struct Uploads {
        /// Largest upload in bytes; 0 for no limit.
        "maxBytes" => max_bytes: u64 = 104_857_600, Used Host;
        /// Smallest upload in bytes.
        "minBytes" => min_bytes: u64 = 100, Used Host;
        /// What clients are told is the largest upload, in bytes; 0 for `uploads.maxBytes`, -1 to tell nothing.
        "reportedMaxBytes" => reported_max_bytes: i64 [-1..=i64::MAX] = 0, Used Host;
        /// Media ids that a user may have reserved without uploading; 0 for no limit.
        "maxPending" => max_pending: u32 = 5, Used Host;
        /// Seconds for which a reserved media id is kept.
        "maxAgeSeconds" => max_age_seconds: u64 [1..=31_536_000] = 1800, Used Host;
        /// Limits per user.
        "quotas" => quotas: Quotas = Quotas::default(), Used Host;
    }
}

section! {
    /// `uploads.quotas`
    struct Quotas {
        /// Apply the rules below.
        "enabled" => enabled: bool = false, Used Host;
        /// The rules; the first whose pattern matches the user counts.
        "users" => users: Vec<crate::config::schema::Located<QuotaRule>> = Vec::new(), Used Host;
    }
}

section! {
    /// `uploads.quotas.users[]`
    struct QuotaRule {
        /// Pattern for user ids; `*` stands for any characters. Required.
        "glob" => glob: Text = Text::default(), Used Host;
        /// Bytes that the user may have stored; 0 for no limit.
        "maxBytes" => max_bytes: u64 = 0, Used Host;
        /// Media ids that the user may have reserved; 0 for no limit.
        "maxPending" => max_pending: u32 = 0, Used Host;
        /// Files that the user may have stored; 0 for no limit.
        "maxFiles" => max_files: u64 = 0, Used Host;
    }
}

section! {
    /// `downloads`
    struct Downloads {
        /// Largest file in bytes that is fetched from another server; 0 for no limit.
        "maxBytes" => max_bytes: u64 = 104_857_600, Used Host;
        /// Files that are fetched at the same time, small and slow ones not counted; from one server, half of them. 64 times
        /// as many may be waiting; what comes on top of that is answered with 429.
        "numWorkers" => num_workers: u32 [1..=10_000] = 10, Used Global;
        /// Most minutes for which it is remembered that a server does not have some media; what may pass by itself is tried
        /// again much sooner.
        "failureCacheMinutes" => failure_cache_minutes: u32 = 15, Used Host;
        /// Days after which a copy of remote media is dropped; 0 or less for never.
        "expireAfterDays" => expire_after_days: i64 = 0, Planned Global;
        /// Length of the answer to a range without an end. Such ranges run to the end of the file here.
        "defaultRangeChunkSizeBytes" => default_range_chunk_size_bytes: u64 = 10_485_760, Ignored Host;
        /// Send remote media only after all of it has arrived and was checked.
        "verifyFirst" => verify_first: bool = false, Used Host;
        /// Bytes that are kept at hand.
        "cache" => cache: DownloadCache = DownloadCache::default(), Used Global;
    }
}

section! {
    /// `downloads.cache`
    struct DownloadCache {
        /// Memory for small files that are asked for often, in bytes; 0 for none.
        "memoryBytes" => memory_bytes: u64 = 67_108_864, Used Global;
        /// Directory of this node alone for copies of what lies in buckets.
        "diskPath" => disk_path: Option<PathBuf> = None, Used Global;
        /// Most that it holds, in bytes; no copy is larger than an eighth of it.
        "diskBytes" => disk_bytes: u64 = 0, Used Global;
    }
}

section! {
    /// `thumbnails`
    struct Thumbnails {
        /// Largest file in bytes that a thumbnail is made of; 0 for no limit.
        "maxSourceBytes" => max_source_bytes: u64 = 10_485_760, Used Host;
        /// Pictures with this many pixels or more are refused before they are decoded.
        "maxPixels" => max_pixels: u64 [1..=u64::MAX] = 32_000_000, Used Host;
        /// Files that thumbnails are made of at the same time; never more than one for each processor.
        "numWorkers" => num_workers: u32 [1..=1024] = 10, Used Global;
        /// Sizes that are rendered; a request gets the smallest that is not smaller than it asks for.
        "sizes" => sizes: Vec<Size> = default_sizes(), Used Host;
        /// Render any size up to the largest.
        "dynamicSizing" => dynamic_sizing: bool = false, Used Host;
        /// Types that thumbnails are made of, as found in the bytes of a file.
        "types" => types: Vec<SourceType> = default_types(), Used Host;
        /// Let thumbnails move. Without it nobody gets one that does, whatever they ask for.
        "allowAnimated" => allow_animated: bool = true, Used Host;
        /// Let them move where the client does not say.
        "defaultAnimated" => default_animated: bool = false, Used Host;
        /// Largest file in bytes of which a thumbnail moves; larger ones get a still one. 0 for no limit.
        "maxAnimateSizeBytes" => max_animate_size_bytes: u64 = 10_485_760, Used Host;
        /// Where in an animation the still picture is taken, from 0 (start) to 1 (end).
        "stillFrame" => still_frame: f64 [0.0..=1.0] = 0.5, Used Host;
        /// Days after it was made at which a thumbnail is dropped; it is made again for whoever asks. 0 or less for never.
        "expireAfterDays" => expire_after_days: i64 = 0, Used Global;
        /// Memory in bytes that all running renderings share.
        "memoryBudgetBytes" => memory_budget_bytes: u64 [1_048_576..=u64::MAX] = 536_870_912, Used Global;
        /// Seconds that one rendering may take.
        "renderTimeoutSeconds" => render_timeout_seconds: u64 [1..=3600] = 20, Used Global;
    }
}

section! {
    /// `thumbnails.sizes[]`
    struct Size {
        /// Pixels. Required.
        "width" => width: u32 [1..=65_535] = 0, Used Host;
        /// Pixels. Required.
        "height" => height: u32 [1..=65_535] = 0, Used Host;
    }
}

section! {
    /// `tasks`
    struct TaskPool {
        /// Tasks that run in this process at the same time; 0 leaves them to the other nodes.
        "numWorkers" => num_workers: u32 [0..=1024] = 5, Used Global;
    }
}

fn default_sizes() -> Vec<Size> {
    [(32, 32), (96, 96), (320, 240), (640, 480), (800, 600)]
        .map(|(width, height)| Size { width, height })
        .into()
}

/// What every client shows and every build renders; whoever brings a configuration of matrix-media-repo has a list.
fn default_types() -> Vec<SourceType> {
    ThumbnailPolicy::default().types.iter().map(|name| SourceType::new(name)).collect()
}
