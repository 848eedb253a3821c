//! No statement may read a whole table, be it in a function: the server tells the plan of everything that it runs, so that
//! a lost index is noticed.

use std::{collections::BTreeSet, fs, time::Duration};

use mmr_core::{
    backend::postgres::{PostgresOptions, PostgresStore},
    store::{
        Attributes, BlobIndex as _, ExportIndex as _, LeaseIndex as _, MediaFilter, MediaIndex as _,
        ModerationIndex as _, NewBlob, NewMedia, NewTask, Page, PreviewIndex as _, PreviewRecord, Quarantine,
        QuotaCap, Signal, Signals as _, TaskIndex as _, ThumbnailIndex as _, UploadIndex as _, UploadProbe,
        UsageIndex as _,
    },
    testing::store_suite::fixtures::{
        at, blob, datastore_id, hash, key_of, link, location, media, mxc, ok, reservation, spec, thumbnail,
        user,
    },
    types::ContentType,
};
use mmr_test_support::{Cluster, connect};

/// Enough rows for an index to be worth it.
const FILL: &str = "
    INSERT INTO mmr.blobs (hash, size, datastore, key)
    SELECT sha256(('b' || n)::bytea), n, 'main', 'fill/' || n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.media (origin, media_id, blob, content_type, uploader, created, requires_auth, expires)
    SELECT 's' || n % 500 || '.example', 'm' || n, b.id, 'image/png', '@u' || n % 1000 || ':example.org', n, false,
        CASE WHEN n % 20 = 0 THEN n END
    FROM generate_series(1, 20000) n JOIN mmr.blobs b ON b.key = 'fill/' || n;
    INSERT INTO mmr.thumbnails SELECT id, 32, 32, 'crop', false, id, 'image/png', 32, 32, id FROM mmr.blobs;
    INSERT INTO mmr.reservations
    SELECT 'r.example', 'r' || n, '@r' || n % 1000 || ':r.example', n, n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.garbage SELECT 'main', 'old/' || n, n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.previews SELECT sha256(('p' || n)::bytea), 'u' || n, '', n, '{}', NULL FROM generate_series(1, 20000) n;
    INSERT INTO mmr.tasks (name, params, created, not_before, finished)
    SELECT 't', '{}', n, n, n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.exports SELECT 'e' || n, '@a:b', n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.export_parts
    SELECT 'e' || n, 1, 'part', b.id FROM generate_series(1, 20000) n JOIN mmr.blobs b ON b.key = 'fill/' || n;
    INSERT INTO mmr.leases SELECT 'l' || n, 'h', n FROM generate_series(1, 20000) n;
    INSERT INTO mmr.signals SELECT n, 'changed' FROM generate_series(1, 15000) n;
    ANALYZE;";

const EXPLAIN: &str = "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 \
    -c auto_explain.log_nested_statements=on -c auto_explain.log_triggers=off";

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url();
    ok(PostgresStore::migrate(&PostgresOptions::new(&url)).await);
    connect(&url).await.batch_execute(FILL).await.unwrap();
    let options = EXPLAIN.replace(' ', "%20").replace('=', "%3D");
    let explained = PostgresOptions {
        statement_timeout: Duration::from_mins(1),
        ..PostgresOptions::new(&format!("{url}&options={options}"))
    };
    let store = ok(PostgresStore::connect(explained).await);
    call_everything(&store).await;
    store.close().await;

    let log = fs::read_to_string(cluster.directory().join("log")).unwrap();
    let plans: Vec<&str> = log.split("LOG:  duration:").skip(1).collect();
    assert!(plans.len() > 80, "{} plans are not those of all statements", plans.len());
    let mut functions = BTreeSet::new();
    for plan in plans {
        functions.extend(plan.lines().filter_map(|line| line.split("PL/pgSQL function ").nth(1)));
        let scanned = plan.lines().filter(|line| line.contains("Seq Scan on")).find(|line| {
            // As many rows as there are datastores, and what only migrations look at.
            ![" on datastore_usage", " on migrations", " on pg_"].iter().any(|small| line.contains(small))
        });
        assert!(scanned.is_none(), "{plan}");
    }
    assert!(functions.len() >= 15, "statements inside of functions are not told of: {functions:?}");
}

