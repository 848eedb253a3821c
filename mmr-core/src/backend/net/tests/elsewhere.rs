//! Media that lies somewhere else than at its origin, and what it is called.

use http::{
    Response,
    header::{AUTHORIZATION, LOCATION},
};

use super::{
    super::{EgressPolicy, NetOptions},
    origin::{Origin, Reply, stream_body},
    peer::{LIMIT, PATH, Peer, before, federation, key, kind, mixed, mixed_text, status},
    world::{SERVER, World},
};
use crate::{stream::StreamError, types::FileName};

/// An origin whose media lies at `location`, which may begin with `$` for itself, and that gives `file` there.
async fn peer(location: &'static str, file: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Peer {
    Peer::new(move |seen| {
        let location = location.replace('$', &format!("https://{}", seen.host));
        match &*seen.target {
            target if target.starts_with(PATH) => mixed(&format!("Location: {location}\r\n"), ""),
            target => file(target),
        }
    })
    .await
}

fn redirect(location: &str) -> Reply {
    let response = Response::builder().status(307).header(LOCATION, location).body("".into());
    Reply::Answer(response.unwrap())
}

/// `/hop/3` leads to `/hop/2`, and so on to the file.
fn hop(target: &str) -> Reply {
    match target.strip_prefix("/hop/").unwrap().parse::<u8>().unwrap() {
        0 => Reply::body("file"),
        left => redirect(&format!("/hop/{}", left - 1)),
    }
}

#[tokio::test]
async fn a_location_in_the_part_is_followed_without_credentials() {
    let peer = peer("$/file?a=%2F", |_| Reply::body("file")).await;
    let media = peer.fetch().await.unwrap();
    assert_eq!(media.len, Some(4));
    assert_eq!(media.body.collect_up_to(4).await.unwrap(), "file");
    let seen = &peer.origin.seen()[1];
    assert_eq!(seen.target, "/file?a=%2F");
    assert!(!seen.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_redirect_of_a_deprecated_endpoint_is_followed_without_credentials() {
    let peer = Peer::new(|seen| match &*seen.target {
        target if target.starts_with(PATH) => status(404, ""),
        "/file" => Reply::body("file"),
        _ => redirect(&format!("https://{}/file", seen.host)),
    })
    .await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "file");
    assert!(!peer.origin.seen()[2].headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn five_hops_are_followed() {
    let peer = peer("$/hop/4", hop).await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "file");
}

#[tokio::test]
async fn a_sixth_hop_is_not_followed() {
    let peer = peer("$/hop/5", hop).await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol");
    assert_eq!(peer.targets().last().unwrap(), "/hop/1");
}

#[tokio::test]
async fn a_loop_ends() {
    let peer = peer("$/loop", |_| redirect("/loop")).await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol");
    assert_eq!(peer.targets().len(), 6);
}

/// Whether somebody who may connect to 127.0.0.1 only refuses to go to 127.0.0.2. `answer` is what the origin gives, by
/// its own URL, the private one, and the target.
async fn is_private_refused(answer: fn(&str, &str, &str) -> Reply) -> bool {
    let world = World::new().await;
    let identity = world.ca.issue(&["127.0.0.2"]);
    let private = Origin::start_at("127.0.0.2:0", identity, &["h2"], |_| Reply::body("secret")).await;
    let url = format!("https://127.0.0.2:{}/", private.port());
    let origin = Origin::start(world.ca.issue(&[SERVER]), move |seen| {
        answer(&format!("https://{}", seen.host), &url, &seen.target)
    });
    let mut peer = Peer::of(world, origin.await);
    let egress = EgressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    peer.federation = federation(NetOptions { egress, ..peer.world.options() }, Some(key()));
    let error = peer.fetch().await.unwrap_err();
    kind(&error) == "denied" && private.connections() == 0
}

#[tokio::test]
async fn a_location_at_a_private_address_is_refused() {
    assert!(is_private_refused(|_, private, _| mixed(&format!("Location: {private}\r\n"), "")).await);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    let answer = |own: &str, private: &str, target: &str| match target {
        "/file" => redirect(private),
        _ => mixed(&format!("Location: {own}/file\r\n"), ""),
    };
    assert!(is_private_refused(answer).await);
}

#[tokio::test]
async fn a_location_in_the_part_must_be_absolute() {
    for location in ["/file", "file", "//server.test/file", "", "https://"] {
        let peer = peer(location, |_| Reply::body("file")).await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol", "{location:?}");
    }
}

#[tokio::test]
async fn only_http_is_followed() {
    for location in ["file:///etc/passwd", "data:,x", "ftp://server.test/"] {
        let peer = peer(location, |_| Reply::body("file")).await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "denied", "{location:?}");
    }
}

#[tokio::test]
async fn a_file_with_another_status_than_200_is_an_error() {
    for (code, expected) in [
        (204, "protocol"),
        (206, "protocol"),
        (304, "protocol"),
        (403, "protocol"),
        (404, "protocol"),
        (429, "unreachable"),
        (503, "unreachable"),
    ] {
        let peer = peer("$/file", move |_| status(code, "")).await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), expected, "{code}");
    }
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused() {
    let peer = peer("$/file", |_| Reply::body("x".repeat(1001))).await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "too large");
}

