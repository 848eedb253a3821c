//! `GET /_matrix/client/versions`: the homeserver's answer, with what this repository adds to it
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions)).

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Context};
use crate::{
    auth::AuthError,
    respond::{self, ApiError},
};

/// The version that brought authenticated media.
const AUTHENTICATED_MEDIA: &str = "v1.11";
/// How clients recognise authenticated media on servers that do not claim all of that version (MSC4180).
const STABLE_FLAG: &str = "org.matrix.msc3916.stable";

pub(super) async fn versions(context: Context<'_>) -> Answer {
    let homeserver = context.tenant.homeserver.as_ref().ok_or_else(ApiError::unrecognized)?;
    let unavailable = |reason: String| ApiError::from(AuthError::Unavailable(reason));
    let answer = homeserver.versions(context.credentials().as_ref()).await;
    let answer = answer.map_err(|error| unavailable(error.to_string()))?;
    if !answer.status.is_success() {
        return Err(ApiError::relay(answer));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(mut versions)) => {
            complete(&mut versions);
            Ok(respond::json(StatusCode::OK, &versions))
        }
        _ => Err(unavailable("/versions of the homeserver is no JSON object".to_owned())),
    }
}

/// Everything else that the homeserver says stays as it is.
fn complete(versions: &mut Map<String, Value>) {
    let listed = versions.entry("versions").or_insert_with(|| json!([]));
    if let Value::Array(listed) = listed
        && !listed.iter().any(|version| version == AUTHENTICATED_MEDIA)
    {
        listed.push(json!(AUTHENTICATED_MEDIA));
    }
    let features = versions.entry("unstable_features").or_insert_with(|| json!({}));
    if let Value::Object(features) = features {
        features.insert(STABLE_FLAG.to_owned(), json!(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authenticated_media_is_added_and_the_rest_is_kept() {
        let mut versions = json!({ "versions": ["v1.1"], "unstable_features": { "x": false }, "other": 1 });
        complete(versions.as_object_mut().unwrap());
        let expected = json!({
            "versions": ["v1.1", "v1.11"],
            "unstable_features": { "x": false, "org.matrix.msc3916.stable": true },
            "other": 1,
        });
        assert_eq!(versions, expected);
    }

    #[test]
    fn a_version_is_not_listed_twice() {
        let mut versions = json!({ "versions": ["v1.11", "v1.12"] });
        complete(versions.as_object_mut().unwrap());
        assert_eq!(versions["versions"], json!(["v1.11", "v1.12"]));
    }
}
