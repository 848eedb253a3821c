//! No statement may read a whole table, be it in a function: the server tells the plan of everything that it runs, so that
//! a lost index is noticed.

use std::{collections::BTreeSet, fs, time::Duration};

use futures_util::future::join_all;
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
    types::{ContentType, Mxc, Timestamp},
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
    INSERT INTO mmr.thumbnails SELECT id, 32, 32, 'crop', 'still', id, 'image/png', 32, 32, id FROM mmr.blobs;
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
    -c auto_explain.log_nested_statements=on -c auto_explain.log_triggers=off -c auto_explain.log_analyze=on";

/// A server with these rows, and a store whose statements it explains.
async fn explained(fill: &str) -> (Cluster, PostgresStore) {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url();
    ok(PostgresStore::migrate(&PostgresOptions::new(&url)).await);
    connect(&url).await.batch_execute(fill).await.unwrap();
    let options = EXPLAIN.replace(' ', "%20").replace('=', "%3D");
    let explained = PostgresOptions {
        max_connections: 1,
        statement_timeout: Duration::from_mins(1),
        ..PostgresOptions::new(&format!("{url}&options={options}"))
    };
    let store = ok(PostgresStore::connect(explained).await);
    (cluster, store)
}

/// What the server has told so far.
fn log(cluster: &Cluster) -> String {
    fs::read_to_string(cluster.directory().join("log")).unwrap()
}