#[expect(clippy::too_many_lines, reason = "a list")]
async fn call_everything(store: &PostgresStore) {
    let quota = QuotaCap { max_bytes: Some(u64::MAX), max_files: Some(1000) };
    let full = |name: u64| NewMedia { quota, ..media(name, name) };
    // More than the five calls after which the server stops to plan anew.
    for name in 0..8 {
        ok(store.lookup(&mxc(name)).await);
        let probe = UploadProbe {
            hash: hash(name),
            origin: mxc(0).origin().to_owned(),
            uploader: Some(user(0)),
            content_type: ContentType::new("image/png"),
            file_name: None,
        };
        ok(store.upload_facts(&probe).await);
        ok(store.insert(&full(name)).await);
        ok(store.insert(&link(100 + name, name)).await);
        ok(store.reserve(&reservation(200 + name, 0, 60), Some(100)).await);
        ok(store
            .insert(&NewMedia { fills_reservation: true, created: at(1), ..media(200 + name, name) })
            .await);
        ok(store.pending(&user(0), at(0)).await);
        ok(store.insert_thumbnail(&thumbnail(name, 1000 + name)).await);
        ok(store.thumbnail(&mxc(name), &spec(32, 32)).await);
        ok(store.touch(&[(hash(name), at(name)), (hash(77), at(1))]).await);
        ok(store.usage_of_user(&user(0)).await);
        ok(store.usage_of_server(mxc(0).origin()).await);
        ok(store.usage_by_user(mxc(0).origin(), None, 10).await);
        ok(store.datastore_usage(&datastore_id("main")).await);
        ok(store.datastores().await);
        ok(store.attributes(&mxc(name)).await);
        ok(store.set_attributes(&mxc(name), &Attributes { pinned: false }).await);
        let only = MediaFilter { mxcs: Some(vec![mxc(name)]), ..MediaFilter::default() };
        let verdict = Quarantine::Impose { by: user(9), at: at(9), only_origins: None };
        ok(store.set_quarantine(&only, &verdict).await);
        ok(store.set_quarantine(&only, &Quarantine::Lift).await);
        ok(store
            .relocate(&hash(name), &blob(name).location, &location("other", &format!("x/{name}")), at(1))
            .await);
        ok(store.unreferenced(&datastore_id("main"), &[key_of("a"), key_of("fill/7")]).await);
        ok(store.garbage(10, at(0)).await);
        ok(store.forget(&[blob(name).location]).await);
        let (id, page) = (format!("export{name}"), format!("http://page/{name}"));
        ok(store.create_export(&id, "@a:b", at(0)).await);
        ok(store.add_part(&id, 1, "part", &NewBlob::Link(hash(name))).await);
        ok(store.export(&id).await);
        ok(store.remove_export(&id, at(1)).await);
        let preview = PreviewRecord {
            url: page.clone(),
            language: String::new(),
            taken: at(0),
            outcome: Ok("{}".to_owned()),
        };
        ok(store.put_preview(&preview).await);
        ok(store.preview(&page, "", at(0)).await);
        ok(store.remove_previews(at(0), 10).await);
        let task = NewTask { name: "t".to_owned(), params: String::new(), created: at(0), not_before: at(0) };
        let task = ok(store.enqueue(&task).await);
        ok(store.claim("h", Duration::from_secs(1), at(0)).await);
        ok(store.renew(task, "h", at(9), "{}").await);
        ok(store.finish(task, "h", at(9), None).await);
        ok(store.task(task).await);
        ok(store.tasks(true, None, 10).await);
        ok(store.tasks(false, None, 10).await);
        ok(store.try_lease("lease", "h", Duration::from_secs(1), at(name)).await);
        ok(store.release("lease", "h").await);
        ok(store.publish(&Signal::Uploaded(mxc(name))).await);
        ok(store.expire(at(0), 10).await);
        ok(store.remove(&only, 10, at(2)).await);
    }
    let none = MediaFilter::default;
    let old = Some(mmr_core::types::Timestamp::from_millis(50));
    for filter in [
        MediaFilter { origin: Some("s1.example".try_into().unwrap()), ..none() },
        MediaFilter { uploader: Some("@u1:example.org".try_into().unwrap()), ..none() },
        MediaFilter { hash: Some(hash(0)), ..none() },
        MediaFilter { created_before: old, ..none() },
        MediaFilter { unused_since: old, ..none() },
        MediaFilter { expired_at: old, ..none() },
    ] {
        ok(store.list(&filter, &Page { limit: 10, ..Page::default() }).await);
        ok(store.remove_thumbnails(&filter, at(9), 3, at(3)).await);
        ok(store.remove(&filter, 3, at(3)).await);
    }
    ok(store.list(&none(), &Page { limit: 10, ..Page::default() }).await);
    ok(store.remove_thumbnails(&none(), at(9), 5, at(3)).await);
}
