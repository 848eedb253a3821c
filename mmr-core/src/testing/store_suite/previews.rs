//! Promises of [`PreviewIndex`](crate::store::PreviewIndex).

use super::fixtures::{START, at, ok};
use crate::{
    store::{MediaStore, PreviewRecord},
    types::Timestamp,
};

fn preview(url: &str, language: &str, seconds: u64) -> PreviewRecord {
    PreviewRecord {
        url: url.to_owned(),
        language: language.to_owned(),
        taken: at(seconds),
        outcome: Ok(format!("{{\"og:title\":\"{url} {language} {seconds}\"}}")),
    }
}

/// The latest preview that is young enough is remembered, by URL and language.
pub async fn the_latest_preview_of_a_page_is_found(store: &dyn MediaStore) {
    let all = [
        preview("https://a.example/", "en", 20),
        preview("https://a.example/", "en", 10),
        preview("https://a.example/", "de", 30),
        preview("https://a.example", "en", 40),
    ];
    for preview in &all {
        ok(store.put_preview(preview).await);
    }
    let found = async |language: &str, not_before: Timestamp| {
        ok(store.preview("https://a.example/", language, not_before).await)
    };
    assert_eq!(found("en", START).await.as_ref(), Some(&all[0]));
    assert_eq!(found("en", at(20)).await.as_ref(), Some(&all[0]));
    assert_eq!(found("en", at(21)).await, None);
    assert_eq!(found("de", START).await.as_ref(), Some(&all[2]));
    assert_eq!(found("fr", START).await, None);
}

/// Failures are remembered like answers; the same moment is replaced.
pub async fn a_preview_of_the_same_moment_is_replaced(store: &dyn MediaStore) {
    let first = preview("https://a.example/", "en", 20);
    let failed = PreviewRecord { outcome: Err("too large".to_owned()), ..first.clone() };
    for preview in [&first, &failed, &first] {
        ok(store.put_preview(preview).await);
        assert_eq!(ok(store.preview(&preview.url, &preview.language, START).await).as_ref(), Some(preview));
    }
    assert_eq!(ok(store.remove_previews(at(21), 9).await), 1);
}

/// Old previews go, the oldest first.
pub async fn old_previews_are_forgotten_oldest_first(store: &dyn MediaStore) {
    for (url, seconds) in [("c", 30), ("a", 10), ("d", 20), ("b", 20)] {
        ok(store.put_preview(&preview(url, "en", seconds)).await);
    }
    assert_eq!(ok(store.remove_previews(at(10), 9).await), 0);
    assert_eq!(ok(store.remove_previews(at(30), 2).await), 2);
    for (url, known) in [("a", false), ("b", false), ("c", true), ("d", true)] {
        assert_eq!(ok(store.preview(url, "en", START).await).is_some(), known, "{url}");
    }
    assert_eq!(ok(store.remove_previews(at(31), 9).await), 2);
}
