//! A federation of one's own: a network of servers within this process, with its own way to find and to sign. The
//! repository serves what comes from it while it arrives, and keeps it; the contract suite says that it may be relied on.
//!
//! ```text
//! cargo run -p mmr-examples --example custom_federation     # downloads from a server that is still sending
//! cargo test -p mmr-examples --example custom_federation    # runs the contract suite on it
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD as BASE64};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header::AUTHORIZATION, request::Parts};
use mmr_core::{
    MediaRepository,
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    datastore::Datastores,
    download::{DownloadRequest, Found},
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    policy::{Policies, ServerPolicy},
    stream::ByteStream,
    testing::fixtures,
    types::{Caller, ContentType, DatastoreId, FileName, MediaId, Mxc, RangeRequest},
};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ruma::{OwnedServerName, ServerName, owned_user_id};
use tokio::sync::{mpsc, oneshot};

/// How long a sender may be silent within a body.
const SILENCE: Duration = Duration::from_secs(2);

/// The resolver: which servers there are, with their public keys.
#[derive(Debug, Default)]
struct Directory(Mutex<HashMap<OwnedServerName, Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    public_key: Vec<u8>,
    letters: mpsc::Sender<Letter>,
}

/// A request to another server, and where the answer goes: media, or a status.
type Letter = (Parts, oneshot::Sender<Result<RemoteMedia, StatusCode>>);

impl Directory {
    fn find(&self, name: &ServerName) -> Option<Entry> {
        self.0.lock().expect("no panics while it is locked").get(name).cloned()
    }
}

/// One server of the network.
#[derive(Debug)]
struct Member {
    directory: Arc<Directory>,
    name: OwnedServerName,
    key: Ed25519KeyPair,
}

impl Member {
    /// A server that others can find, and the letters that they will write to it.
    fn join(directory: &Arc<Directory>, name: &str, seed: [u8; 32]) -> (Self, mpsc::Receiver<Letter>) {
        let name: OwnedServerName = name.try_into().expect("a valid name");
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        let (letters, inbox) = mpsc::channel(16);
        let entry = Entry { public_key: key.public_key().as_ref().to_vec(), letters };
        directory.0.lock().expect("no panics while it is locked").insert(name.clone(), entry);
        (Self { directory: Arc::clone(directory), name, key }, inbox)
    }

    /// A request to `destination`, signed.
    fn request(&self, destination: &ServerName, target: &str) -> Parts {
        let signature = self.key.sign(signed_text(&self.name, destination, &Method::GET, target).as_bytes());
        let header = format!("Member {} {}", self.name, BASE64.encode(signature));
        let request = Request::get(target).header(AUTHORIZATION, header).body(());
        request.expect("names and base64 fit in a header").into_parts().0
    }
}

