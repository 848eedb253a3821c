//! Promises of [`Signals`](crate::store::Signals).

use futures_util::{FutureExt as _, StreamExt as _};

use super::fixtures::{mxc, ok, user};
use crate::store::{MediaStore, Signal};

/// Every subscriber gets everything, in order.
pub async fn every_subscriber_hears_every_signal_in_order(store: &dyn MediaStore) {
    let signals = [
        Signal::Uploaded(mxc(1)),
        Signal::MediaChanged(mxc(1)),
        Signal::LoggedOut(user(1)),
        Signal::AllMediaChanged,
        Signal::Uploaded(mxc(2)),
    ];
    let subscribers = [store.subscribe(), store.subscribe()];
    for signal in &signals {
        ok(store.publish(signal).await);
    }
    for subscriber in subscribers {
        let heard: Vec<_> = subscriber.take(signals.len()).collect().await;
        assert_eq!(heard, signals);
    }
}

/// A subscription begins when it is made, not when it is first read.
pub async fn a_subscriber_hears_what_is_published_after_it_came(store: &dyn MediaStore) {
    ok(store.publish(&Signal::Uploaded(mxc(1))).await);
    let mut subscriber = store.subscribe();
    ok(store.publish(&Signal::Uploaded(mxc(2))).await);
    assert_eq!(subscriber.next().await, Some(Signal::Uploaded(mxc(2))));
    assert_eq!(subscriber.next().now_or_never(), None);
}

/// Who is too slow is told so at the gap, and hears what comes then.
pub async fn a_slow_subscriber_learns_that_it_missed_something(store: &dyn MediaStore) {
    let names: Vec<_> = (0..100_000).map(mxc).collect();
    let mut subscriber = store.subscribe();
    for name in &names {
        ok(store.publish(&Signal::Uploaded(name.clone())).await);
    }
    let mut expected = names.iter();
    let mut lost = false;
    while expected.len() > 0 {
        match subscriber.next().await {
            Some(Signal::Lost) => lost = true,
            Some(Signal::Uploaded(name)) => {
                let skipped = expected.position(|expected| *expected == name).expect("signals come in order");
                assert!(skipped == 0 || lost, "{skipped} signals are missing before {name}");
                lost = false;
            }
            other => panic!("{other:?} was not published"),
        }
    }
}
