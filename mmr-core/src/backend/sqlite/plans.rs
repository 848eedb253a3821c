//! No hot statement may read a whole table: the plans are checked, so that a lost index is noticed.

use std::path::Path;

use rusqlite::Connection;

use super::{
    SqliteOptions, blobs, conn, exports, leases, media, migrate, moderation, previews, tasks, thumbnails,
    uploads, usage,
};
use crate::{
    store::MediaFilter,
    types::{ContentHash, Mxc, Timestamp},
};

fn database() -> Connection {
    let conn = conn::open_writer(Path::new(":memory:"), &SqliteOptions::default()).unwrap();
    migrate::migrate(&conn).unwrap();
    conn
}

fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = rusqlite::params_from_iter(vec![rusqlite::types::Null; statement.parameter_count()]);
    statement.query_map(unbound, |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn scans(conn: &Connection, sql: &str) -> Vec<String> {
    // The lists in parameters are read whole, of course.
    let is_scan = |step: &String| {
        step.starts_with("SCAN") && !step.contains("CONSTANT ROW") && !step.contains("json_each")
    };
    plan(conn, sql).into_iter().filter(is_scan).collect()
}

#[test]
fn no_fixed_statement_scans_a_table() {
    let conn = database();
    for sql in [
        blobs::DROP_BLOB,
        blobs::DROP_THUMBNAILS,
        blobs::FIND,
        blobs::FORGET,
        blobs::GARBAGE,
        blobs::HAS_MEDIA,
        blobs::IN_DATASTORE,
        blobs::IN_USE,
        blobs::KNOWN_KEY,
        blobs::LIVES_AT,
        blobs::MOVE,
        blobs::USAGE,
        exports::DROP,
        exports::DROP_PARTS,
        exports::ENTITY,
        exports::HAS_PART,
        exports::PARTS,
        leases::RELEASE,
        leases::TAKE,
        media::DELETE,
        media::HAS_MEDIA,
        media::LOOKUP,
        media::QUARANTINED,
        media::SAME,
        media::TOUCH,
        moderation::ATTRIBUTES,
        moderation::SET_ATTRIBUTES,
        previews::LATEST,
        previews::REMOVE,
        tasks::FINISH,
        tasks::RENEW,
        tasks::TASK,
        tasks::TASKS,
        tasks::UNFINISHED,
        thumbnails::DELETE,
        thumbnails::FIND,
        thumbnails::IS_TAKEN,
        thumbnails::OF_SOURCE,
        uploads::EXPIRE,
        uploads::PENDING,
        uploads::RESERVATION,
        uploads::USE_UP,
        usage::BY_USER,
        usage::OF_ORIGIN,
        usage::OF_USER,
    ] {
        assert_eq!(scans(&conn, sql), [""; 0], "{sql}");
    }
}

#[test]
fn claiming_a_task_reads_unfinished_ones_only() {
    let plan = plan(&database(), tasks::CLAIM);
    assert!(plan.iter().any(|step| step.contains("INDEX tasks_unfinished")), "{plan:#?}");
}

#[test]
fn a_filter_with_an_index_behind_it_reads_what_it_selects() {
    let conn = database();
    let mxc: Mxc = "mxc://a.example/x".parse().unwrap();
    let at = Some(Timestamp::EPOCH);
    let none = MediaFilter::default;
    for filter in [
        MediaFilter { mxcs: Some(vec![mxc.clone()]), ..none() },
        MediaFilter { origin: Some(mxc.origin().to_owned()), ..none() },
        MediaFilter { uploader: Some("@a:a.example".try_into().unwrap()), ..none() },
        MediaFilter { hash: Some(ContentHash::from_bytes([0; 32])), ..none() },
        MediaFilter { created_before: at, ..none() },
        MediaFilter { unused_since: at, ..none() },
        MediaFilter { expired_at: at, ..none() },
    ] {
        let removal = media::victims(&filter).unwrap();
        assert_eq!(scans(&conn, &removal), [""; 0], "{filter:?}");
    }
}

#[test]
fn removing_old_media_in_batches_sorts_no_table() {
    let conn = database();
    let filter = MediaFilter { created_before: Some(Timestamp::EPOCH), ..MediaFilter::default() };
    let plan = plan(&conn, &media::victims(&filter).unwrap());
    assert!(plan[0].contains("INDEX media_by_created"), "{plan:#?}");
    assert!(!plan.iter().any(|step| step == "USE TEMP B-TREE FOR ORDER BY"), "{plan:#?}");
}

#[test]
fn removing_expired_media_in_batches_reads_what_has_expired() {
    let conn = database();
    let filter = MediaFilter { expired_at: Some(Timestamp::EPOCH), ..MediaFilter::default() };
    let plan = plan(&conn, &media::victims(&filter).unwrap());
    assert!(plan[0].contains("INDEX media_by_expires (expires<?)"), "{plan:#?}");
    assert!(!plan.iter().any(|step| step == "USE TEMP B-TREE FOR ORDER BY"), "{plan:#?}");
}

#[test]
fn every_reference_to_a_blob_has_an_index() {
    let conn = database();
    for table in ["media", "thumbnails", "export_parts"] {
        let sql = format!("SELECT \"from\" FROM pragma_foreign_key_list('{table}')");
        let mut statement = conn.prepare(&sql).unwrap();
        let columns: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(!columns.is_empty());
        for column in columns {
            let sql = format!("SELECT 1 FROM {table} WHERE {column} = ?");
            assert_eq!(scans(&conn, &sql), [""; 0], "{sql}");
        }
    }
}

#[test]
fn a_statement_from_the_cache_is_not_compiled_again() {
    let conn = database();
    for sql in [media::LOOKUP, media::SAME, blobs::FIND, thumbnails::FIND, uploads::PENDING, usage::OF_USER] {
        for round in 0..5 {
            let mut statement = conn.prepare_cached(sql).unwrap();
            let values = vec![format!("{round}"); statement.parameter_count()];
            statement.exists(rusqlite::params_from_iter(values)).unwrap();
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
