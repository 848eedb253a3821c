//! Media of other servers, fetched by a network that is made up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mmr_core::{
    download::FetchLimits,
    policy::ServerPolicy,
    store::{MediaFilter, Order, Page, Quarantine},
    testing::{
        ManualClock,
        federation_suite::{Answer, FakeFederation, OriginMedia, Trouble},
        fixtures::{Gate, bytes},
        images,
    },
    types::{Lookup, MediaRecord, Mxc, Timestamp},
};
use mmr_test_support::{ALICE, BOB, Reply, TestServer, TestServerBuilder};

const SIZE: usize = 3_000_000;

struct Lab {
    server: TestServer,
    network: Arc<FakeFederation>,
    clock: Arc<ManualClock>,
}

impl Lab {
    async fn new() -> Self {
        Self::with_policy(ServerPolicy::default()).await
    }

    async fn with_policy(policy: ServerPolicy) -> Self {
        let network = Arc::new(FakeFederation::new().with_stall_timeout(Duration::from_mins(1)));
        let clock = Arc::new(ManualClock::default());
        let server = TestServerBuilder {
            policy,
            clock: Arc::<ManualClock>::clone(&clock),
            federation: Arc::<FakeFederation>::clone(&network),
            ..TestServerBuilder::default()
        }
        .start()
        .await;
        Self { server, network, clock }
    }

    fn answer(&self, answer: impl Into<Answer>) {
        self.network.answer(mxc(), answer);
    }

    async fn get(&self) -> Reply {
        self.server.client.get(TARGET, ALICE).await
    }

    fn fetches(&self) -> usize {
        self.network.fetches().len()
    }

    async fn record(&self) -> Option<Arc<MediaRecord>> {
        match self.server.store.lookup(&mxc()).await.expect("the store answers") {
            Lookup::Stored(record) => Some(record),
            _ => None,
        }
    }

    async fn until_stored(&self) -> Arc<MediaRecord> {
        loop {
            if let Some(record) = self.record().await {
                return record;
            }
            tokio::task::yield_now().await;
        }
    }
}

const TARGET: &str = "/_matrix/client/v1/media/download/origin.example/cat";

fn mxc() -> Mxc {
    Mxc::from_parts("origin.example", "cat").expect("a valid name")
}

/// What comes until the end, and whether the end was one.
async fn drain(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut got = vec![];
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (got, false),
        }
    }
    (got, true)
}

/// Reads until at least one byte is there.
async fn first_bytes(body: &mut Incoming) -> Bytes {
    loop {
        let frame = body.frame().await.expect("more is to come").expect("and it does");
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return data,
            _ => {}
        }
    }
}

#[tokio::test]
async fn media_of_another_server_is_fetched_once_and_kept_as_it_was_labelled() {
    let lab = Lab::new().await;
    let body = bytes(1, SIZE);
    lab.answer(OriginMedia::new(body.clone()).typed("video/webm").named("a cat.webm"));
    let first = lab.get().await;
    assert!(first.status == StatusCode::OK && first.body == body);
    lab.until_stored().await;
    let second = lab.get().await;
    assert!(second.body == body);
    for reply in [&first, &second] {
        assert_eq!(reply.header("Content-Type"), "video/webm");
        assert_eq!(reply.header("Content-Disposition"), "inline; filename=\"a cat.webm\"");
        assert_eq!(reply.header("Content-Length"), SIZE.to_string());
    }
    assert!(!second.header("ETag").is_empty());
    assert_eq!(lab.fetches(), 1);
}

#[tokio::test]
async fn a_crowd_causes_one_fetch_and_everybody_gets_the_same_bytes() {
    let lab = Lab::new().await;
    let body = bytes(1, SIZE);
    lab.answer(OriginMedia::new(body.clone()));
    let replies = join_all((0..256).map(|_| lab.get())).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK && reply.body == body));
    assert_eq!(lab.fetches(), 1);
}