/// Everything that must not be changed on the way, nor be sent to somebody else.
fn signed_text(origin: &ServerName, destination: &ServerName, method: &Method, target: &str) -> String {
    format!("{origin} asks {destination}: {method} {target}")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Federation for Member {
    async fn fetch(&self, request: FetchRequest) -> Result<RemoteMedia, FederationError> {
        let FetchRequest { mxc, sign_as, max_bytes: limit, timeout } = request;
        if sign_as != self.name {
            return Err(FederationError::Denied(format!("there is no key of {sign_as} here")));
        }
        let origin = self.directory.find(mxc.origin()).ok_or_else(|| unreachable("nobody has this name"))?;
        let (answer, answered) = oneshot::channel();
        let letter = (self.request(mxc.origin(), &format!("/media/{}", mxc.media_id())), answer);
        let exchange = async {
            origin.letters.send(letter).await.ok()?;
            answered.await.ok()
        };
        let exchanged = tokio::time::timeout(timeout, exchange).await;
        let answer = exchanged.map_err(|_| unreachable("it says nothing"))?;
        let mut media = answer.ok_or_else(|| unreachable("it is gone"))?.map_err(|status| match status {
            StatusCode::NOT_FOUND => FederationError::NotFound,
            StatusCode::GATEWAY_TIMEOUT => FederationError::NotYetUploaded,
            StatusCode::FORBIDDEN => FederationError::Denied("the origin refuses".to_owned()),
            status => FederationError::Protocol(format!("the origin answered {status}")),
        })?;
        if media.len.is_some_and(|len| len > limit) {
            return Err(FederationError::TooLarge { limit });
        }
        // What the seam promises of a body: it ends with an error when it is silent, too long or too short.
        media.body = media.body.with_stall_timeout(SILENCE).limited(limit);
        if let Some(len) = media.len {
            media.body = media.body.of_length(len);
        }
        Ok(media)
    }

    async fn authenticate(&self, request: &Parts) -> Result<OwnedServerName, FederationError> {
        let bad = |why: &str| FederationError::BadSignature(why.to_owned());
        let header = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (name, signature) = header
            .and_then(|text| text.strip_prefix("Member ")?.split_once(' '))
            .ok_or_else(|| bad("there is none"))?;
        let name = OwnedServerName::try_from(name).map_err(|_| bad("it names no server"))?;
        let signature = BASE64.decode(signature).map_err(|_| bad("it is not base64"))?;
        let Entry { public_key, .. } =
            self.directory.find(&name).ok_or_else(|| bad("nobody has this name"))?;
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let text = signed_text(&name, &self.name, &request.method, target);
        match UnparsedPublicKey::new(&ED25519, public_key).verify(text.as_bytes(), &signature) {
            Ok(()) => Ok(name),
            Err(_) => Err(bad("it is not over this request")),
        }
    }
}

fn unreachable(why: &str) -> FederationError {
    FederationError::Unreachable(why.into())
}

/// Answers one letter, as a server of the network would: to those who sign, and only then.
async fn answer(origin: &Member, inbox: &mut mpsc::Receiver<Letter>, media: RemoteMedia) {
    let (request, answer) = inbox.recv().await.expect("somebody asks");
    match origin.authenticate(&request).await {
        Ok(name) => {
            println!("{} is asked for {} by {name}", origin.name, request.uri);
            answer.send(Ok(media)).expect("the asker waits");
        }
        Err(_) => answer.send(Err(StatusCode::FORBIDDEN)).expect("the asker waits"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Arc::<Directory>::default();
    let (here, _) = Member::join(&directory, "here.example", [1; 32]);
    let (origin, mut inbox) = Member::join(&directory, "origin.example", [2; 32]);
    let (server, mxc) = (here.name.clone(), Mxc::new(origin.name.clone(), MediaId::generate()));

    let repository = MediaRepository::builder(
        Arc::new(MemoryStore::new()),
        Datastores::single(DatastoreId::parse("main")?, Arc::new(ObjectStoreDatastore::in_memory())),
        Policies::single(server.clone(), ServerPolicy::default()),
    )
    .federation(Arc::new(here))
    .build();

    // A video of 8 MB, of which the origin has only begun to send the first half.
    let video = fixtures::bytes(1, 8_000_000);
    let (sender, coming) = mpsc::channel::<Bytes>(1);
    sender.send(video.slice(..4_000_000)).await?;
    let body =
        stream::unfold(coming, |mut coming| async { coming.recv().await.map(|chunk| (Ok(chunk), coming)) });
    let media = RemoteMedia {
        content_type: ContentType::new("video/mp4"),
        file_name: FileName::new("cat.mp4"),
        restriction: None,
        len: Some(8_000_000),
        body: ByteStream::new(body),
    };

    // It can be read as it arrives, but for the last 64 KiB so far: they might be the last of all.
    let caller = Caller::User { id: owned_user_id!("@alice:here.example"), guest: false };
    let request = DownloadRequest { mxc, caller, server, wait: Duration::ZERO, remote: true };
    let (found, ()) = tokio::join!(repository.downloads().find(&request), answer(&origin, &mut inbox, media));
    let Found::Arriving(arrival) = found? else { return Err("half a video is stored".into()) };
    let (mut arriving, mut got) = (arrival.whole(), Vec::new());
    while got.len() < 3_000_000 {
        got.extend_from_slice(&arriving.next().await.ok_or("the body ended")??);
    }
    println!("{} is read up to byte {} while the origin waits", request.mxc, got.len());

    // The other half comes, and all of it is stored before the last byte is given out.
    sender.send(video.slice(4_000_000..)).await?;
    drop(sender);
    while let Some(chunk) = arriving.next().await {
        got.extend_from_slice(&chunk?);
    }
    assert!(got == video, "the bytes differ");
    let Found::Stored(record) = repository.downloads().find(&request).await? else {
        return Err("a whole video is not stored".into());
    };
    println!("it is whole, and stored with its {} bytes", record.blob.size);

    // From now on the origin need not be there.
    drop(inbox);
    let download = repository.downloads().read(&record, RangeRequest::parse("bytes=-4")).await?;
    assert_eq!(download.body.collect_up_to(4).await?, video.slice(7_999_996..));

    // A server that asks us is known by its signature.
    let mut inbound = origin.request(&request.server, "/media/abc");
    println!("a request of {} comes in", repository.federation().authenticate(&inbound).await?);
    inbound.uri = "/media/xyz".parse()?;
    let refused = repository.federation().authenticate(&inbound).await.expect_err("another target is signed");
    println!("changed on the way, it is refused: {refused}");

    repository.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use mmr_core::testing::federation_suite::{Answer, FederationUnderTest};

    use super::*;

    struct UnderTest {
        directory: Arc<Directory>,
        here: Member,
        origins: AtomicU8,
    }

    impl UnderTest {
        fn new() -> Self {
            let directory = Arc::<Directory>::default();
            let (here, _) = Member::join(&directory, "here.example", [0; 32]);
            Self { directory, here, origins: AtomicU8::new(1) }
        }

        fn origin(&self) -> (Member, mpsc::Receiver<Letter>) {
            let number = self.origins.fetch_add(1, Ordering::Relaxed);
            Member::join(&self.directory, &format!("origin{number}.example"), [number; 32])
        }
    }

    #[async_trait]
    impl FederationUnderTest for UnderTest {
        fn federation(&self) -> &dyn Federation {
            &self.here
        }

        fn sign_as(&self) -> OwnedServerName {
            self.here.name.clone()
        }

        /// Each origin knows one answer.
        async fn serve(&self, answer: Answer) -> Mxc {
            let (origin, inbox) = self.origin();
            let mxc = Mxc::new(origin.name.clone(), MediaId::generate());
            if !matches!(answer, Answer::Unreachable) {
                drop(std::thread::spawn(move || keep_answering(&origin, inbox, &answer)));
            }
            mxc
        }

        async fn signed_request(&self) -> Option<(Parts, OwnedServerName)> {
            let (origin, _) = self.origin();
            Some((origin.request(&self.here.name, "/media/abc?x=1"), origin.name))
        }
    }

    /// Ends when nobody is left who could ask.
    fn keep_answering(origin: &Member, mut inbox: mpsc::Receiver<Letter>, answer: &Answer) {
        let mut unanswered = Vec::new();
        while let Some((request, to)) = inbox.blocking_recv() {
            let status = match answer {
                Answer::Media(media) => {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(origin.authenticate(&request)).expect("every fetch is signed");
                    let media = RemoteMedia {
                        content_type: media.content_type.clone(),
                        file_name: media.file_name.clone(),
                        restriction: None,
                        len: media.declared,
                        body: media.stream(),
                    };
                    to.send(Ok(media)).ok();
                    continue;
                }
                Answer::Silent => {
                    unanswered.push(to);
                    continue;
                }
                Answer::NotFound => StatusCode::NOT_FOUND,
                Answer::NotYetUploaded => StatusCode::GATEWAY_TIMEOUT,
                Answer::Denied => StatusCode::FORBIDDEN,
                _ => StatusCode::IM_A_TEAPOT,
            };
            to.send(Err(status)).ok();
        }
    }

    mmr_core::testing::federation_suite!(UnderTest::new());
}