fn plans(log: &str) -> Vec<&str> {
    log.split("LOG:  duration:").skip(1).collect()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let (cluster, store) = explained(FILL).await;
    call_everything(&store).await;
    store.close().await;

    let log = log(&cluster);
    let plans = plans(&log);
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
    assert!(functions.iter().any(|function| function.starts_with("mmr.insert_plain_media")), "{functions:?}");
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
        let together: Vec<_> =
            (0..4).map(|n| 300 + 4 * name + n).map(|number| media(number, number)).collect();
        for outcome in join_all(together.iter().map(|media| store.insert(media))).await {
            ok(outcome);
        }
        ok(store.reserve(&reservation(200 + name, 0, 60), Some(100)).await);
        ok(store
            .insert(&NewMedia { fills_reservation: true, created: at(1), ..media(200 + name, name) })
            .await);
        ok(store.pending(&user(0), at(0)).await);
        ok(store.insert_thumbnail(&thumbnail(name, 1000 + name)).await);
        ok(store.thumbnail(&mxc(name), &spec(32, 32)).await);
        ok(store.thumbnails_of(&hash(name), 10).await);
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
    let old = Some(Timestamp::from_millis(50));
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

/// The most rows that any scan of a table or index in these plans came past, those that it dropped included.
fn most_rows(plans: &[&str]) -> f64 {
    let mut most = 0.0_f64;
    for plan in plans {
        let mut rows = 0.0;
        for line in plan.lines().map(str::trim) {
            let number = |line: &str, name: &str| {
                line.split(name).nth(1).and_then(|rest| rest.split([' ', ')']).next()?.parse::<f64>().ok())
            };
            if let Some((_, actual)) = line.split_once("Scan").and_then(|_| line.split_once("(actual ")) {
                rows = number(actual, "rows=").unwrap_or(0.0) * number(actual, "loops=").unwrap_or(0.0);
            } else if line.starts_with("Rows Removed by ") {
                rows += number(line, ": ").unwrap_or(0.0);
            }
            most = most.max(rows);
        }
    }
    most
}

/// Calls until the server has settled for a plan, and answers the plans of the last call.
async fn last_plans(cluster: &Cluster, mut call: impl AsyncFnMut(u64)) -> String {
    let mut seen = 0;
    for number in 0..8 {
        seen = log(cluster).len();
        call(number).await;
    }
    log(cluster).split_off(seen)
}

#[tokio::test]
async fn removals_read_the_sums_of_those_whose_media_they_remove() {
    // A user each.
    let sums = "INSERT INTO mmr.user_usage
        SELECT 'example.org', '@other' || n || ':example.org', 0, 1, 1 FROM generate_series(1, 20000) n";
    let (cluster, store) = explained(&format!("{FILL} {sums}; ANALYZE")).await;
    let plans_of = last_plans(&cluster, async |number| {
        let mxcs = (0..100).map(|each| {
            let n = 1 + number * 100 + each;
            mxc_in(&format!("s{}.example", n % 500), &format!("m{n}"))
        });
        let filter = MediaFilter { mxcs: Some(mxcs.collect()), ..MediaFilter::default() };
        assert_eq!(ok(store.remove(&filter, 100, at(3)).await).mxcs.len(), 100);
    });
    let log = plans_of.await;
    let plans = plans(&log);
    assert!(plans.iter().any(|plan| plan.contains("user_usage_pkey")), "{log}");
    let scan = plans.iter().find(|plan| plan.contains("Seq Scan on user_usage"));
    assert!(scan.is_none(), "{scan:?}");
}

#[tokio::test]
async fn expired_media_is_removed_without_coming_past_any_other() {
    // What expires is the newest, so that going by age would find it last.
    let fill = FILL.replace("WHEN n % 20 = 0 THEN n END", "WHEN n > 19000 THEN n END");
    let (cluster, store) = explained(&fill).await;
    let log = last_plans(&cluster, async |_| {
        let expired =
            MediaFilter { expired_at: Some(Timestamp::from_millis(30_000)), ..MediaFilter::default() };
        assert_eq!(ok(store.remove(&expired, 50, at(3)).await).mxcs.len(), 50);
    });
    let log = log.await;
    let plans = plans(&log);
    assert!(plans.iter().any(|plan| plan.contains("media_by_expires")), "{log}");
    assert!(most_rows(&plans) <= 500.0, "{} rows:\n{log}", most_rows(&plans));
}

#[tokio::test]
async fn steps_through_old_media_come_past_what_is_spared_once() {
    // Nine tenths belong to the one server that is spared.
    let fill = FILL.replace(
        "'s' || n % 500 || '.example'",
        "CASE WHEN n % 10 = 0 THEN 's.example' ELSE 'home.example' END",
    );
    let (cluster, store) = explained(&fill).await;
    let old = Some(Timestamp::from_millis(15_000));
    for mut filter in [
        MediaFilter { created_before: old, ..MediaFilter::default() },
        MediaFilter { unused_since: old, ..MediaFilter::default() },
    ] {
        filter.not_origins = vec!["home.example".try_into().unwrap()];
        let log = last_plans(&cluster, async |_| {
            let found = ok(store.list(&filter, &Page { limit: 100, ..Page::default() }).await);
            assert_eq!(found.len(), 100);
            filter.after = found.last().map(|last| (last.created, last.mxc.clone()));
        });
        let log = log.await;
        // The window, and what is in it until a hundred are found; without the cursor eight thousand.
        assert!(most_rows(&plans(&log)) <= 5000.0, "{} rows:\n{log}", most_rows(&plans(&log)));
    }
}

#[tokio::test]
async fn no_step_through_old_media_comes_past_more_than_a_window() {
    // All but the last belong to the one server that is spared.
    let fill = FILL.replace(
        "'s' || n % 500 || '.example'",
        "CASE WHEN n = 20000 THEN 's.example' ELSE 'home.example' END",
    );
    let (cluster, store) = explained(&fill).await;
    let filter = MediaFilter {
        created_before: Some(Timestamp::from_millis(30_000)),
        not_origins: vec!["home.example".try_into().unwrap()],
        ..MediaFilter::default()
    };
    let log = last_plans(&cluster, async |_| {
        let found = ok(store.list(&filter, &Page { limit: 100, ..Page::default() }).await);
        assert_eq!(
            found.iter().map(|record| record.mxc.to_string()).collect::<Vec<_>>(),
            ["mxc://s.example/m20000"]
        );
    });
    let log = log.await;
    assert!(most_rows(&plans(&log)) <= 5000.0, "{} rows:\n{log}", most_rows(&plans(&log)));
}

#[tokio::test]
async fn many_keys_are_looked_up_one_by_one() {
    let (cluster, store) = explained(FILL).await;
    let begin = log(&cluster).len();
    // The first five plans are made for a thousand keys, the others for any number.
    for number in 0..8 {
        let keys: Vec<_> = (0..1000).map(|each| key_of(&format!("stray/{}", number * 1000 + each))).collect();
        assert_eq!(ok(store.unreferenced(&datastore_id("main"), &keys).await), keys);
    }
    let log = log(&cluster).split_off(begin);
    let plans = plans(&log);
    assert_eq!(plans.iter().filter(|plan| plan.contains("garbage_pkey")).count(), 8, "{log}");
    let scan = plans.iter().find(|plan| plan.contains("Seq Scan"));
    assert!(scan.is_none(), "{scan:?}");
}

fn mxc_in(origin: &str, media_id: &str) -> Mxc {
    Mxc::from_parts(origin, media_id).unwrap()
}