#[tokio::test]
async fn whoever_wants_very_many_files_of_one_server_has_to_wait_and_nobody_else_does() {
    let network = Arc::new(FakeFederation::new());
    let server = TestServerBuilder {
        federation: Arc::<FakeFederation>::clone(&network),
        fetches: FetchLimits { bodies: 2, queue: 16 },
        ..TestServerBuilder::default()
    }
    .start()
    .await;
    let (body, gate) = (bytes(1, SIZE), Gate::new());
    let media = OriginMedia::new(body.clone());
    let name =
        |origin: &str, number: u32| Mxc::from_parts(origin, &number.to_string()).expect("a valid name");
    let target = |mxc: &Mxc| format!("/_matrix/client/v1/media/download/{}/{}", mxc.origin(), mxc.media_id());
    for number in 0..5 {
        network.answer(
            name("busy.example", number),
            media.clone().trouble(SIZE / 2, Trouble::Wait(gate.clone())),
        );
    }
    network.answer(name("other.example", 0), media);
    let get = async |mxc: Mxc| server.client.get(&target(&mxc), ALICE).await;

    let whole_place = join_all((0..4).map(|number| get(name("busy.example", number))));
    let meanwhile = async {
        gate.reached().await;
        while network.fetches().len() < 4 {
            tokio::task::yield_now().await;
        }
        let refused = get(name("busy.example", 4)).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.json()["errcode"], "M_LIMIT_EXCEEDED");
        assert_eq!(refused.header("Retry-After"), "5");
        assert_eq!(get(name("other.example", 0)).await.body, body);
        gate.open();
    };
    let (replies, ()) = tokio::join!(whole_place, meanwhile);
    assert!(replies.iter().all(|reply| reply.body == body));
    assert_eq!(get(name("busy.example", 4)).await.body, body);
}

#[tokio::test]
async fn a_file_can_be_read_while_it_arrives_and_latecomers_start_at_its_beginning() {
    let body = bytes(1, SIZE);
    for media in [OriginMedia::new(body.clone()), OriginMedia::new(body.clone()).undeclared()] {
        let (lab, gate) = (Lab::new().await, Gate::new());
        lab.answer(media.trouble(SIZE / 2, Trouble::Wait(gate.clone())));
        let mut early = lab.server.client.call(Method::GET, TARGET).token(ALICE).open().await.into_body();
        let start = first_bytes(&mut early).await;
        let mut late = lab.server.client.call(Method::GET, TARGET).token(BOB).open().await.into_body();
        assert_eq!(first_bytes(&mut late).await[..100], body[..100]);
        assert!(lab.record().await.is_none());
        gate.open();
        let (rest, whole) = drain(early).await;
        assert!(whole && [&start[..], &rest].concat() == body);
        assert!(drain(late).await.1);
        assert_eq!(lab.fetches(), 1);
    }
}

#[tokio::test]
async fn a_range_of_what_has_arrived_does_not_wait_for_the_rest() {
    let lab = Lab::new().await;
    let (body, gate) = (bytes(1, SIZE), Gate::new());
    lab.answer(OriginMedia::new(body.clone()).trouble(SIZE / 2, Trouble::Wait(gate.clone())));
    let call = lab.server.client.call(Method::GET, TARGET).token(ALICE);
    let reply = call.header("Range", "bytes=1000-1999").send().await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::PARTIAL_CONTENT, &body[1000..2000]));
    assert_eq!(reply.header("Content-Range"), format!("bytes 1000-1999/{SIZE}"));
    assert!(lab.record().await.is_none());
    gate.open();
}

#[tokio::test]
async fn a_range_of_a_body_of_unknown_length_waits_for_its_end() {
    let lab = Lab::new().await;
    let body = bytes(1, SIZE);
    lab.answer(OriginMedia::new(body.clone()).undeclared());
    let call = lab.server.client.call(Method::GET, TARGET).token(ALICE);
    let reply = call.header("Range", "bytes=-10").send().await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::PARTIAL_CONTENT, &body[SIZE - 10..]));
}

#[tokio::test]
async fn a_player_that_asks_for_everything_does_not_wait_for_the_length() {
    let (lab, gate) = (Lab::new().await, Gate::new());
    let body = bytes(1, SIZE);
    lab.answer(OriginMedia::new(body.clone()).undeclared().trouble(SIZE / 2, Trouble::Wait(gate.clone())));
    let call = lab.server.client.call(Method::GET, TARGET).token(ALICE);
    let response = call.header("Range", "bytes=0-").open().await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut arriving = response.into_body();
    let start = first_bytes(&mut arriving).await;
    gate.open();
    let (rest, whole) = drain(arriving).await;
    assert!(whole && [&start[..], &rest].concat() == body);
}

