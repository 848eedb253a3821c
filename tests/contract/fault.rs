//! Faults strike the call that they are meant for, and no other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, TryStreamExt as _};

use mmr_core::{
    backend::object_store::ObjectStoreDatastore,
    datastore::{Datastore, DatastoreError},
    federation::{Federation as _, FederationError, FetchRequest, NoFederation},
    stream::StreamError,
    testing::{
        fault::{Fault, FaultPlan, FaultyDatastore, FaultyFederation},
        fixtures::bytes,
    },
    types::BlobKey,
};

/// A journey of seven calls: create, write, commit, read, the one chunk, the end of the body, delete.
async fn journey(store: &dyn Datastore, key: &BlobKey) -> Result<Bytes, DatastoreError> {
    let mut writer = store.create(key).await?;
    writer.write(bytes(1, 1000)).await?;
    writer.commit().await?;
    let read = store.read(key, None).await?;
    let chunks: Vec<Bytes> =
        read.body.try_collect().await.map_err(|error| DatastoreError::Other(error.into()))?;
    store.delete(key).await?;
    Ok(chunks.concat().into())
}

fn faulty(plan: &FaultPlan) -> (Arc<ObjectStoreDatastore>, FaultyDatastore) {
    let inner = Arc::new(ObjectStoreDatastore::in_memory());
    let datastore: Arc<dyn Datastore> = Arc::<ObjectStoreDatastore>::clone(&inner);
    (inner, FaultyDatastore::new(datastore, plan.clone()))
}

#[tokio::test]
async fn counting_lets_everything_through() {
    let plan = FaultPlan::counting();
    let got = journey(&faulty(&plan).1, &BlobKey::generate()).await.unwrap();
    assert!(got == bytes(1, 1000));
    assert_eq!(
        plan.log(),
        [
            "Datastore::create",
            "BlobWriter::write",
            "BlobWriter::commit",
            "Datastore::read",
            "BlobRead::body",
            "BlobRead::body",
            "Datastore::delete"
        ]
    );
    assert_eq!((plan.calls(), plan.struck()), (7, None));
}

#[tokio::test]
async fn every_call_can_be_made_to_fail_and_only_that_one() {
    for k in 1..=7 {
        for fault in [Fault::Before, Fault::After] {
            let plan = FaultPlan::fail(k, fault);
            let (_, store) = faulty(&plan);
            assert!(journey(&store, &BlobKey::generate()).await.is_err(), "call {k}");
            assert_eq!(plan.struck(), plan.log().last().copied());
            journey(&store, &BlobKey::generate()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_outage_lasts() {
    let (_, store) = faulty(&FaultPlan::fail_from(3, Fault::Before));
    for _ in 0..3 {
        journey(&store, &BlobKey::generate()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_lost_answer_has_had_its_effect_and_a_failed_call_none() {
    for (fault, is_there) in [(Fault::Before, false), (Fault::After, true)] {
        let (inner, store) = faulty(&FaultPlan::fail(3, fault));
        let key = BlobKey::generate();
        journey(&store, &key).await.unwrap_err();
        assert_eq!(inner.read(&key, None).await.is_ok(), is_there, "{fault:?}");
    }
}

#[tokio::test]
async fn errors_say_whether_another_try_may_help() {
    for permanent in [false, true] {
        let plan = FaultPlan::fail(1, Fault::Before);
        let plan = if permanent { plan.permanent() } else { plan };
        let error = journey(&faulty(&plan).1, &BlobKey::generate()).await.unwrap_err();
        assert_eq!(error.is_transient(), !permanent);
    }
}

#[tokio::test]
async fn a_truncated_body_ends_without_an_error() {
    let (_, store) = faulty(&FaultPlan::fail(5, Fault::Truncate));
    assert_eq!(journey(&store, &BlobKey::generate()).await.unwrap(), "");
}

#[tokio::test]
async fn a_delayed_call_waits_for_its_release() {
    for k in 1..=7 {
        let plan = FaultPlan::fail(k, Fault::Delay);
        let (_, store) = faulty(&plan);
        let key = BlobKey::generate();
        let mut journey = Box::pin(journey(&store, &key));
        tokio::select! {
            biased;
            _ = &mut journey => panic!("call {k} was not delayed"),
            () = plan.delayed() => {}
        }
        assert!((&mut journey).now_or_never().is_none());
        plan.release();
        assert!(journey.await.unwrap() == bytes(1, 1000));
    }
}

#[tokio::test]
async fn a_failing_datastore_fails_its_readers_as_storage_does() {
    let (_, store) = faulty(&FaultPlan::fail(5, Fault::Before));
    let key = BlobKey::generate();
    let error = journey(&store, &key).await.unwrap_err();
    let DatastoreError::Other(source) = error else { panic!("{error:?}") };
    assert!(!source.downcast_ref::<StreamError>().unwrap().is_senders_fault());
}

#[tokio::test]
async fn federation_fails_too() {
    let federation = FaultyFederation::new(Arc::new(NoFederation), FaultPlan::fail(1, Fault::Before));
    let request = FetchRequest {
        mxc: "mxc://example.org/abc".parse().unwrap(),
        sign_as: "example.com".try_into().unwrap(),
        max_bytes: 1,
        timeout: Duration::from_secs(1),
    };
    let error = federation.fetch(request.clone()).await.unwrap_err();
    assert!(matches!(error, FederationError::Unreachable(_)));
    let error = federation.fetch(request).await.unwrap_err();
    assert!(matches!(error, FederationError::NotFound));
}
