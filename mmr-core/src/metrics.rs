//! What is counted, under matrix-media-repo's names where it has them. Labels are our own words only: server names and sizes
//! are chosen by strangers.

use ::metrics::{Counter, counter, describe_counter};

const CACHE_HITS: &str = "media_cache_hits_total";
const CACHE_MISSES: &str = "media_cache_misses_total";
const FETCHES: &str = "media_downloaded_total";
/// Labels `program` and `outcome`: `rendered`, `failed`, or `killed` for taking too long or because nobody waited any more.
pub(crate) const PROGRAMS: &str = "media_render_programs_total";
const THUMBNAILS: &str = "media_thumbnails_generated_total";
/// Label `event`: `started`, `crashed`, or `killed` for taking too long or because nobody waited any more.
pub(crate) const WORKERS: &str = "media_render_workers_total";

/// Describes everything to the recorder that is installed.
pub fn describe_all() {
    describe_counter!(CACHE_HITS, "objects that were in memory when they were asked for");
    describe_counter!(CACHE_MISSES, "objects that were not");
    describe_counter!(FETCHES, "fetches of media of other servers, by what became of them");
    describe_counter!(PROGRAMS, "programs that make pictures of videos and HEIC, by what became of them");
    describe_counter!(THUMBNAILS, "thumbnails that were rendered, by method");
    describe_counter!(WORKERS, "processes that render thumbnails, by what became of them");
}

/// Hits and misses of the cache of objects.
pub(crate) fn object_cache() -> (Counter, Counter) {
    (counter!(CACHE_HITS, "cache" => "media"), counter!(CACHE_MISSES, "cache" => "media"))
}

/// A fetch is over; `error` is the kind of what went wrong.
pub(crate) fn fetched(error: Option<&'static str>) {
    counter!(FETCHES, "outcome" => error.unwrap_or("stored")).increment(1);
}

/// A thumbnail was rendered.
pub(crate) fn rendered(method: &'static str) {
    counter!(THUMBNAILS, "method" => method).increment(1);
}