#[tokio::test]
async fn a_file_of_undeclared_length_ends_at_the_limit() {
    let peer = peer("$/file", |_| {
        let chunks = futures_util::stream::repeat_with(|| Ok("x".repeat(100).into()));
        Reply::Stream(Response::new(stream_body(chunks)))
    })
    .await;
    assert!(matches!(peer.fetch_bytes().await, Err(StreamError::TooLarge { limit: LIMIT })));
}

#[tokio::test]
async fn who_may_see_media_is_told_wherever_it_lies() {
    let peer = Peer::new(|seen| {
        if seen.target == "/file" {
            return Reply::body("file");
        }
        let text = before(&format!("Location: https://{}/file\r\n", seen.host));
        mixed_text(text.replace("{}", r#"{"restrictions":{"event_id":"$a"}}"#))
    })
    .await;
    let restriction = peer.fetch().await.unwrap().restriction.unwrap();
    assert_eq!(restriction.as_str(), r#"{"event_id":"$a"}"#);
}

/// Type and name of a file, by what the part and the file's own server say.
async fn labels(
    part: &'static str,
    file: &'static [(&'static str, &'static str)],
) -> (String, Option<String>) {
    let peer = Peer::new(move |seen| {
        if seen.target == "/file" {
            let response = file
                .iter()
                .fold(Response::builder(), |response, (name, value)| response.header(*name, *value));
            return Reply::Answer(response.body("file".into()).unwrap());
        }
        mixed(&format!("{part}Location: https://{}/file\r\n", seen.host), "")
    })
    .await;
    let media = peer.fetch().await.unwrap();
    (media.content_type.as_str().to_owned(), media.file_name.map(|name| name.as_str().to_owned()))
}

const FILE: &[(&str, &str)] =
    &[("content-type", "image/png"), ("content-disposition", "inline; filename=cdn")];

#[tokio::test]
async fn the_origin_labels_a_file_before_the_server_where_it_lies() {
    let part = "Content-Type: image/gif\r\nContent-Disposition: attachment; filename=part\r\n";
    assert_eq!(labels(part, FILE).await, ("image/gif".to_owned(), Some("part".to_owned())));
}

#[tokio::test]
async fn what_the_origin_does_not_say_the_file_s_server_does() {
    assert_eq!(labels("", FILE).await, ("image/png".to_owned(), Some("cdn".to_owned())));
    let part = "Content-Disposition: inline\r\n";
    assert_eq!(labels(part, FILE).await.1, Some("cdn".to_owned()));
}

#[tokio::test]
async fn names_are_read_in_all_forms() {
    for (disposition, expected) in [
        ("inline; filename=cat.png", Some("cat.png")),
        ("attachment;filename=\"a cat.png\"", Some("a cat.png")),
        (r#"inline; filename="a \"cat\" \\ dog""#, Some(r#"a "cat" \ dog"#)),
        ("inline; filename*=utf-8''k%C3%A4tzchen", Some("kätzchen")),
        ("inline; filename=ascii; filename*=UTF-8'de'k%C3%A4tzchen", Some("kätzchen")),
        ("inline; filename*=utf-8''k%C3%A4tzchen; filename=ascii", Some("kätzchen")),
        ("inline; filename=\"kätzchen.png\"", Some("kätzchen.png")),
        ("INLINE; FILENAME=cat", Some("cat")),
        ("inline; x=y; filename=cat", Some("cat")),
        ("inline; filename*=nonsense; filename=cat", Some("cat")),
        ("inline", None),
        ("inline; filename=\"\"", None),
        ("inline; filename", None),
        (";;;", None),
        ("\"=;\u{7}", None),
    ] {
        let peer =
            Peer::new(move |_| mixed(&format!("Content-Disposition: {disposition}\r\n"), "media")).await;
        let media = peer.fetch().await.unwrap();
        assert_eq!(media.file_name.as_ref().map(FileName::as_str), expected, "{disposition}");
    }
}

#[tokio::test]
async fn a_part_without_a_type_is_bytes() {
    let media = Peer::new(|_| mixed("", "media")).await.fetch().await.unwrap();
    assert_eq!(media.content_type.as_str(), "application/octet-stream");
}
