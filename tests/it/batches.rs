//! Purges and verdicts over more media than one transaction should hold.

use std::sync::Arc;

use futures_util::StreamExt as _;
use mmr_core::{
    backend::memory::MemoryStore,
    store::{
        Attributes, MediaFilter, MediaIndex as _, MediaStore, ModerationIndex as _, Page, Signal,
        Signals as _, UsageIndex as _,
    },
    testing::{
        fault::{Fault, FaultPlan, FaultyStore},
        store_suite::fixtures::{link, media, mxc, ok, user},
    },
};
use mmr_test_support::{TestServer, TestServerBuilder};

/// Two batches and a bit.
const MANY: u64 = 1200;

struct Lab {
    server: TestServer,
    store: Arc<MemoryStore>,
    plan: FaultPlan,
}

impl Lab {
    /// Media of one user, each with bytes of its own or all with the same.
    async fn new(same_bytes: bool, plan: FaultPlan) -> Self {
        let store = Arc::new(MemoryStore::new());
        ok(store.insert(&media(0, 0)).await);
        for name in 1..MANY {
            ok(store.insert(&if same_bytes { link(name, 0) } else { media(name, name) }).await);
        }
        let faulty = FaultyStore::new(Arc::<MemoryStore>::clone(&store) as Arc<dyn MediaStore>, plan.clone());
        let builder = TestServerBuilder { store: Some(Arc::new(faulty)), ..TestServerBuilder::default() };
        Self { server: builder.start().await, store, plan }
    }

    fn calls(&self, method: &str) -> usize {
        self.plan.log().iter().filter(|call| **call == method).count()
    }

    async fn pin(&self, name: u64) {
        assert!(ok(self.store.set_attributes(&mxc(name), &Attributes { pinned: true }).await));
    }

    async fn left(&self, filter: MediaFilter) -> usize {
        ok(self.store.list(&filter, &Page { limit: u32::MAX, ..Page::default() }).await).len()
    }
}

fn of_user() -> MediaFilter {
    MediaFilter { uploader: Some(user(0)), ..MediaFilter::default() }
}

#[tokio::test]
async fn a_purge_goes_in_batches_and_tells_of_each() {
    let lab = Lab::new(false, FaultPlan::counting()).await;
    let told = lab.store.subscribe();
    let purged = lab.server.repository.purge().run(&of_user(), 0).await.expect("memory answers");
    assert_eq!((purged.media, purged.blobs, purged.mxcs), (MANY, MANY, vec![]));
    assert_eq!(lab.calls("MediaIndex::remove"), 3);
    assert_eq!(told.take(3).collect::<Vec<_>>().await, vec![Signal::AllMediaChanged; 3]);
    assert_eq!(ok(lab.store.usage_of_user(&user(0)).await).files, 0);
}

#[tokio::test]
async fn a_purge_answers_as_many_names_as_were_asked_for() {
    let lab = Lab::new(false, FaultPlan::counting()).await;
    let purged = lab.server.repository.purge().run(&of_user(), 700).await.expect("memory answers");
    assert_eq!(purged.mxcs, (0..700).map(mxc).collect::<Vec<_>>());
    assert_eq!(purged.media, MANY);
}

#[tokio::test]
async fn what_a_purge_spares_is_in_no_batch() {
    let lab = Lab::new(false, FaultPlan::counting()).await;
    for name in 0..600 {
        lab.pin(name).await;
    }
    let filter = MediaFilter { not_pinned: true, ..of_user() };
    let purged = lab.server.repository.purge().run(&filter, 0).await.expect("memory answers");
    assert_eq!((purged.media, lab.calls("MediaIndex::remove")), (MANY - 600, 2));
    assert_eq!(lab.left(of_user()).await, 600);
}

#[tokio::test]
async fn a_purge_that_breaks_off_tells_so_and_can_be_called_again() {
    // Up to the second batch.
    let counted = Lab::new(false, FaultPlan::counting()).await;
    counted.server.repository.purge().run(&of_user(), 0).await.expect("memory answers");
    let log = counted.plan.log();
    let mut removals = (1..).zip(&log).filter(|(_, call)| **call == "MediaIndex::remove");
    let (second, _) = removals.nth(1).expect("there are three");

    let lab = Lab::new(false, FaultPlan::fail(second, Fault::Before)).await;
    let told = lab.store.subscribe();
    lab.server.repository.purge().run(&of_user(), 0).await.expect_err("the second batch fails");
    assert_eq!(told.take(2).collect::<Vec<_>>().await, vec![Signal::AllMediaChanged; 2]);
    assert_eq!(lab.left(of_user()).await as u64, MANY - 500);
    let purged = lab.server.repository.purge().run(&of_user(), 0).await.expect("the outage is over");
    assert_eq!(purged.media, MANY - 500);
}

#[tokio::test]
async fn a_verdict_goes_in_batches_and_tells_of_each() {
    let lab = Lab::new(false, FaultPlan::counting()).await;
    let moderation = lab.server.repository.moderation();
    let told = lab.store.subscribe();
    assert_eq!(moderation.quarantine(&of_user(), user(9), None).await.expect("memory answers"), MANY);
    assert_eq!(lab.calls("ModerationIndex::set_quarantine"), 3);
    assert_eq!(told.take(3).collect::<Vec<_>>().await, vec![Signal::AllMediaChanged; 3]);
    let withdrawn = MediaFilter { quarantined: Some(true), ..of_user() };
    assert_eq!(lab.left(withdrawn.clone()).await as u64, MANY);

    assert_eq!(moderation.lift(&withdrawn).await.expect("memory answers"), MANY);
    assert_eq!(lab.calls("ModerationIndex::set_quarantine"), 6);
    assert_eq!(lab.left(withdrawn).await, 0);
}

#[tokio::test]
async fn copies_that_fall_into_several_batches_count_once() {
    let lab = Lab::new(true, FaultPlan::counting()).await;
    let moderation = lab.server.repository.moderation();
    assert_eq!(moderation.quarantine(&of_user(), user(9), None).await.expect("memory answers"), MANY);
}

#[tokio::test]
async fn a_verdict_passes_what_is_pinned() {
    let lab = Lab::new(false, FaultPlan::counting()).await;
    for name in 0..600 {
        lab.pin(name).await;
    }
    let moderation = lab.server.repository.moderation();
    assert_eq!(moderation.quarantine(&of_user(), user(9), None).await.expect("memory answers"), MANY - 600);
}
