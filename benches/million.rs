//! A million media in Postgres: how statements reach their rows, what they touch, and how long they take.
//!
//! `cargo bench -p mmr-benches --bench million`. Starts a private cluster, fills it (`million/fill.sql`), has the store call
//! what a busy server calls, and reads the plans of the very statements that it sent from the server's log. Fails when any
//! of them reads a large table from end to end, or comes past more than [`MOST_ROWS`] rows by an index.
//!
//! Times are of round trips over loopback on a server that does not sync; calls that explain are not among those timed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use mmr_core::{
    backend::postgres::{PostgresOptions, PostgresStore},
    testing::store_suite::fixtures::ok,
    types::{ContentHash, Hasher, Mxc, Timestamp},
};
use mmr_test_support::{Cluster, connect};

#[path = "million/calls.rs"]
mod calls;
#[path = "million/plans.rs"]
mod plans;

use self::plans::{Plans, SETTINGS};

/// More rows than any call asks for, and far fewer than there are.
const MOST_ROWS: f64 = 10_000.0;
/// A table of more rows than this must not be read from end to end.
const LARGE: &str = "SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = 'mmr'::regnamespace AND c.relkind = 'r' AND c.reltuples > 5000";
/// Calls that are timed, after some that are not.
const TIMED: u64 = 200;
/// The server settles for a plan after five executions; so what counts is the plan of the last one.
const WARM: u64 = 8;
/// The end of the generated year.
const NOW: Timestamp = Timestamp::from_millis(1_731_536_000_000);

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` only asks whether it starts.
        println!("Only `cargo bench` runs it.");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let cluster = Cluster::start();
    let faults = runtime.expect("threads can be had").block_on(run(&cluster));
    for (fault, rows) in &faults {
        println!("FAILED: {fault} ({rows:.0} rows)");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(cluster: &Cluster) -> Faults {
    let url = cluster.url();
    ok(PostgresStore::migrate(&PostgresOptions::new(&url)).await);
    let admin = connect(&url).await;
    let began = Instant::now();
    admin.batch_execute(include_str!("million/fill.sql")).await.expect("the rows are accepted");
    let filled = began.elapsed().as_secs_f64();
    // Which the server would do by itself after a while.
    admin.batch_execute("VACUUM ANALYZE").await.expect("nothing stands in its way");
    let tidied = began.elapsed().as_secs_f64() - filled;
    println!("Filled in {filled:.0} s, vacuumed in {tidied:.0} s.\n");

    let rows = admin.query(LARGE, &[]).await.expect("a catalogue");
    let large: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let rows = admin.query(SAMPLES, &[]).await.expect("there are media");
    let samples =
        Samples(rows.iter().map(|row| (mxc(row.get(0), row.get(1)), blob_hash(row.get(2)))).collect());
    let mut bench = Bench {
        plain: open(&url, "").await,
        explained: open(&url, &format!("&options={}", explaining())).await,
        log: cluster.directory().join("log"),
        large,
        faults: Faults::new(),
    };
    calls::all(&mut bench, &samples).await;
    bench.plain.close().await;
    bench.explained.close().await;
    bench.faults
}

/// Media from all over the year.
const SAMPLES: &str = "SELECT origin, media_id, blob FROM mmr.media WHERE id % 2500 = 7 ORDER BY id";

/// The hash that the generator gave to a blob.
fn blob_hash(blob: i64) -> ContentHash {
    Hasher::digest(format!("b{blob}").as_bytes()).hash
}

fn mxc(origin: &str, media_id: &str) -> Mxc {
    Mxc::from_parts(origin, media_id).expect("the name is inside the grammar")
}

/// `-c NAME=VALUE ...`, as a parameter of a URL.
fn explaining() -> String {
    SETTINGS.map(|setting| format!("-c {setting}")).join(" ").replace(' ', "%20").replace('=', "%3D")
}

/// One connection, so that plans are settled after a few calls.
async fn open(url: &str, parameters: &str) -> PostgresStore {
    let options = PostgresOptions {
        max_connections: 1,
        max_idle: 1,
        statement_timeout: Duration::from_mins(1),
        ..PostgresOptions::new(&format!("{url}{parameters}"))
    };
    ok(PostgresStore::connect(options).await)
}

/// Media that is there, and its bytes.
struct Samples(Vec<(Mxc, ContentHash)>);

impl Samples {
    fn get(&self, number: u64) -> &(Mxc, ContentHash) {
        // Neighbours share pages of tables and indexes.
        let place = usize::try_from(number).unwrap_or_default() * 97 % self.0.len();
        &self.0[place]
    }
}

/// What is wrong with which call, and the most rows that it came past.
type Faults = BTreeMap<String, f64>;

struct Bench {
    plain: PostgresStore,
    /// The same, except that the server explains everything.
    explained: PostgresStore,
    log: PathBuf,
    large: BTreeSet<String>,
    faults: Faults,
}

impl Bench {
    /// Calls with different numbers, first for the time and then for the plans, and prints a row of the table.
    async fn measure(&mut self, what: &str, call: impl AsyncFn(&PostgresStore, u64)) {
        for number in 0..WARM {
            call(&self.plain, number).await;
        }
        let mut times = vec![];
        for number in WARM..WARM + TIMED {
            let began = Instant::now();
            call(&self.plain, number).await;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let mut last = Plans::default();
        for number in WARM + TIMED..2 * WARM + TIMED {
            let end = length(&self.log);
            call(&self.explained, number).await;
            last = Plans::parse(&read_from(&self.log, end));
            for (fault, rows) in last.faults(&self.large, MOST_ROWS) {
                let most = self.faults.entry(format!("{what}: {fault}")).or_default();
                *most = rows.max(*most);
            }
        }
        if last.statements == 0 {
            self.faults.insert(format!("{what}: the server tells no plan"), 0.0);
        }
        times.sort_by(f64::total_cmp);
        let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let Plans { pages, statements, .. } = last;
        println!("| {what} | {last} | {statements} | {pages} | {median:.2} / {most:.2} |");
    }
}

fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

fn read_from(file: &Path, start: u64) -> String {
    let mut text = vec![];
    let mut file = File::open(file).expect("the server has a log");
    file.seek(SeekFrom::Start(start)).expect("it only grows");
    file.read_to_end(&mut text).expect("it can be read");
    String::from_utf8_lossy(&text).into_owned()
}
