//! Promises of [`TaskIndex`](crate::store::TaskIndex).

use std::time::Duration;

use super::fixtures::{at, ok};
use crate::store::{MediaStore, NewTask, TaskRecord};

const TTL: Duration = Duration::from_secs(10);

fn task(name: &str, not_before: u64) -> NewTask {
    NewTask {
        name: name.to_owned(),
        params: "{\"a\":1}".to_owned(),
        created: at(0),
        not_before: at(not_before),
    }
}

async fn claimed(store: &dyn MediaStore, holder: &str, seconds: u64) -> Option<u64> {
    ok(store.claim(holder, TTL, at(seconds)).await).map(|task| task.id)
}

/// A new task waits, and has done nothing.
pub async fn a_new_task_waits(store: &dyn MediaStore) {
    let given = task("purge", 5);
    let id = ok(store.enqueue(&given).await);
    let expected = TaskRecord {
        id,
        name: given.name,
        params: given.params,
        progress: String::new(),
        created: given.created,
        attempts: 0,
        finished: None,
        error: None,
    };
    assert_eq!(ok(store.task(id).await), Some(expected));
    assert_eq!(ok(store.task(id + 1).await), None);
}

/// IDs grow.
pub async fn a_later_task_has_a_larger_id(store: &dyn MediaStore) {
    let first = ok(store.enqueue(&task("a", 0)).await);
    let second = ok(store.enqueue(&task("b", 0)).await);
    assert!(second > first);
}

/// The oldest due task goes first; what is not due waits.
pub async fn the_oldest_due_task_is_claimed_first(store: &dyn MediaStore) {
    let late = ok(store.enqueue(&task("late", 50)).await);
    let first = ok(store.enqueue(&task("first", 5)).await);
    let second = ok(store.enqueue(&task("second", 0)).await);
    assert_eq!(claimed(store, "x", 4).await, Some(second));
    assert_eq!(claimed(store, "x", 4).await, None);
    assert_eq!(claimed(store, "x", 5).await, Some(first));
    assert_eq!(claimed(store, "y", 50).await, Some(late));
}

/// A claim counts, and keeps everybody off until it runs out.
pub async fn a_claim_lasts_as_long_as_was_asked(store: &dyn MediaStore) {
    let id = ok(store.enqueue(&task("a", 0)).await);
    let task = ok(store.claim("x", TTL, at(0)).await).expect("it is due");
    assert_eq!((task.id, task.attempts), (id, 1));
    for holder in ["x", "y"] {
        assert_eq!(claimed(store, holder, 9).await, None);
    }
    let task = ok(store.claim("y", TTL, at(10)).await).expect("the claim ran out");
    assert_eq!((task.id, task.attempts), (id, 2));
}

/// Whoever holds a task may go on with it.
pub async fn a_renewed_claim_lasts_longer(store: &dyn MediaStore) {
    let id = ok(store.enqueue(&task("a", 0)).await);
    claimed(store, "x", 0).await;
    assert!(ok(store.renew(id, "x", at(30), "{\"done\":7}").await));
    assert_eq!(claimed(store, "y", 29).await, None);
    assert_eq!(ok(store.task(id).await).expect("it is there").progress, "{\"done\":7}");
    assert_eq!(claimed(store, "y", 30).await, Some(id));
    assert_eq!(ok(store.task(id).await).expect("it is there").progress, "{\"done\":7}");
}

/// Who lost a task to somebody else can neither go on with it nor end it.
pub async fn a_lost_claim_is_noticed(store: &dyn MediaStore) {
    let id = ok(store.enqueue(&task("a", 0)).await);
    claimed(store, "x", 0).await;
    claimed(store, "y", 10).await;
    assert!(!ok(store.renew(id, "x", at(99), "{}").await));
    assert!(!ok(store.finish(id, "x", at(11), None).await));
    assert_eq!(ok(store.task(id).await).expect("it is there").progress, "");
    assert!(ok(store.finish(id, "y", at(11), None).await));
}

/// A claim that ran out still counts while nobody else has made one.
pub async fn a_claim_that_nobody_took_over_still_counts(store: &dyn MediaStore) {
    let id = ok(store.enqueue(&task("a", 0)).await);
    claimed(store, "x", 0).await;
    assert!(ok(store.renew(id, "x", at(20), "{}").await));
    assert!(ok(store.finish(id, "x", at(500), None).await));
    assert!(!ok(store.renew(id + 1, "x", at(20), "{}").await));
}

/// A finished task is never handed out again, and says how it ended.
pub async fn a_finished_task_stays_finished(store: &dyn MediaStore) {
    let good = ok(store.enqueue(&task("good", 0)).await);
    let bad = ok(store.enqueue(&task("bad", 0)).await);
    for (id, error) in [(good, None), (bad, Some("no such room"))] {
        assert_eq!(claimed(store, "x", 0).await, Some(id));
        assert!(ok(store.finish(id, "x", at(3), error).await));
        assert!(!ok(store.finish(id, "x", at(4), Some("again")).await));
        assert!(!ok(store.renew(id, "x", at(4), "{}").await));
        let task = ok(store.task(id).await).expect("it is there");
        assert_eq!((task.finished, task.error.as_deref()), (Some(at(3)), error));
    }
    assert_eq!(claimed(store, "y", 999).await, None);
}

/// Pages of tasks, newest first.
pub async fn tasks_are_listed_newest_first(store: &dyn MediaStore) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(ok(store.enqueue(&task(name, 0)).await));
    }
    assert_eq!(claimed(store, "x", 0).await, Some(ids[0]));
    ok(store.finish(ids[0], "x", at(1), None).await);
    ids.reverse();
    let listed = async |unfinished_only, before, limit| -> Vec<u64> {
        ok(store.tasks(unfinished_only, before, limit).await).iter().map(|task| task.id).collect()
    };
    assert_eq!(listed(false, None, 9).await, ids);
    assert_eq!(listed(true, None, 9).await, ids[..3]);
    assert_eq!(listed(false, Some(ids[1]), 1).await, ids[2..3]);
    assert_eq!(listed(true, Some(ids[2]), 9).await, [0; 0]);
    assert_eq!(listed(false, Some(u64::MAX), 2).await, ids[..2]);
}
