//! The federation contract, held by the fake that other tests rely on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use async_trait::async_trait;
use http::request::Parts;
use mmr_core::{
    federation::{Federation, FetchRequest, NoFederation},
    testing::federation_suite::{self as suite, Answer, FakeFederation, FederationUnderTest},
    types::{MediaId, Mxc},
};
use ruma::OwnedServerName;

mod fake {
    use super::*;
    mmr_core::testing::federation_suite!(FakeFederation::new());
}

/// No federation at all keeps the promises that concern it.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl FederationUnderTest for Nobody {
    fn federation(&self) -> &dyn Federation {
        &NoFederation
    }

    fn sign_as(&self) -> OwnedServerName {
        "here.example".try_into().unwrap()
    }

    async fn serve(&self, _: Answer) -> Mxc {
        Mxc::new("origin.example".try_into().unwrap(), MediaId::generate())
    }

    async fn signed_request(&self) -> Option<(Parts, OwnedServerName)> {
        None
    }
}

#[tokio::test]
async fn without_federation_remote_media_is_not_found() {
    suite::media_that_does_not_exist_is_not_found(&Nobody).await;
}

#[tokio::test]
async fn without_federation_no_request_is_signed() {
    suite::an_unsigned_request_is_refused(&Nobody).await;
}

#[tokio::test]
async fn the_fake_remembers_what_was_asked() {
    let fake = FakeFederation::new();
    let mxc = fake.serve(Answer::NotFound).await;
    let request = FetchRequest {
        mxc: mxc.clone(),
        sign_as: fake.sign_as(),
        max_bytes: 1,
        timeout: Duration::from_secs(1),
    };
    for _ in 0..2 {
        fake.fetch(request.clone()).await.unwrap_err();
    }
    let asked: Vec<_> = fake.fetches().into_iter().map(|request| request.mxc).collect();
    assert_eq!(asked, [mxc.clone(), mxc]);
}
