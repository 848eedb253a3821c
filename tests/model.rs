//! Random sequences of operations: SQLite and Postgres must agree with the oracle, the store in memory, on every answer.
//!
//! All values come from small pools, so that operations meet: names are taken, bytes shared, limits reached.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fmt::Debug,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use mmr_core::{
    backend::{
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore},
        sqlite::SqliteStore,
    },
    store::{
        Attributes, MediaFilter, MediaStore, NewBlob, NewMedia, NewTask, NewThumbnail, Order, Page,
        PreviewRecord, Quarantine, QuotaCap, StoreError, UploadProbe,
    },
    testing::store_suite::fixtures::{at, blob, blob_at, datastore_id, hash, key_of, location, mxc_of, user},
    types::{
        BlobKey, BlobLocation, ContentHash, ContentType, FileName, Method, Mxc, Reservation, Restriction,
        ThumbnailSpec, Timestamp, Variant,
    },
};
use mmr_test_support::{connect, database_url};
use proptest::{collection::vec, option, prelude::*, sample::select};
use ruma::{OwnedServerName, OwnedUserId};

/// One call of one method.
#[derive(Clone, Debug)]
enum Operation {
    Lookup(Mxc),
    UploadFacts(UploadProbe),
    Insert(Box<NewMedia>),
    List(MediaFilter, Page),
    Remove(MediaFilter, u32, Timestamp),
    Touch(Vec<(ContentHash, Timestamp)>),
    Garbage(u32, Timestamp),
    Forget(Vec<BlobLocation>),
    Unreferenced(Vec<BlobKey>),
    BlobsIn(Option<BlobKey>, u32),
    Relocate(ContentHash, BlobLocation, BlobLocation, Timestamp),
    Sums(OwnedUserId, OwnedServerName, u32),
    Reserve(Reservation, Option<u32>),
    Pending(OwnedUserId, Timestamp),
    Expire(Timestamp, u32),
    Thumbnail(Mxc, ThumbnailSpec),
    Thumbnails(ContentHash, u32),
    InsertThumbnail(NewThumbnail),
    RemoveThumbnails(MediaFilter, Timestamp, u32, Timestamp),
    SetQuarantine(MediaFilter, Quarantine),
    SetAttributes(Mxc, Attributes),
    Attributes(Mxc),
    PutPreview(PreviewRecord),
    Preview(String, String, Timestamp),
    RemovePreviews(Timestamp, u32),
    Enqueue(NewTask),
    Claim(String, Timestamp),
    Renew(u64, String, Timestamp),
    Finish(u64, String, Timestamp, Option<String>),
    Tasks(bool, Option<u64>, u32),
    CreateExport(String),
    AddPart(String, u32, NewBlob),
    Export(String),
    RemoveExport(String, Timestamp),
    TryLease(String, String, Timestamp),
    Release(String, String),
}

/// An answer as text, errors by their kind.
fn text<T: Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(StoreError::Conflict { what }) => format!("conflict: {what}"),
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

const TTL: Duration = Duration::from_secs(10);

