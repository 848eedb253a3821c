//! What clients and operators do, from end to end.

use std::time::Duration;

use bytes::Bytes;
use mmr_core::{
    Error, MediaRepository, Result,
    download::{DownloadRequest, Found},
    store::{MediaFilter, MediaIndex as _, Quarantine, Signal},
    stream::ByteStream,
    testing::{federation_suite::OriginMedia, images},
    types::{
        Caller, ContentType, FileName, Method, Mxc, RangeRequest, ThumbnailRequest, ThumbnailSpec, Timestamp,
        Variant,
    },
    upload::UploadRequest,
};
use ruma::{OwnedServerName, OwnedUserId, owned_server_name, owned_user_id};

use crate::world::World;

/// The size that all thumbnail journeys ask for, which is a configured one.
pub(crate) const SPEC: ThumbnailSpec =
    ThumbnailSpec { width: 96, height: 96, method: Method::Scale, variant: Variant::Still };

#[derive(Clone, Copy, Debug)]
pub(crate) enum Journey {
    Upload,
    UploadKnownBytes,
    UploadAgain,
    UploadTwiceAtOnce,
    LargeUpload,
    ReserveAndFill,
    Download,
    DownloadWhilePending,
    Thumbnail,
    ThumbnailAgain,
    ThumbnailOfSmallPicture,
    RemoveAndCollect,
    Quarantine,
    Fetch,
    FetchKnownBytes,
    FetchByTwoNodes,
}

pub(crate) fn server() -> OwnedServerName {
    owned_server_name!("example.org")
}

fn alice() -> OwnedUserId {
    owned_user_id!("@alice:example.org")
}

fn bob() -> OwnedUserId {
    owned_user_id!("@bob:example.org")
}

fn old_bytes() -> Bytes {
    Bytes::from_static(b"bytes that are here from the start")
}

/// What is there before each journey: an old file of Alice's, and two pictures.
pub(crate) async fn prepare(world: &World) {
    let repository = world.healthy();
    for (name, body) in
        [("old", old_bytes()), ("large", images::png(200, 150)), ("small", images::png(20, 20))]
    {
        upload(&repository, alice(), name, body).await.expect("nothing fails yet");
    }
    repository.shutdown(Duration::from_secs(10)).await;
}

pub(crate) async fn run(journey: Journey, repository: &MediaRepository, world: &World) -> Result<()> {
    match journey {
        Journey::Upload => {
            acknowledged(repository, world, alice(), "new", Bytes::from_static(b"new bytes")).await
        }
        Journey::UploadKnownBytes => acknowledged(repository, world, bob(), "known", old_bytes()).await,
        Journey::UploadAgain => acknowledged(repository, world, alice(), "old", old_bytes()).await,
        Journey::LargeUpload => {
            let body: Vec<u8> = (0..=250).cycle().take(1_300_000).collect();
            acknowledged(repository, world, alice(), "big", body.into()).await
        }
        Journey::UploadTwiceAtOnce => {
            let body = || Bytes::from_static(b"the same bytes from two people");
            let (one, other) = tokio::join!(
                acknowledged(repository, world, alice(), "one", body()),
                acknowledged(repository, world, bob(), "other", body()),
            );
            one.and(other)
        }
        Journey::ReserveAndFill => reserve_and_fill(repository, world).await,
        Journey::Download => {
            let mxc = existing(world, "old").await;
            assert_eq!(read(repository, &mxc, "bytes=6-9").await?, "that");
            assert_eq!(read(repository, &mxc, "").await?, old_bytes());
            Ok(())
        }
        Journey::DownloadWhilePending => download_while_pending(repository).await,
        Journey::Thumbnail => thumbnail(repository, &existing(world, "large").await).await,
        Journey::ThumbnailAgain => {
            let mxc = existing(world, "large").await;
            thumbnail(&world.healthy(), &mxc).await?;
            thumbnail(repository, &mxc).await
        }
        Journey::ThumbnailOfSmallPicture => thumbnail(repository, &existing(world, "small").await).await,
        Journey::RemoveAndCollect => remove_and_collect(repository, world).await,
        Journey::Quarantine => quarantine(repository, world).await,
        Journey::Fetch => fetch(repository, world, remote_bytes()).await,
        Journey::FetchKnownBytes => fetch(repository, world, old_bytes()).await,
        Journey::FetchByTwoNodes => {
            let other = world.healthy();
            let (one, another) =
                tokio::join!(fetch(repository, world, remote_bytes()), fetch(&other, world, remote_bytes()),);
            other.shutdown(Duration::from_secs(10)).await;
            another.expect("one node's failure is not the other's");
            one
        }
    }
}