#[tokio::test]
async fn a_fetch_that_fails_breaks_every_readers_connection() {
    for media in [OriginMedia::new(bytes(1, SIZE)), OriginMedia::new(bytes(1, SIZE)).undeclared()] {
        let lab = Lab::new().await;
        lab.answer(media.trouble(SIZE - 1, Trouble::Break));
        let readers = (0..8).map(|_| async {
            let response = lab.server.client.call(Method::GET, TARGET).token(ALICE).open().await;
            match response.status() {
                StatusCode::OK => drain(response.into_body()).await.1,
                status => status.is_success(),
            }
        });
        assert_eq!(join_all(readers).await, [false; 8]);
        assert!(lab.record().await.is_none());
    }
}

#[tokio::test]
async fn a_small_file_that_breaks_off_is_an_error_and_no_broken_answer() {
    let lab = Lab::new().await;
    lab.answer(OriginMedia::new(bytes(1, 50_000)).trouble(49_999, Trouble::Break));
    assert_eq!(lab.get().await.error(), (502, "M_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn with_verify_first_nobody_gets_a_byte_of_what_turns_out_broken() {
    let mut policy = ServerPolicy::default();
    policy.downloads.verify_first = true;
    let lab = Lab::with_policy(policy).await;
    lab.answer(OriginMedia::new(bytes(1, SIZE)).trouble(SIZE - 1, Trouble::Break));
    assert_eq!(lab.get().await.error(), (502, "M_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_fetch() {
    let lab = Lab::new().await;
    let (body, gate) = (bytes(1, SIZE), Gate::new());
    lab.answer(OriginMedia::new(body.clone()).trouble(SIZE / 2, Trouble::Wait(gate.clone())));
    let response = lab.server.client.call(Method::GET, TARGET).token(ALICE).open().await;
    drop(response);
    gate.open();
    lab.until_stored().await;
    assert!(lab.get().await.body == body);
    assert_eq!(lab.fetches(), 1);
}

#[tokio::test]
async fn bytes_that_are_here_already_are_not_stored_twice() {
    let lab = Lab::new().await;
    let body = bytes(1, SIZE);
    lab.server.client.upload(ALICE, "video/webm", body.clone()).await;
    lab.answer(OriginMedia::new(body.clone()));
    assert!(lab.get().await.body == body);
    lab.until_stored().await;
    assert_eq!(lab.server.datastore.list(None).count().await, 1);
}

#[tokio::test]
async fn an_object_that_is_lost_is_fetched_again() {
    let lab = Lab::new().await;
    let body = bytes(1, SIZE);
    lab.answer(OriginMedia::new(body.clone()));
    lab.get().await;
    let record = lab.until_stored().await;
    lab.server.datastore.delete(&record.blob.location.key).await.unwrap();
    let reply = lab.get().await;
    assert!(reply.status == StatusCode::OK && reply.body == body);
    assert_eq!(lab.fetches(), 2);
    assert!(lab.get().await.body == body);
    assert_eq!(lab.fetches(), 2);
}

#[tokio::test]
async fn bytes_that_are_quarantined_here_do_not_come_in_by_another_name() {
    let lab = Lab::new().await;
    let body = bytes(1, 50_000);
    let uri = lab.server.client.upload(ALICE, "image/png", body.clone()).await;
    let (origin, id) = uri.split_once('/').unwrap();
    let filter =
        MediaFilter { mxcs: Some(vec![Mxc::from_parts(origin, id).unwrap()]), ..MediaFilter::default() };
    quarantine(&lab, filter).await;
    lab.answer(OriginMedia::new(body));
    assert_eq!(lab.get().await.error(), (404, "M_NOT_FOUND".to_owned()));
    assert!(lab.record().await.is_none());
}

async fn quarantine(lab: &Lab, filter: MediaFilter) {
    let by = ruma::owned_user_id!("@mod:example.org");
    let verdict = Quarantine::Impose { by, at: Timestamp::EPOCH, only_origins: None };
    lab.server.store.set_quarantine(&filter, &verdict).await.expect("the store answers");
}

#[tokio::test]
async fn each_failure_of_an_origin_has_an_answer() {
    for (answer, expected) in [
        (Answer::NotFound, (404, "M_NOT_FOUND")),
        (Answer::NotYetUploaded, (504, "M_NOT_YET_UPLOADED")),
        (Answer::Denied, (502, "M_UNKNOWN")),
        (Answer::Unreachable, (502, "M_UNKNOWN")),
        (Answer::Nonsense, (502, "M_UNKNOWN")),
        (OriginMedia::new(bytes(1, 10)).declaring(1 << 40).into(), (502, "M_TOO_LARGE")),
    ] {
        let lab = Lab::new().await;
        let text = format!("{answer:?}");
        lab.answer(answer);
        assert_eq!(lab.get().await.error(), (expected.0, expected.1.to_owned()), "{text:.40}");
    }
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while() {
    let lab = Lab::new().await;
    lab.answer(Answer::NotFound);
    for _ in 0..3 {
        assert_eq!(lab.get().await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(lab.fetches(), 1);
    lab.clock.advance(Duration::from_mins(5));
    lab.get().await;
    assert_eq!(lab.fetches(), 2);
}

#[tokio::test]
async fn pending_media_is_asked_for_each_time() {
    let lab = Lab::new().await;
    lab.answer(Answer::NotYetUploaded);
    lab.get().await;
    lab.answer(OriginMedia::new(bytes(1, 10)));
    assert_eq!(lab.get().await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_fetched_for_who_does_not_want_or_may_not_have_it() {
    let lab = Lab::new().await;
    lab.answer(OriginMedia::new(bytes(1, 10)));
    for (target, token) in [
        (&*format!("{TARGET}?allow_remote=false"), ALICE),
        ("/_matrix/media/v3/download/origin.example/cat", ""),
        ("/_matrix/media/v3/download/origin.example/cat?allow_remote=true", ""),
    ] {
        let reply = lab.server.client.get(target, token).await;
        assert_eq!(reply.error(), (404, "M_NOT_FOUND".to_owned()), "{target}");
    }
    assert_eq!(lab.fetches(), 0);
}

#[tokio::test]
async fn media_of_an_ignored_server_is_not_found_even_when_it_is_here() {
    let network = Lab::new().await;
    network.answer(OriginMedia::new(bytes(1, 10)));
    assert_eq!(network.get().await.status, StatusCode::OK);
    let mut policy = ServerPolicy::default();
    policy.downloads.ignored_hosts.insert("origin.example".to_owned());
    let lab = Lab::with_policy(policy).await;
    lab.answer(OriginMedia::new(bytes(1, 10)));
    assert_eq!(lab.get().await.error(), (404, "M_NOT_FOUND".to_owned()));
    assert_eq!(lab.fetches(), 0);
}

#[tokio::test]
async fn media_that_its_origin_restricts_is_denied() {
    let lab = Lab::new().await;
    let mut media = OriginMedia::new(bytes(1, 10));
    media.restriction = Some(mmr_core::types::Restriction::new("{\"profile_user_id\":\"@a:b\"}"));
    lab.answer(media);
    assert_eq!(lab.get().await.error(), (502, "M_UNKNOWN".to_owned()));
    assert!(lab.record().await.is_none());
}

#[tokio::test]
async fn a_thumbnail_of_remote_media_is_made_here() {
    let lab = Lab::new().await;
    lab.answer(OriginMedia::new(images::png(640, 480)).typed("image/png"));
    let target = "/_matrix/client/v1/media/thumbnail/origin.example/cat?width=96&height=96&method=crop";
    let reply = lab.server.client.get(target, ALICE).await;
    assert_eq!((reply.status, reply.header("Content-Type")), (StatusCode::OK, "image/png"));
    assert!(lab.record().await.is_some());
}

#[tokio::test]
async fn head_tells_the_declared_length_of_what_is_arriving() {
    let lab = Lab::new().await;
    let gate = Gate::new();
    lab.answer(OriginMedia::new(bytes(1, SIZE)).trouble(SIZE / 2, Trouble::Wait(gate.clone())));
    let reply = lab.server.client.call(Method::HEAD, TARGET).token(ALICE).send().await;
    assert_eq!((reply.status, reply.header("Content-Length")), (StatusCode::OK, &*SIZE.to_string()));
    gate.open();
}

#[tokio::test]
async fn remote_media_is_recorded_without_an_uploader() {
    let lab = Lab::new().await;
    lab.answer(OriginMedia::new(bytes(1, 10)));
    lab.get().await;
    let page = Page { order: Order::default(), limit: 10, ..Page::default() };
    let all = lab.server.store.list(&MediaFilter::default(), &page).await.unwrap();
    assert_eq!(all.iter().map(|record| record.uploader.clone()).collect::<Vec<_>>(), [None]);
}
