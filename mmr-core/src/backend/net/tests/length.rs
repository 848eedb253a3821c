//! The length of media, before all of it has come.

use std::sync::{Arc, Mutex};

use super::{
    origin::{Reply, stream_body},
    peer::{BOUNDARY, Peer, before, behind, mixed_text, with_type},
};
use crate::stream::StreamError;

/// An origin whose answers a test can change.
struct Changing {
    peer: Peer,
    text: Arc<Mutex<String>>,
}

impl Changing {
    async fn new(media: &str, trailer: &str) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let served = Arc::clone(&text);
        let peer = Peer::new(move |_| {
            let text = served.lock().unwrap().clone();
            // Boundaries say how long they are meant to be.
            let long = text.contains("LONG");
            let Reply::Answer(mut response) = mixed_text(text) else { unreachable!() };
            if long {
                let content_type = format!("multipart/mixed; boundary={BOUNDARY}LONG");
                response.headers_mut().insert("content-type", content_type.parse().unwrap());
            }
            Reply::Answer(response)
        });
        let changing = Self { peer: peer.await, text };
        changing.serve(media, trailer);
        changing
    }

    fn serve(&self, media: &str, trailer: &str) {
        *self.text.lock().unwrap() = [before("").as_str(), media, trailer].concat();
    }

    /// The same with a boundary of another length.
    fn serve_long(&self, media: &str, trailer: &str) {
        self.serve(media, trailer);
        let mut text = self.text.lock().unwrap();
        *text = text.replace(BOUNDARY, &format!("{BOUNDARY}LONG"));
    }

    /// The length that was told before the media came, and how it came.
    async fn fetch(&self) -> (Option<u64>, Result<String, StreamError>) {
        let media = self.peer.fetch().await.unwrap();
        let bytes = media.body.collect_up_to(u64::MAX).await;
        (media.len, bytes.map(|bytes| String::from_utf8(bytes.into()).unwrap()))
    }

    async fn assert_comes(&self, len: Option<u64>, media: &str) {
        let (told, got) = self.fetch().await;
        assert_eq!((told, &*got.unwrap()), (len, media));
    }

    async fn assert_fails(&self) {
        assert!(matches!(self.fetch().await.1, Err(StreamError::Length { .. })));
    }
}

fn unclosed() -> String {
    format!("\r\n--{BOUNDARY}")
}

#[tokio::test]
async fn the_first_media_of_an_origin_is_of_unknown_length() {
    Changing::new("media", &behind()).await.assert_comes(None, "media").await;
}

#[tokio::test]
async fn the_length_of_further_media_is_known() {
    for trailer in [behind(), unclosed(), String::new()] {
        let origin = Changing::new("media", &trailer).await;
        origin.assert_comes(None, "media").await;
        origin.serve("other media", &trailer);
        origin.assert_comes(Some(11), "other media").await;
    }
}

#[tokio::test]
async fn media_of_an_origin_that_changes_its_trailer_fails_once() {
    for (old, new) in [(behind(), unclosed()), (unclosed(), behind()), (String::new(), behind())] {
        let origin = Changing::new("media", &old).await;
        origin.assert_comes(None, "media").await;
        origin.serve("media", &new);
        origin.assert_fails().await;
        assert_eq!(origin.fetch().await.1.unwrap(), "media");
        origin.assert_comes(Some(5), "media").await;
    }
}

#[tokio::test]
async fn boundaries_of_another_length_are_another_trailer() {
    let origin = Changing::new("media", &behind()).await;
    origin.assert_comes(None, "media").await;
    origin.serve_long("media", &unclosed());
    origin.assert_comes(None, "media").await;
    origin.assert_comes(Some(5), "media").await;
    origin.serve("media", &behind());
    origin.assert_comes(Some(5), "media").await;
}

#[tokio::test]
async fn empty_media_teaches_nothing() {
    // Some leave out the line break here.
    let origin = Changing::new("", behind().trim_start()).await;
    origin.assert_comes(None, "").await;
    origin.serve("media", &behind());
    origin.assert_comes(None, "media").await;
}

#[tokio::test]
async fn a_long_epilogue_teaches_nothing() {
    let origin = Changing::new("media", &format!("{}{}", behind(), "x".repeat(300))).await;
    for _ in 0..2 {
        origin.assert_comes(None, "media").await;
    }
}

#[tokio::test]
async fn media_that_was_given_up_teaches_nothing() {
    let origin = Changing::new("media", &behind()).await;
    drop(origin.peer.fetch().await.unwrap());
    origin.assert_comes(None, "media").await;
}

#[tokio::test]
async fn an_answer_of_undeclared_length_has_media_of_unknown_length() {
    let peer = Peer::new(|_| {
        let text = [before("").as_str(), "media", &behind()].concat();
        Reply::Stream(with_type(stream_body(futures_util::stream::iter([Ok(text.into())]))))
    })
    .await;
    for _ in 0..2 {
        let media = peer.fetch().await.unwrap();
        assert_eq!(media.len, None);
        assert_eq!(media.body.collect_up_to(5).await.unwrap(), "media");
    }
}