/// Longer than what readers do not get before all of it is here.
fn remote_bytes() -> Bytes {
    (0..=250).cycle().take(300_000).collect::<Vec<u8>>().into()
}

/// I3 and more: whoever reads a file while it arrives gets all of it or an error, and then it is stored.
async fn fetch(repository: &MediaRepository, world: &World, body: Bytes) -> Result<()> {
    let mxc = Mxc::from_parts("origin.example", "cat").expect("a valid name");
    world.network.answer(mxc.clone(), OriginMedia::new(body.clone()));
    if let Found::Arriving(arrival) = repository.downloads().find(&download(&mxc)).await? {
        let got = arrival.whole().collect_up_to(u64::MAX).await?;
        assert!(got == body, "a fetch ended early without an error");
    }
    let again = read(repository, &mxc, "").await?;
    assert!(again == body, "{} of {} bytes were stored", again.len(), body.len());
    assert!(read(&world.healthy(), &mxc, "").await.expect("what was stored is readable") == body);
    Ok(())
}

async fn upload(repository: &MediaRepository, by: OwnedUserId, name: &str, body: Bytes) -> Result<Mxc> {
    repository.uploads().upload(request(by, name, &body), chunked(&body)).await
}

/// An upload whose bytes a healthy repository serves afterwards, if it was acknowledged.
async fn acknowledged(
    repository: &MediaRepository,
    world: &World,
    by: OwnedUserId,
    name: &str,
    body: Bytes,
) -> Result<()> {
    let mxc = upload(repository, by, name, body.clone()).await?;
    assert_eq!(read(&world.healthy(), &mxc, "").await.expect("an acknowledged upload is readable"), body);
    Ok(())
}

async fn reserve_and_fill(repository: &MediaRepository, world: &World) -> Result<()> {
    let reservation = repository.uploads().reserve(&bob(), &server()).await?;
    let body = Bytes::from_static(b"bytes that come later");
    let filled =
        repository.uploads().fill(&reservation.mxc, request(bob(), "later", &body), chunked(&body)).await;
    let again =
        repository.uploads().fill(&reservation.mxc, request(bob(), "later", &body), chunked(&body)).await;
    match (filled, again) {
        (Ok(()), again) => assert!(!matches!(again, Ok(())), "a name was filled twice"),
        // The answer was lost, or nothing happened: the second attempt tells.
        (Err(_), Ok(()) | Err(Error::AlreadyUploaded)) => {}
        (Err(error), Err(_)) => return Err(error),
    }
    let healthy = world.healthy();
    assert_eq!(read(&healthy, &reservation.mxc, "").await.expect("a filled name is readable"), body);
    Ok(())
}

async fn download_while_pending(repository: &MediaRepository) -> Result<()> {
    let reservation = repository.uploads().reserve(&bob(), &server()).await?;
    let body = Bytes::from_static(b"awaited bytes");
    let fill = repository.uploads().fill(&reservation.mxc, request(bob(), "awaited", &body), chunked(&body));
    let (got, filled) = tokio::join!(read(repository, &reservation.mxc, ""), fill);
    filled?;
    assert_eq!(got?, body);
    Ok(())
}

