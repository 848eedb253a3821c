//! The rest of the Matrix network, made up.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, header::AUTHORIZATION, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::FederationUnderTest;
use crate::{
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    stream::ByteStream,
    testing::fixtures::{self, Gate},
    types::{ContentType, FileName, MediaId, Mxc, Restriction},
};

/// What an origin answers when it is asked for media.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The media, with whatever goes wrong on the way.
    Media(OriginMedia),
    /// It does not exist (404, `M_NOT_FOUND`).
    NotFound,
    /// It is reserved, but its bytes have not come (504, `M_NOT_YET_UPLOADED`).
    NotYetUploaded,
    /// Not for you (403).
    Denied,
    /// No connection.
    Unreachable,
    /// A connection, but not a byte.
    Silent,
    /// Something that the protocol does not know.
    Nonsense,
}

/// Media as an origin sends it.
#[derive(Clone, Debug)]
pub struct OriginMedia {
    /// The bytes that it has.
    pub body: Bytes,
    /// The length that it declares.
    pub declared: Option<u64>,
    /// The type that it states.
    pub content_type: ContentType,
    /// The name that it states.
    pub file_name: Option<FileName>,
    /// Who may see it, as it states.
    pub restriction: Option<Restriction>,
    /// What goes wrong, and behind how many bytes.
    pub trouble: Option<(usize, Trouble)>,
}

/// What goes wrong while an origin sends.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It sends nothing more, and keeps the connection.
    Stall,
    /// It closes the connection.
    Break,
    /// It waits at the gate, and then sends the rest.
    Wait(Gate),
}

impl OriginMedia {
    /// A body of declared length, of no particular type, sent without trouble.
    #[must_use]
    pub fn new(body: Bytes) -> Self {
        Self {
            declared: Some(body.len() as u64),
            body,
            content_type: ContentType::new("application/octet-stream"),
            file_name: None,
            restriction: None,
            trouble: None,
        }
    }

    /// States another type.
    #[must_use]
    pub fn typed(mut self, content_type: &str) -> Self {
        self.content_type = ContentType::new(content_type);
        self
    }

    /// States a file name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.file_name = FileName::new(name);
        self
    }

    /// Declares no length.
    #[must_use]
    pub fn undeclared(mut self) -> Self {
        self.declared = None;
        self
    }

    /// Declares a length, true or not.
    #[must_use]
    pub fn declaring(mut self, len: u64) -> Self {
        self.declared = Some(len);
        self
    }

    /// Runs into `trouble` behind the first `after` bytes.
    #[must_use]
    pub fn trouble(mut self, after: usize, trouble: Trouble) -> Self {
        self.trouble = Some((after, trouble));
        self
    }

    /// The bytes as they are sent, trouble included.
    #[must_use]
    pub fn stream(&self) -> ByteStream {
        match &self.trouble {
            None => fixtures::odd_chunks(self.body.clone()),
            Some((after, Trouble::Stall)) => fixtures::stalls_after(&self.body, *after),
            Some((after, Trouble::Break)) => fixtures::breaks_after(&self.body, *after),
            Some((after, Trouble::Wait(gate))) => fixtures::waits_after(&self.body, *after, gate.clone()),
        }
    }
}

impl From<OriginMedia> for Answer {
    fn from(media: OriginMedia) -> Self {
        Self::Media(media)
    }
}

/// A [`Federation`] without a network. What it was not told of is not found.
///
/// It keeps all promises of the seam, so it ends bodies that are too long, short or silent with errors, as a real one
/// does.
#[derive(Debug)]
pub struct FakeFederation {
    answers: Mutex<HashMap<Mxc, Answer>>,
    fetches: Mutex<Vec<FetchRequest>>,
    stall_timeout: Duration,
}

impl FakeFederation {
    /// A network that has nothing yet, and gives up on silence after 100 ms.
    #[must_use]
    pub fn new() -> Self {
        Self {
            answers: Mutex::default(),
            fetches: Mutex::default(),
            stall_timeout: Duration::from_millis(100),
        }
    }