async fn run(store: &dyn MediaStore, operation: &Operation) -> String {
    use Operation::*;
    match operation {
        Lookup(mxc) => text(store.lookup(mxc).await),
        UploadFacts(probe) => text(store.upload_facts(probe).await),
        Insert(media) => text(store.insert(media).await),
        List(filter, page) => text(store.list(filter, page).await),
        Remove(filter, limit, now) => text(store.remove(filter, *limit, *now).await),
        Touch(seen) => text(store.touch(seen).await),
        Garbage(limit, before) => text(store.garbage(*limit, *before).await),
        Forget(garbage) => text(store.forget(garbage).await),
        Unreferenced(keys) => text(store.unreferenced(&datastore_id("a"), keys).await),
        BlobsIn(after, limit) => text(store.blobs_in(&datastore_id("main"), after.as_ref(), *limit).await),
        Relocate(blob, from, to, now) => text(store.relocate(blob, from, to, *now).await),
        Sums(user, origin, limit) => sums(store, user, origin, *limit).await,
        Reserve(reservation, max) => text(store.reserve(reservation, *max).await),
        Pending(owner, now) => text(store.pending(owner, *now).await),
        Expire(now, limit) => text(store.expire(*now, *limit).await),
        Thumbnail(mxc, spec) => text(store.thumbnail(mxc, spec).await),
        Thumbnails(source, limit) => text(store.thumbnails_of(source, *limit).await),
        InsertThumbnail(thumbnail) => text(store.insert_thumbnail(thumbnail).await),
        RemoveThumbnails(filter, before, limit, now) => {
            text(store.remove_thumbnails(filter, *before, *limit, *now).await)
        }
        SetQuarantine(filter, quarantine) => text(store.set_quarantine(filter, quarantine).await),
        SetAttributes(mxc, attributes) => text(store.set_attributes(mxc, attributes).await),
        Attributes(mxc) => text(store.attributes(mxc).await),
        PutPreview(preview) => text(store.put_preview(preview).await),
        Preview(url, language, not_before) => text(store.preview(url, language, *not_before).await),
        RemovePreviews(before, limit) => text(store.remove_previews(*before, *limit).await),
        Enqueue(task) => text(store.enqueue(task).await),
        Claim(holder, now) => text(store.claim(holder, TTL, *now).await),
        Renew(id, holder, until) => text(store.renew(*id, holder, *until, "{}").await),
        Finish(id, holder, at, error) => text(store.finish(*id, holder, *at, error.as_deref()).await),
        Tasks(unfinished_only, before, limit) => text(store.tasks(*unfinished_only, *before, *limit).await),
        CreateExport(id) => text(store.create_export(id, "@a:a.example", at(0)).await),
        AddPart(id, index, blob) => text(store.add_part(id, *index, "part", blob).await),
        Export(id) => text(store.export(id).await),
        RemoveExport(id, now) => text(store.remove_export(id, *now).await),
        TryLease(name, holder, now) => text(store.try_lease(name, holder, TTL, *now).await),
        Release(name, holder) => text(store.release(name, holder).await),
    }
}

async fn sums(store: &dyn MediaStore, user: &OwnedUserId, origin: &OwnedServerName, limit: u32) -> String {
    let mut sums = vec![
        text(store.usage_of_user(user).await),
        text(store.usage_of_server(origin).await),
        text(store.usage_by_user(origin, Some(user), limit).await),
        text(store.datastores().await),
    ];
    for datastore in ["a", "b"] {
        sums.push(text(store.datastore_usage(&datastore_id(datastore)).await));
    }
    sums.join("; ")
}

/// Everything that can be asked about what the pools hold.
fn audit() -> Vec<Operation> {
    let everything = MediaFilter::default();
    let end = Timestamp::from_millis(u64::MAX);
    let mut audit = vec![
        Operation::List(everything, Page { limit: u32::MAX, ..Page::default() }),
        Operation::Garbage(u32::MAX, end),
        Operation::Tasks(false, None, u32::MAX),
    ];
    for number in 0..NAMES {
        audit.extend(ORIGINS.map(|origin| Operation::Lookup(mxc_of(origin, number))));
    }
    for number in 0..USERS {
        let user = user_of(number);
        audit
            .extend(ORIGINS.map(|origin| {
                Operation::Sums(user.clone(), mxc_of(origin, 0).origin().to_owned(), u32::MAX)
            }));
    }
    audit.extend(WORDS.map(|id| Operation::Export(id.to_owned())));
    for time in (0..=LATEST).map(at) {
        let none = MediaFilter::default;
        let filters = [
            MediaFilter { created_before: Some(time), ..none() },
            MediaFilter { unused_since: Some(time), ..none() },
            MediaFilter { expired_at: Some(time), ..none() },
        ];
        let page = Page { order: Order::LastRead, limit: u32::MAX, ..Page::default() };
        audit.extend(filters.map(|filter| Operation::List(filter, page.clone())));
        audit.push(Operation::Garbage(u32::MAX, time));
        audit.extend((0..USERS).map(|number| Operation::Pending(user_of(number), time)));
    }
    audit
}

const ORIGINS: [&str; 3] = ["a.example", "a", "b.example"];
const WORDS: [&str; 3] = ["x", "y", "z"];
const NAMES: u64 = 4;
const BLOBS: u64 = 5;
const USERS: u64 = 3;
const LATEST: u64 = 8;

/// Users of two servers.
fn user_of(number: u64) -> OwnedUserId {
    if number == 0 { "@a:a.example".try_into().unwrap() } else { user(number) }
}