async fn thumbnail(repository: &MediaRepository, mxc: &Mxc) -> Result<()> {
    let wanted =
        ThumbnailRequest { width: 96, height: 96, method: Method::Scale, animated: Some(false), webp: false };
    let thumbnail = repository.thumbnails().open(&download(mxc), &wanted).await?;
    let expected = thumbnail.record.blob.size;
    let bytes = thumbnail.body.collect_up_to(1 << 20).await?;
    assert!(bytes.starts_with(b"\x89PNG"));
    assert_eq!(bytes.len() as u64, expected, "a thumbnail ended early without an error");
    Ok(())
}

async fn remove_and_collect(repository: &MediaRepository, world: &World) -> Result<()> {
    let mxc = upload(&world.healthy(), bob(), "doomed", Bytes::from_static(b"to be removed")).await?;
    let filter = MediaFilter { mxcs: Some(vec![mxc.clone()]), ..MediaFilter::default() };
    repository.store().remove(&filter, 10, now(world)).await?;
    world.clock.advance(Duration::from_hours(1));
    repository.collector().collect().await?;
    repository.collector().sweep().await?;
    assert!(matches!(read(&world.healthy(), &mxc, "").await, Err(Error::NotFound)));
    Ok(())
}

/// I3: once the moderator's call has succeeded, nobody gets the bytes to their end, from a cache or otherwise.
async fn quarantine(repository: &MediaRepository, world: &World) -> Result<()> {
    let mxc = upload(&world.healthy(), bob(), "bad", Bytes::from_static(b"bad bytes")).await;
    // Repeated after a quarantine, the upload itself is refused.
    let Ok(mxc) = mxc else { return Ok(()) };
    read(repository, &mxc, "").await?;
    let filter = MediaFilter { mxcs: Some(vec![mxc.clone()]), ..MediaFilter::default() };
    let by = owned_user_id!("@moderator:example.org");
    let verdict = Quarantine::Impose { by, at: now(world), only_origins: None };
    repository.store().set_quarantine(&filter, &verdict).await?;
    repository.store().publish(&Signal::MediaChanged(mxc.clone())).await?;
    // The signal is heard by a task of the repository.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let got = read(repository, &mxc, "").await;
    assert!(got.is_err(), "quarantined bytes were served");
    let again = upload(repository, bob(), "bad", Bytes::from_static(b"bad bytes")).await;
    assert!(again.is_err(), "quarantined bytes were taken again");
    Ok(())
}

async fn read(repository: &MediaRepository, mxc: &Mxc, range: &str) -> Result<Bytes> {
    let download = repository.downloads().open(&download(mxc), RangeRequest::parse(range)).await?;
    let expected = download.range.selected();
    let body = download.body.collect_up_to(u64::MAX).await?;
    assert_eq!(body.len() as u64, expected, "a download ended early without an error");
    Ok(body)
}

fn download(mxc: &Mxc) -> DownloadRequest {
    let caller = Caller::User { id: alice(), guest: false };
    DownloadRequest { mxc: mxc.clone(), caller, server: server(), wait: Duration::from_secs(1), remote: true }
}

fn request(by: OwnedUserId, name: &str, body: &Bytes) -> UploadRequest {
    UploadRequest {
        by,
        server: server(),
        content_type: ContentType::new("application/octet-stream"),
        file_name: FileName::new(name),
        declared_len: Some(body.len() as u64),
    }
}

fn chunked(body: &Bytes) -> ByteStream {
    let chunks: Vec<_> =
        (0..body.len()).step_by(100_000).map(|at| Ok(body.slice(at..body.len().min(at + 100_000)))).collect();
    ByteStream::new(futures_util::stream::iter(chunks))
}

/// The name under which `prepare` uploaded a file.
async fn existing(world: &World, name: &str) -> Mxc {
    let page = mmr_core::store::Page { limit: 1000, ..mmr_core::store::Page::default() };
    let all = world.store.list(&MediaFilter::default(), &page).await.expect("the memory store lists");
    let found = all.into_iter().find(|record| record.file_name == FileName::new(name));
    found.expect("it was uploaded before").mxc
}

fn now(world: &World) -> Timestamp {
    mmr_core::clock::Clock::now(&world.clock)
}