    /// Gives up on silence after `timeout`.
    #[must_use]
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Has the origin of `mxc` give this answer from now on.
    pub fn answer(&self, mxc: Mxc, answer: impl Into<Answer>) {
        lock(&self.answers).insert(mxc, answer.into());
    }

    /// Everything that was asked for, in order.
    #[must_use]
    pub fn fetches(&self) -> Vec<FetchRequest> {
        lock(&self.fetches).clone()
    }

    /// An `Authorization` header that this network takes for a signature by `origin` over a request of this method and
    /// target (path and query). It is no real signature.
    #[must_use]
    pub fn signature(origin: &ServerName, method: &Method, target: &str) -> HeaderValue {
        let hash = crate::types::Hasher::digest(format!("{origin} {method} {target}").as_bytes()).hash;
        let text = format!("X-Matrix origin=\"{origin}\",key=\"ed25519:fake\",sig=\"{hash}\"");
        HeaderValue::from_str(&text).expect("server names are ASCII")
    }
}

impl Default for FakeFederation {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Federation for FakeFederation {
    async fn fetch(&self, request: FetchRequest) -> Result<RemoteMedia, FederationError> {
        let answer = lock(&self.answers).get(&request.mxc).cloned();
        let (limit, timeout) = (request.max_bytes, request.timeout);
        lock(&self.fetches).push(request);
        let media = match answer.unwrap_or(Answer::NotFound) {
            Answer::Media(media) => media,
            Answer::NotFound => return Err(FederationError::NotFound),
            Answer::NotYetUploaded => return Err(FederationError::NotYetUploaded),
            Answer::Denied => return Err(FederationError::Denied("the origin refuses".to_owned())),
            Answer::Unreachable => return Err(unreachable(io::ErrorKind::ConnectionRefused)),
            Answer::Silent => {
                tokio::time::sleep(timeout).await;
                return Err(unreachable(io::ErrorKind::TimedOut));
            }
            Answer::Nonsense => return Err(FederationError::Protocol("nonsense".to_owned())),
        };
        if media.declared.is_some_and(|declared| declared > limit) {
            return Err(FederationError::TooLarge { limit });
        }
        let body = media.stream().with_stall_timeout(self.stall_timeout).limited(limit);
        let body = match media.declared {
            Some(declared) => body.of_length(declared),
            None => body,
        };
        let OriginMedia { content_type, file_name, restriction, declared, .. } = media;
        Ok(RemoteMedia { content_type, file_name, restriction, len: declared, body })
    }

    async fn authenticate(&self, request: &Parts) -> Result<OwnedServerName, FederationError> {
        let bad = |why: &str| FederationError::BadSignature(why.to_owned());
        let header = request.headers.get(AUTHORIZATION).ok_or_else(|| bad("there is none"))?;
        let text = header.to_str().map_err(|_| bad("not ASCII"))?;
        let origin = text.split('"').nth(1).ok_or_else(|| bad("no origin"))?;
        let origin = ServerName::parse(origin).map_err(|_| bad("no server name"))?;
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        if *header != Self::signature(&origin, &request.method, target) {
            return Err(bad("not over this request"));
        }
        Ok(origin)
    }
}

#[async_trait]
impl FederationUnderTest for FakeFederation {
    fn federation(&self) -> &dyn Federation {
        self
    }

    fn sign_as(&self) -> OwnedServerName {
        name("here.example")
    }

    async fn serve(&self, answer: Answer) -> Mxc {
        let mxc = Mxc::new(name("origin.example"), MediaId::generate());
        self.answer(mxc.clone(), answer);
        mxc
    }

    async fn signed_request(&self) -> Option<(Parts, OwnedServerName)> {
        let (origin, target) =
            (name("origin.example"), "/_matrix/federation/v1/media/download/abc?timeout_ms=1");
        let signature = Self::signature(&origin, &Method::GET, target);
        let request = http::Request::get(target).header(AUTHORIZATION, signature).body(());
        Some((request.expect("a valid request").into_parts().0, origin))
    }
}

fn name(text: &str) -> OwnedServerName {
    text.try_into().expect("a valid name")
}

fn unreachable(kind: io::ErrorKind) -> FederationError {
    FederationError::Unreachable(Box::new(io::Error::from(kind)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panics while it is locked")
}