fn word() -> impl Strategy<Value = String> {
    select(&WORDS[..]).prop_map(str::to_owned)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..LATEST).prop_map(at)
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![1 => 0..2_u32, 2 => 1..5_u32, 1 => Just(u32::MAX)]
}

fn origin() -> impl Strategy<Value = OwnedServerName> {
    select(&ORIGINS[..]).prop_map(|origin| mxc_of(origin, 0).origin().to_owned())
}

fn mxc() -> impl Strategy<Value = Mxc> {
    (select(&ORIGINS[..]), 0..NAMES).prop_map(|(origin, number)| mxc_of(origin, number))
}

fn any_user() -> impl Strategy<Value = OwnedUserId> {
    (0..USERS).prop_map(user_of)
}

fn any_hash() -> impl Strategy<Value = ContentHash> {
    (0..BLOBS).prop_map(hash)
}

fn place() -> impl Strategy<Value = BlobLocation> {
    (select(&["a", "b"][..]), select(&["k/1", "k/2", "k/3", "k/4", "k/5"][..]))
        .prop_map(|(datastore, key)| location(datastore, key))
}

/// New bytes at a place of their own, at a contested place, or bytes that may be there.
fn new_blob() -> impl Strategy<Value = NewBlob> {
    prop_oneof![
        2 => (0..BLOBS).prop_map(|bytes| NewBlob::Store(blob(bytes))),
        2 => (0..BLOBS, place()).prop_map(|(bytes, place)| blob_at(bytes, place)),
        1 => any_hash().prop_map(NewBlob::Link),
    ]
}

fn quota() -> impl Strategy<Value = QuotaCap> {
    let bytes = option::weighted(0.2, 0..4000_u64);
    let files = option::weighted(0.2, 0..4_u64);
    (bytes, files).prop_map(|(max_bytes, max_files)| QuotaCap { max_bytes, max_files })
}

fn content() -> impl Strategy<Value = (ContentType, Option<FileName>)> {
    let content_type = select(&["image/png", "text/plain"][..]).prop_map(ContentType::new);
    (content_type, option::weighted(0.3, Just("ä.png")).prop_map(|name| name.and_then(FileName::new)))
}

fn new_media() -> impl Strategy<Value = Box<NewMedia>> {
    let conditions = (
        any::<bool>(),
        option::weighted(0.1, Just(Restriction::new("{}"))),
        option::weighted(0.2, time()),
        prop::bool::weighted(0.3),
        quota(),
    );
    (mxc(), new_blob(), content(), option::weighted(0.8, any_user()), time(), conditions).prop_map(
        |(mxc, blob, (content_type, file_name), uploader, created, conditions)| {
            let (requires_auth, restriction, expires, fills_reservation, quota) = conditions;
            Box::new(NewMedia {
                mxc,
                blob,
                content_type,
                file_name,
                uploader,
                created,
                requires_auth,
                restriction,
                expires,
                fills_reservation,
                quota,
            })
        },
    )
}

fn filter() -> impl Strategy<Value = MediaFilter> {
    let rare = 0.15;
    let names = (
        option::weighted(0.3, vec(mxc(), 0..4)),
        option::weighted(rare, origin()),
        vec(origin(), 0..2),
        option::weighted(rare, any_user()),
        option::weighted(rare, any_hash()),
        option::weighted(rare, (time(), mxc())),
    );
    let times = (
        option::weighted(rare, time()),
        option::weighted(rare, time()),
        option::weighted(rare, time()),
        option::weighted(rare, 1000..1006_u64),
        option::weighted(rare, any::<bool>()),
        any::<bool>(),
    );
    (names, times).prop_map(|(names, times)| {
        let (mxcs, origin, not_origins, uploader, hash, after) = names;
        let (created_before, unused_since, expired_at, larger_than, quarantined, not_pinned) = times;
        MediaFilter {
            mxcs,
            origin,
            not_origins,
            uploader,
            hash,
            after,
            created_before,
            unused_since,
            expired_at,
            larger_than,
            quarantined,
            not_pinned,
        }
    })
}

fn page() -> impl Strategy<Value = Page> {
    let order = select(&[Order::Created, Order::Size, Order::LastRead, Order::Mxc][..]);
    (order, any::<bool>(), 0..3_u64, limit()).prop_map(|(order, descending, offset, limit)| Page {
        order,
        descending,
        offset,
        limit,
    })
}

