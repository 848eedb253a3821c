//! Two nodes on one store and one datastore.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use http::{Method, StatusCode};
use mmr_core::{
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    clock::Clock as _,
    datastore::Datastore,
    store::{LeaseIndex as _, MediaFilter, MediaIndex as _, MediaStore, Page, Signal, Signals as _},
    testing::{
        ManualClock,
        federation_suite::{FakeFederation, OriginMedia, Trouble},
        fixtures::{Gate, bytes},
    },
    types::{Lookup, MediaRecord, Mxc},
};
use mmr_test_support::{ADMIN, ALICE, BOB, TestServer, TestServerBuilder};

const REMOTE: &str = "/_matrix/client/v1/media/download/origin.example/cat";

struct Cluster {
    a: TestServer,
    b: TestServer,
    store: Arc<MemoryStore>,
    network: Arc<FakeFederation>,
    clock: Arc<ManualClock>,
}

impl Cluster {
    async fn new() -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
        let network = Arc::new(FakeFederation::new());
        let datastore: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
        let node = || TestServerBuilder {
            store: Some(Arc::<MemoryStore>::clone(&store) as Arc<dyn MediaStore>),
            datastore: Some(Arc::clone(&datastore)),
            federation: Arc::<FakeFederation>::clone(&network),
            clock: Arc::<ManualClock>::clone(&clock),
            shared: true,
            ..TestServerBuilder::default()
        };
        let (a, b) = (node().start().await, node().start().await);
        Self { a, b, store, network, clock }
    }

    async fn upload(&self) -> String {
        let call = self.a.client.call(Method::POST, "/_matrix/media/v3/upload").token(ALICE);
        let json = call.body("bytes").send().await.json();
        name(&json["content_uri"])
    }

    async fn until_gone(&self, node: &TestServer, name: &str) {
        while status(node, name).await != StatusCode::NOT_FOUND {
            tokio::task::yield_now().await;
        }
    }
}

/// Server name and media ID, joined by a slash.
fn name(uri: &serde_json::Value) -> String {
    uri.as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("an MXC URI").to_owned()
}

async fn status(node: &TestServer, name: &str) -> StatusCode {
    node.client.get(&format!("/_matrix/client/v1/media/download/{name}"), BOB).await.status
}

async fn administer(node: &TestServer, path: &str) {
    let target = format!("/_matrix/media/unstable/admin/{path}");
    assert_eq!(node.client.call(Method::POST, &target).token(ADMIN).send().await.status, StatusCode::OK);
}

fn remote_media() -> Mxc {
    Mxc::from_parts("origin.example", "cat").expect("a valid name")
}

#[tokio::test]
async fn a_file_of_another_server_is_fetched_once_for_both() {
    let cluster = Cluster::new().await;
    let (body, gate) = (bytes(1, 500_000), Gate::new());
    let media = OriginMedia::new(body.clone()).trouble(250_000, Trouble::Wait(gate.clone()));
    cluster.network.answer(remote_media(), media);
    let readers = [&cluster.a, &cluster.b].into_iter().cycle().take(16);
    let replies = join_all(readers.map(|node| node.client.get(REMOTE, ALICE)));
    let opened = async {
        gate.reached().await;
        gate.open();
    };
    let (replies, ()) = tokio::join!(replies, opened);
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK && reply.body == body));
    assert_eq!(cluster.network.fetches().len(), 1);
    let records = cluster.store.list(&MediaFilter::default(), &Page { limit: 9, ..Page::default() }).await;
    assert_eq!(records.expect("memory answers").len(), 1);
}

#[tokio::test]
async fn a_node_that_died_while_it_fetched_is_in_nobodys_way_for_long() {
    let cluster = Cluster::new().await;
    let body = bytes(1, 1000);
    cluster.network.answer(remote_media(), OriginMedia::new(body.clone()));
    let lease = format!("fetch {}", remote_media());
    let held =
        cluster.store.try_lease(&lease, "the dead", Duration::from_secs(30), cluster.clock.now()).await;
    assert!(held.expect("memory answers"));
    cluster.clock.advance(Duration::from_secs(31));
    assert_eq!(cluster.b.client.get(REMOTE, ALICE).await.body, body);
}

#[tokio::test]
async fn quarantine_on_one_holds_on_the_other_although_it_remembers() {
    let cluster = Cluster::new().await;
    let media = cluster.upload().await;
    assert_eq!(status(&cluster.b, &media).await, StatusCode::OK);
    administer(&cluster.a, &format!("quarantine/{media}")).await;
    assert_eq!(status(&cluster.a, &media).await, StatusCode::NOT_FOUND);
    cluster.until_gone(&cluster.b, &media).await;
}

#[tokio::test]
async fn a_purge_on_one_holds_on_the_other_although_it_remembers() {
    let cluster = Cluster::new().await;
    let media = cluster.upload().await;
    assert_eq!(status(&cluster.b, &media).await, StatusCode::OK);
    administer(&cluster.a, &format!("purge/{media}")).await;
    assert_eq!(status(&cluster.a, &media).await, StatusCode::NOT_FOUND);
    cluster.until_gone(&cluster.b, &media).await;
}

#[tokio::test]
async fn an_upload_to_a_reserved_name_wakes_who_waits_on_the_other() {
    let cluster = Cluster::new().await;
    let created = cluster.a.client.call(Method::POST, "/_matrix/media/v1/create").token(ALICE).send().await;
    let media = name(&created.json()["content_uri"]);
    let target = format!("/_matrix/client/v1/media/download/{media}?timeout_ms=60000");
    let waiting = cluster.b.client.get(&target, BOB);
    let filling = async {
        let target = format!("/_matrix/media/v3/upload/{media}");
        cluster.a.client.call(Method::PUT, &target).token(ALICE).body("bytes").send().await
    };
    let (got, filled) = tokio::join!(waiting, filling);
    assert_eq!((filled.status, got.status, &got.body[..]), (StatusCode::OK, StatusCode::OK, &b"bytes"[..]));
}

async fn stored(cluster: &Cluster, mxc: &Mxc) -> Arc<MediaRecord> {
    loop {
        if let Lookup::Stored(record) = cluster.store.lookup(mxc).await.expect("memory answers") {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_nodes_are_told_where_a_lost_object_was_put_again() {
    let cluster = Cluster::new().await;
    let body = bytes(1, 100_000);
    cluster.network.answer(remote_media(), OriginMedia::new(body.clone()));
    assert_eq!(cluster.a.client.get(REMOTE, ALICE).await.body, body);
    let lost = stored(&cluster, &remote_media()).await.blob.location.clone();
    assert_eq!(cluster.b.client.get(REMOTE, ALICE).await.body, body);
    cluster.a.datastore.delete(&lost.key).await.expect("it is there");

    let mut told = cluster.store.subscribe();
    assert_eq!(cluster.a.client.get(REMOTE, ALICE).await.body, body);
    assert_eq!(told.next().await, Some(Signal::MediaChanged(remote_media())));
    assert_ne!(stored(&cluster, &remote_media()).await.blob.location, lost);
    assert_eq!(cluster.b.client.get(REMOTE, ALICE).await.body, body);
    assert_eq!(cluster.network.fetches().len(), 2);
}
