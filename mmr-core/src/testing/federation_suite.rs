//! The promises of [`Federation`] as tests, and a [`FakeFederation`] that keeps them without a network.
//!
//! ```
//! mod my_federation {
//!     use mmr_core::testing::federation_suite::FakeFederation;
//!
//!     mmr_core::testing::federation_suite!(FakeFederation::new());
//! }
//! # fn main() {}
//! ```

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};
use http::request::Parts;
use ruma::OwnedServerName;

use super::fixtures::{Gate, bytes};
use crate::{
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    stream::StreamError,
    types::{ContentType, FileName, Mxc},
};

mod fake;

pub use self::fake::{Answer, FakeFederation, OriginMedia, Trouble};

/// Makes one test of every promise. The expression gives a [`FederationUnderTest`]; it is evaluated in an async block,
/// once per test.
#[macro_export]
macro_rules! federation_suite {
    ($make:expr) => {
        $crate::__contract!(
            $crate::testing::federation_suite,
            $make,
            [
                media_arrives_whole_and_labelled,
                media_of_undeclared_length_arrives_whole,
                empty_media_arrives,
                a_body_starts_before_it_ends,
                a_body_as_long_as_allowed_passes,
                a_declared_length_above_the_limit_is_refused,
                an_undeclared_body_above_the_limit_fails,
                a_body_shorter_than_declared_fails,
                a_body_never_exceeds_what_was_declared,
                a_sender_that_breaks_off_fails_the_body,
                a_sender_that_falls_silent_fails_the_body,
                media_that_does_not_exist_is_not_found,
                media_that_is_not_uploaded_yet_is_told_apart,
                a_refusal_is_told_apart,
                an_unreachable_origin_may_be_tried_again,
                a_silent_origin_is_given_up,
                nonsense_is_an_error,
                fetches_do_not_disturb_each_other,
                an_abandoned_body_harms_nobody,
                an_unsigned_request_is_refused,
                a_signed_request_names_its_server,
                a_signature_over_another_request_is_refused,
            ]
        );
    };
}

/// A federation, and an origin that does as it is told.
#[async_trait]
pub trait FederationUnderTest: Send + Sync {
    /// The federation.
    fn federation(&self) -> &dyn Federation;

    /// A server name that it may sign as.
    fn sign_as(&self) -> OwnedServerName;

    /// Has some origin give `answer` to whoever asks for the media that this returns.
    async fn serve(&self, answer: Answer) -> Mxc;

    /// A request that the named server has signed. `None` skips the tests that need one.
    async fn signed_request(&self) -> Option<(Parts, OwnedServerName)>;

    /// Whether silence within a body is given up after a few seconds. If not, the test of it is skipped.
    fn gives_up_silence_soon(&self) -> bool {
        true
    }
}

/// Larger than what sockets and libraries buffer on the way.
const LARGE: usize = 9 << 20;

async fn fetch(
    under_test: &dyn FederationUnderTest,
    mxc: Mxc,
    max_bytes: u64,
) -> Result<RemoteMedia, FederationError> {
    let timeout = Duration::from_secs(5);
    let request = FetchRequest { mxc, sign_as: under_test.sign_as(), max_bytes, timeout };
    under_test.federation().fetch(request).await
}

async fn fetch_answer(
    under_test: &dyn FederationUnderTest,
    answer: impl Into<Answer> + Send,
    max_bytes: u64,
) -> Result<RemoteMedia, FederationError> {
    let mxc = under_test.serve(answer.into()).await;
    fetch(under_test, mxc, max_bytes).await
}