fn spec() -> impl Strategy<Value = ThumbnailSpec> {
    (
        select(&[32_u32, 64][..]),
        select(&[32_u32, 64][..]),
        select(&[Method::Crop, Method::Scale][..]),
        select(&Variant::ALL[..]),
    )
        .prop_map(|(width, height, method, variant)| ThumbnailSpec { width, height, method, variant })
}

fn new_thumbnail() -> impl Strategy<Value = NewThumbnail> {
    (any_hash(), spec(), new_blob(), time()).prop_map(|(source, spec, blob, created)| NewThumbnail {
        source,
        spec,
        blob,
        content_type: ContentType::new("image/jpeg"),
        width: 20,
        height: 10,
        created,
    })
}

fn reservation() -> impl Strategy<Value = Reservation> {
    (mxc(), any_user(), 0..8_u64, 0..6_u64).prop_map(|(mxc, owner, created, lasts)| Reservation {
        mxc,
        owner,
        created: at(created),
        expires: at(created + lasts),
    })
}

fn verdict() -> impl Strategy<Value = Quarantine> {
    let impose = (any_user(), time(), option::weighted(0.3, vec(origin(), 0..3)))
        .prop_map(|(by, at, only_origins)| Quarantine::Impose { by, at, only_origins });
    prop_oneof![2 => impose, 1 => Just(Quarantine::Lift)]
}

fn preview() -> impl Strategy<Value = PreviewRecord> {
    let outcome = prop_oneof![word().prop_map(Ok), word().prop_map(Err)];
    (word(), word(), time(), outcome).prop_map(|(url, language, taken, outcome)| PreviewRecord {
        url,
        language,
        taken,
        outcome,
    })
}

fn task() -> impl Strategy<Value = NewTask> {
    (word(), time(), time()).prop_map(|(name, created, not_before)| NewTask {
        name,
        params: "{}".to_owned(),
        created,
        not_before,
    })
}

/// What uploads, downloads, purges and the collector do.
fn of_media() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let probe = (any_hash(), origin(), option::weighted(0.9, any_user()), content()).prop_map(
        |(hash, origin, uploader, (content_type, file_name))| UploadProbe {
            hash,
            origin,
            uploader,
            content_type,
            file_name,
        },
    );
    prop_oneof![
        12 => new_media().prop_map(Insert),
        3 => mxc().prop_map(Lookup),
        3 => probe.prop_map(UploadFacts),
        4 => (filter(), page()).prop_map(|(filter, page)| List(filter, page)),
        3 => (filter(), limit(), time()).prop_map(|(filter, limit, now)| Remove(filter, limit, now)),
        4 => vec((any_hash(), time()), 0..3).prop_map(Touch),
        2 => (limit(), time()).prop_map(|(limit, before)| Garbage(limit, before)),
        1 => vec(place(), 0..3).prop_map(Forget),
        1 => vec(select(&["k/1", "k/2", "k/3", "aa/1", "aa/2"][..]).prop_map(key_of), 0..4).prop_map(Unreferenced),
        2 => (option::of(place()), limit()).prop_map(|(after, limit)| BlobsIn(after.map(|place| place.key), limit)),
        3 => (0..BLOBS, place(), place(), time(), any::<bool>()).prop_map(|(bytes, from, to, now, first)| {
            Relocate(hash(bytes), if first { blob(bytes).location } else { from }, to, now)
        }),
        2 => (any_user(), origin(), limit()).prop_map(|(user, origin, limit)| Sums(user, origin, limit)),
        5 => (reservation(), option::weighted(0.5, 0..3_u32)).prop_map(|(r, max)| Reserve(r, max)),
        1 => (any_user(), time()).prop_map(|(user, now)| Pending(user, now)),
        1 => (time(), limit()).prop_map(|(now, limit)| Expire(now, limit)),
        2 => (mxc(), spec()).prop_map(|(mxc, spec)| Thumbnail(mxc, spec)),
        2 => (any_hash(), limit()).prop_map(|(source, limit)| Thumbnails(source, limit)),
        6 => new_thumbnail().prop_map(InsertThumbnail),
        1 => (filter(), time(), limit(), time())
            .prop_map(|(filter, before, limit, now)| RemoveThumbnails(filter, before, limit, now)),
        2 => (filter(), verdict()).prop_map(|(filter, verdict)| SetQuarantine(filter, verdict)),
        2 => (mxc(), any::<bool>()).prop_map(|(mxc, pinned)| SetAttributes(mxc, mmr_core::store::Attributes { pinned })),
        1 => mxc().prop_map(Attributes),
        1 => word().prop_map(CreateExport),
        2 => (word(), 0..3_u32, new_blob()).prop_map(|(id, index, blob)| AddPart(id, index, blob)),
        1 => word().prop_map(Export),
        1 => (word(), time()).prop_map(|(id, now)| RemoveExport(id, now)),
    ]
}

