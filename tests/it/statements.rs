//! How often the store is asked for one request.

use std::sync::Arc;

use http::{Method, StatusCode};
use mmr_core::{
    backend::memory::MemoryStore,
    testing::{
        fault::{FaultPlan, FaultyStore},
        federation_suite::{FakeFederation, OriginMedia},
        fixtures::bytes,
        images,
    },
    types::Mxc,
};
use mmr_test_support::{ALICE, BOB, TestServer, TestServerBuilder};

struct Counted {
    server: TestServer,
    plan: FaultPlan,
    network: Arc<FakeFederation>,
}

impl Counted {
    async fn start() -> Self {
        let (plan, network) = (FaultPlan::counting(), Arc::new(FakeFederation::new()));
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan.clone()));
        let federation = Arc::<FakeFederation>::clone(&network);
        let server = TestServerBuilder { store: Some(store), federation, ..TestServerBuilder::default() }
            .start()
            .await;
        Self { server, plan, network }
    }

    /// What the store was asked during a request, leaving out the work that goes on by itself.
    async fn asked(&self, method: Method, target: &str, body: &'static [u8]) -> Vec<&'static str> {
        let before = self.plan.log().len();
        let reply = self.server.client.call(method, target).token(ALICE).body(body).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{target}");
        let by_itself = |call: &&str| {
            ["TaskIndex::claim", "Signals::subscribe", "MediaIndex::touch", "UploadIndex::expire"]
                .contains(call)
                || call.starts_with("LeaseIndex")
                || *call == "BlobIndex::garbage"
        };
        self.plan.log().split_off(before).into_iter().filter(|call| !by_itself(call)).collect()
    }

    async fn upload(&self, body: &'static [u8]) -> String {
        let call = self.server.client.call(Method::POST, "/_matrix/media/v3/upload").token(BOB);
        let json = call.body(body).send().await.json();
        json["content_uri"].as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("a name").to_owned()
    }
}

fn download(name: &str) -> String {
    format!("/_matrix/client/v1/media/download/{name}")
}

#[tokio::test]
async fn a_cold_download_asks_once_and_a_hot_one_never() {
    let counted = Counted::start().await;
    let name = counted.upload(b"bytes").await;
    assert_eq!(counted.asked(Method::GET, &download(&name), b"").await, ["MediaIndex::lookup"]);
    assert_eq!(counted.asked(Method::GET, &download(&name), b"").await, [""; 0]);
}

#[tokio::test]
async fn an_upload_asks_twice() {
    let counted = Counted::start().await;
    let asked = counted.asked(Method::POST, "/_matrix/media/v3/upload", b"bytes").await;
    assert_eq!(asked, ["MediaIndex::upload_facts", "MediaIndex::insert"]);
}

#[tokio::test]
async fn a_fetch_from_another_server_asks_twice_beside_the_lookup() {
    let counted = Counted::start().await;
    let mxc = Mxc::from_parts("origin.example", "cat").expect("a valid name");
    counted.network.answer(mxc, OriginMedia::new(bytes(1, 1000)));
    let target = download("origin.example/cat");
    let asked = counted.asked(Method::GET, &target, b"").await;
    assert_eq!(asked, ["MediaIndex::lookup", "MediaIndex::upload_facts", "MediaIndex::insert"]);
    assert_eq!(counted.asked(Method::GET, &target, b"").await, [""; 0]);
}

#[tokio::test]
async fn a_thumbnail_asks_for_picture_and_thumbnail_once_and_then_never() {
    let counted = Counted::start().await;
    let picture = images::png(200, 100);
    let name = counted.upload(Box::leak(picture.to_vec().into_boxed_slice())).await;
    let target = format!("/_matrix/client/v1/media/thumbnail/{name}?width=32&height=32");
    let asked = counted.asked(Method::GET, &target, b"").await;
    // The second look is for a larger thumbnail to make this one from.
    let looks = ["MediaIndex::lookup", "ThumbnailIndex::thumbnail", "ThumbnailIndex::thumbnail"];
    assert_eq!(asked, [&looks[..], &["ThumbnailIndex::insert_thumbnail"]].concat());
    counted.asked(Method::GET, &target, b"").await;
    assert_eq!(counted.asked(Method::GET, &target, b"").await, [""; 0]);
}
