//! Every journey, with every call through the seams failing once: before it has an effect, and after it (the answer is
//! lost). Whatever fails, these hold:
//!
//! - I1: a row never points at a missing or different object;
//! - I2: an object without a row disappears after the sweep's grace;
//! - I3: quarantined bytes are never completed to a client;
//! - I4: a failed call can be repeated;
//! - I5: no file of an unfinished upload survives.
//!
//! And an acknowledged upload stays readable, byte for byte.

mod journeys;
mod world;

use mmr_core::testing::fault::{Fault, FaultPlan};

use self::{
    journeys::Journey,
    world::{Kind, World},
};

/// Runs `journey` once per call that it makes and per fault.
async fn run(kind: Kind, journey: Journey) {
    let world = World::new(kind).await;
    let plan = FaultPlan::counting();
    world.run(journey, &plan).await.expect("the journey succeeds without faults");
    let calls = plan.calls();
    assert!(calls > 0, "{journey:?} makes no call");
    for k in 1..=calls {
        for fault in [Fault::Before, Fault::After, Fault::Truncate] {
            let world = World::new(kind).await;
            let outcome = world.run(journey, &FaultPlan::fail(k, fault)).await;
            let case = format!("{journey:?}, call {k} of {calls}, {fault:?}: {outcome:?}");
            world.check_rows(&case).await;
            world
                .run(journey, &FaultPlan::counting())
                .await
                .unwrap_or_else(|error| panic!("repeated: {error:?} in {case}"));
            world.check_rows(&case).await;
            world.check_objects(&case).await;
        }
    }
}

macro_rules! journeys {
    ($($name:ident: $journey:ident;)+) => { $(
        #[tokio::test]
        async fn $name() {
            run(Kind::Memory, Journey::$journey).await;
        }
    )+ };
}

journeys! {
    an_upload_survives_any_failure: Upload;
    an_upload_of_known_bytes_survives_any_failure: UploadKnownBytes;
    the_same_upload_again_survives_any_failure: UploadAgain;
    filling_a_reserved_name_survives_any_failure: ReserveAndFill;
    two_uploads_of_the_same_bytes_at_once_survive_any_failure: UploadTwiceAtOnce;
    a_download_survives_any_failure: Download;
    a_download_that_waits_for_its_upload_survives_any_failure: DownloadWhilePending;
    a_new_thumbnail_survives_any_failure: Thumbnail;
    a_known_thumbnail_survives_any_failure: ThumbnailAgain;
    a_picture_as_its_own_thumbnail_survives_any_failure: ThumbnailOfSmallPicture;
    removing_and_collecting_survives_any_failure: RemoveAndCollect;
    a_quarantine_survives_any_failure: Quarantine;
    a_fetch_survives_any_failure: Fetch;
    a_fetch_of_known_bytes_survives_any_failure: FetchKnownBytes;
    the_same_fetch_by_two_nodes_survives_any_failure: FetchByTwoNodes;
}

#[tokio::test]
async fn an_upload_to_a_directory_leaves_no_file_behind_whatever_fails() {
    run(Kind::Directory, Journey::LargeUpload).await;
}

#[tokio::test]
async fn a_fetch_into_a_directory_leaves_no_file_behind_whatever_fails() {
    run(Kind::Directory, Journey::Fetch).await;
}