/// The rest, which shares nothing with media.
fn of_the_rest() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        3 => preview().prop_map(PutPreview),
        2 => (word(), word(), time()).prop_map(|(url, language, taken)| Preview(url, language, taken)),
        1 => (time(), limit()).prop_map(|(before, limit)| RemovePreviews(before, limit)),
        3 => task().prop_map(Enqueue),
        3 => (word(), time()).prop_map(|(holder, now)| Claim(holder, now)),
        2 => (0..4_u64, word(), time()).prop_map(|(id, holder, until)| Renew(id, holder, until)),
        2 => (0..4_u64, word(), time(), option::of(word()))
            .prop_map(|(id, holder, at, error)| Finish(id, holder, at, error)),
        1 => (any::<bool>(), option::of(0..5_u64), limit())
            .prop_map(|(unfinished, before, limit)| Tasks(unfinished, before, limit)),
        3 => (word(), word(), time()).prop_map(|(name, holder, now)| TryLease(name, holder, now)),
        1 => (word(), word()).prop_map(|(name, holder)| Release(name, holder)),
    ]
}

/// A database server behind a store, emptied between two sequences: making a database takes longer than a sequence.
struct Postgres {
    runtime: tokio::runtime::Runtime,
    store: PostgresStore,
    empty: tokio_postgres::Client,
}

impl Postgres {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (store, empty) = runtime.block_on(async {
            let url = database_url().await;
            (PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap(), connect(&url).await)
        });
        Self { runtime, store, empty }
    }

    /// The tables whose order of creation does not matter, and IDs from 1.
    async fn clear(&self) {
        let tables = "SELECT string_agg('mmr.' || relname, ', ') FROM pg_class
            WHERE relnamespace = 'mmr'::regnamespace AND relkind = 'r' AND relname <> 'migrations'";
        let tables: String = self.empty.query_one(tables, &[]).await.unwrap().get(0);
        self.empty.batch_execute(&format!("TRUNCATE {tables} RESTART IDENTITY")).await.unwrap();
    }
}

/// Runs the operations on a store and the oracle, and asks both about everything when it is over.
async fn compare(store: &dyn MediaStore, operations: &[Operation]) -> Result<(), TestCaseError> {
    let oracle = MemoryStore::new();
    for (step, operation) in operations.iter().chain(&audit()).enumerate() {
        let expected = run(&oracle, operation).await;
        let got = run(store, operation).await;
        prop_assert_eq!(got, expected, "step {}: {:?}", step, operation);
    }
    Ok(())
}

fn compare_sqlite(operations: &[Operation]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { compare(&SqliteStore::in_memory().unwrap(), operations).await })
}

fn compare_postgres(operations: &[Operation]) -> Result<(), TestCaseError> {
    static POSTGRES: LazyLock<Mutex<Postgres>> = LazyLock::new(|| Mutex::new(Postgres::new()));
    let postgres = POSTGRES.lock().unwrap_or_else(PoisonError::into_inner);
    postgres.runtime.block_on(async {
        postgres.clear().await;
        compare(&postgres.store, operations).await
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_agrees_with_memory_about_media(operations in vec(of_media(), 1..120)) {
        compare_sqlite(&operations)?;
    }

    #[test]
    fn sqlite_agrees_with_memory_about_everything_else(operations in vec(of_the_rest(), 1..60)) {
        compare_sqlite(&operations)?;
    }

    #[test]
    fn postgres_agrees_with_memory_about_media(operations in vec(of_media(), 1..120)) {
        compare_postgres(&operations)?;
    }

    #[test]
    fn postgres_agrees_with_memory_about_everything_else(operations in vec(of_the_rest(), 1..60)) {
        compare_postgres(&operations)?;
    }
}