/// What came, and how it ended.
async fn drain(media: RemoteMedia) -> (Vec<u8>, Option<StreamError>) {
    let (mut body, mut got) = (media.body, vec![]);
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

async fn assert_arrives(media: RemoteMedia, expected: &Bytes) {
    let (got, error) = drain(media).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(got.len(), expected.len());
    assert!(got == *expected, "the bytes differ");
}

/// Bytes, length, type and name.
pub async fn media_arrives_whole_and_labelled(under_test: &dyn FederationUnderTest) {
    for size in [1, 1000, LARGE] {
        let body = bytes(1, size);
        let answer = OriginMedia::new(body.clone()).typed("image/png").named("a cat.png");
        let media = fetch_answer(under_test, answer, u64::MAX).await.expect("the origin has it");
        assert_eq!(media.content_type, ContentType::new("image/png"));
        assert_eq!(media.file_name, FileName::new("a cat.png"));
        assert_eq!(media.len, Some(size as u64));
        assert_arrives(media, &body).await;
    }
}

/// Many servers stream with chunked encoding.
pub async fn media_of_undeclared_length_arrives_whole(under_test: &dyn FederationUnderTest) {
    for size in [0, 1000, LARGE] {
        let body = bytes(1, size);
        let answer = OriginMedia::new(body.clone()).undeclared();
        let media = fetch_answer(under_test, answer, u64::MAX).await.expect("the origin has it");
        assert!(media.len.is_none_or(|len| len == size as u64));
        assert_arrives(media, &body).await;
    }
}

/// No bytes are media too.
pub async fn empty_media_arrives(under_test: &dyn FederationUnderTest) {
    let media = fetch_answer(under_test, OriginMedia::new(Bytes::new()), 0).await.expect("it is there");
    assert_arrives(media, &Bytes::new()).await;
}

/// The first chunk is here while the origin still holds back the rest.
pub async fn a_body_starts_before_it_ends(under_test: &dyn FederationUnderTest) {
    let (body, gate) = (bytes(1, LARGE), Gate::new());
    let answer = OriginMedia::new(body.clone()).trouble(LARGE / 2, Trouble::Wait(gate.clone()));
    let mut media = fetch_answer(under_test, answer, u64::MAX).await.expect("the body has begun");
    let first = media.body.next().await.expect("some bytes come").expect("they are whole");
    gate.open();
    let (rest, error) = drain(media).await;
    assert!(error.is_none(), "{error:?}");
    assert!([&first[..], &rest].concat() == body, "the bytes differ");
}

/// The limit itself is allowed, declared or not.
pub async fn a_body_as_long_as_allowed_passes(under_test: &dyn FederationUnderTest) {
    let body = bytes(1, 300_000);
    for answer in [OriginMedia::new(body.clone()), OriginMedia::new(body.clone()).undeclared()] {
        let media = fetch_answer(under_test, answer, 300_000).await.expect("it is small enough");
        assert_arrives(media, &body).await;
    }
}

/// Best before anything is transferred.
pub async fn a_declared_length_above_the_limit_is_refused(under_test: &dyn FederationUnderTest) {
    match fetch_answer(under_test, OriginMedia::new(bytes(1, 300_000)), 299_999).await {
        Err(error) => assert!(matches!(error, FederationError::TooLarge { limit: 299_999 }), "{error:?}"),
        Ok(media) => assert_ends_at(media, 299_999).await,
    }
}

/// As soon as it is too long, and with not a byte too many.
pub async fn an_undeclared_body_above_the_limit_fails(under_test: &dyn FederationUnderTest) {
    for (size, limit) in [(300_000, 299_999), (LARGE, 1000)] {
        let answer = OriginMedia::new(bytes(1, size)).undeclared();
        match fetch_answer(under_test, answer, limit).await {
            Err(error) => assert!(matches!(error, FederationError::TooLarge { .. }), "{error:?}"),
            Ok(media) => assert_ends_at(media, limit).await,
        }
    }
}

async fn assert_ends_at(media: RemoteMedia, limit: u64) {
    let (got, error) = drain(media).await;
    assert!(matches!(error, Some(StreamError::TooLarge { limit: told }) if told == limit), "{error:?}");
    assert!(got.len() as u64 <= limit);
}

/// Whatever the origin's connection does about it.
pub async fn a_body_shorter_than_declared_fails(under_test: &dyn FederationUnderTest) {
    let body = bytes(1, 300_000);
    for declared in [300_001, 10_000_000] {
        let answer = OriginMedia::new(body.clone()).declaring(declared);
        let Ok(media) = fetch_answer(under_test, answer, u64::MAX).await else { continue };
        let (got, error) = drain(media).await;
        assert!(error.is_some(), "{} of {declared} bytes came and looked whole", got.len());
        assert!(body.starts_with(&got));
    }
}

/// Surplus bytes are dropped or an error.
pub async fn a_body_never_exceeds_what_was_declared(under_test: &dyn FederationUnderTest) {
    let body = bytes(1, 300_000);
    let answer = OriginMedia::new(body.clone()).declaring(299_990);
    let Ok(media) = fetch_answer(under_test, answer, u64::MAX).await else { return };
    let (got, _) = drain(media).await;
    assert!(got.len() <= 299_990, "{} bytes came", got.len());
    assert!(body.starts_with(&got));
}

/// A closed connection is not an end, least of all when no length was declared.
pub async fn a_sender_that_breaks_off_fails_the_body(under_test: &dyn FederationUnderTest) {
    for after in [0, 1000, LARGE - 1] {
        let media = OriginMedia::new(bytes(1, LARGE)).trouble(after, Trouble::Break);
        for answer in [media.clone(), media.undeclared()] {
            let Ok(media) = fetch_answer(under_test, answer, u64::MAX).await else { continue };
            let (got, error) = drain(media).await;
            let error = error.expect("a body that broke off looked whole");
            assert!(error.is_senders_fault(), "{error:?}");
            assert!(got.len() <= after);
        }
    }
}

/// Nobody waits for ever.
pub async fn a_sender_that_falls_silent_fails_the_body(under_test: &dyn FederationUnderTest) {
    if !under_test.gives_up_silence_soon() {
        return;
    }
    let answer = OriginMedia::new(bytes(1, LARGE)).trouble(1000, Trouble::Stall);
    let Ok(media) = fetch_answer(under_test, answer, u64::MAX).await else { return };
    let (_, error) = drain(media).await;
    assert!(error.expect("a silent body looked whole").is_senders_fault());
}

/// The origin's 404.
pub async fn media_that_does_not_exist_is_not_found(under_test: &dyn FederationUnderTest) {
    let error = fetch_answer(under_test, Answer::NotFound, 1000).await.expect_err("there is none");
    assert!(matches!(error, FederationError::NotFound), "{error:?}");
}

/// The origin's 504 with `M_NOT_YET_UPLOADED`.
pub async fn media_that_is_not_uploaded_yet_is_told_apart(under_test: &dyn FederationUnderTest) {
    let error = fetch_answer(under_test, Answer::NotYetUploaded, 1000).await.expect_err("there is none yet");
    assert!(matches!(error, FederationError::NotYetUploaded), "{error:?}");
}

/// The origin's 403.
pub async fn a_refusal_is_told_apart(under_test: &dyn FederationUnderTest) {
    let error = fetch_answer(under_test, Answer::Denied, 1000).await.expect_err("it is denied");
    assert!(matches!(error, FederationError::Denied(_)), "{error:?}");
}

/// Nothing listens there.
pub async fn an_unreachable_origin_may_be_tried_again(under_test: &dyn FederationUnderTest) {
    let error = fetch_answer(under_test, Answer::Unreachable, 1000).await.expect_err("nothing is there");
    assert!(matches!(error, FederationError::Unreachable(_)) && error.is_transient(), "{error:?}");
}

/// An origin that accepts a connection and says nothing holds a fetch no longer than the request allows.
pub async fn a_silent_origin_is_given_up(under_test: &dyn FederationUnderTest) {
    let mxc = under_test.serve(Answer::Silent).await;
    let timeout = Duration::from_millis(200);
    let request = FetchRequest { mxc, sign_as: under_test.sign_as(), max_bytes: 1000, timeout };
    let error = under_test.federation().fetch(request).await.expect_err("it says nothing");
    assert!(matches!(error, FederationError::Unreachable(_)), "{error:?}");
}

/// An answer outside the protocol is no media.
pub async fn nonsense_is_an_error(under_test: &dyn FederationUnderTest) {
    let error = fetch_answer(under_test, Answer::Nonsense, 1000).await.expect_err("it is nonsense");
    assert!(matches!(error, FederationError::Protocol(_) | FederationError::Unreachable(_)), "{error:?}");
}

/// Each gets its own bytes.
pub async fn fetches_do_not_disturb_each_other(under_test: &dyn FederationUnderTest) {
    let fetches = (1..=16_u64).map(|seed| async move {
        let body = bytes(seed, 100_000);
        let answer = OriginMedia::new(body.clone());
        let media = fetch_answer(under_test, answer, u64::MAX).await.expect("the origin has it");
        assert_arrives(media, &body).await;
    });
    join_all(fetches).await;
}

/// Neither the next fetch of the same media nor one of other media.
pub async fn an_abandoned_body_harms_nobody(under_test: &dyn FederationUnderTest) {
    let body = bytes(1, LARGE);
    let mxc = under_test.serve(OriginMedia::new(body.clone()).into()).await;
    for _ in 0..20 {
        let mut media = fetch(under_test, mxc.clone(), u64::MAX).await.expect("the origin has it");
        media.body.next().await.expect("some bytes come").expect("they are whole");
    }
    assert_arrives(fetch(under_test, mxc, u64::MAX).await.expect("the origin has it"), &body).await;
}

/// Without a signature, with an empty one, and with one that is none.
pub async fn an_unsigned_request_is_refused(under_test: &dyn FederationUnderTest) {
    for header in [None, Some(""), Some("X-Matrix"), Some("X-Matrix origin=,key=,sig="), Some("Bearer abc")] {
        let mut request = http::Request::get("/_matrix/federation/v1/media/download/abc");
        if let Some(header) = header {
            request = request.header(http::header::AUTHORIZATION, header);
        }
        let (parts, ()) = request.body(()).expect("a valid request").into_parts();
        assert_refused(under_test, &parts, header.unwrap_or("no header")).await;
    }
}

async fn assert_refused(under_test: &dyn FederationUnderTest, request: &Parts, what: &str) {
    let result = under_test.federation().authenticate(request).await;
    assert!(matches!(result, Err(FederationError::BadSignature(_))), "{what}: {result:?}");
}

/// The server that signed.
pub async fn a_signed_request_names_its_server(under_test: &dyn FederationUnderTest) {
    let Some((request, server)) = under_test.signed_request().await else { return };
    let named = under_test.federation().authenticate(&request).await.expect("it is signed");
    assert_eq!(named, server);
}

/// A signature covers method and target.
pub async fn a_signature_over_another_request_is_refused(under_test: &dyn FederationUnderTest) {
    let Some((request, _)) = under_test.signed_request().await else { return };
    let mut other = request.clone();
    other.method = http::Method::DELETE;
    assert_refused(under_test, &other, "another method").await;
    let mut other = request;
    other.uri = format!("{}x", other.uri).parse().expect("a valid target");
    assert_refused(under_test, &other, "another target").await;
}
