//! Listings of containers.

use chrono::DateTime;
use serde::Deserialize;

use super::Azure;
use crate::{
    backend::cloud::{
        list::{Page, stat},
        request::{Call, ask},
    },
    datastore::DatastoreError,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    #[serde(default)]
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
struct Blobs {
    #[serde(default, rename = "Blob")]
    blobs: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    /// Text, or with an attribute `Encoded` where it does not fit into XML; that is none of ours.
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    #[serde(rename = "Content-Length")]
    content_length: u64,
    /// As HTTP has it.
    #[serde(rename = "Last-Modified")]
    last_modified: String,
    /// `directory`, in accounts that have such.
    resource_type: Option<String>,
}

/// One page of the objects below a prefix.
pub(super) async fn page(azure: &Azure, prefix: &str, marker: &str) -> Result<Page, DatastoreError> {
    let mut query = vec![("restype", "container"), ("comp", "list")];
    if !prefix.is_empty() {
        query.push(("prefix", prefix));
    }
    if !marker.is_empty() {
        query.push(("marker", marker));
    }
    let listing: Listing = ask(azure, &Call::ask(&query)).await?;
    let mut objects = Vec::with_capacity(listing.blobs.blobs.len());
    for Blob { name, properties } in listing.blobs.blobs {
        if properties.resource_type.as_deref() == Some("directory") {
            continue;
        }
        let modified =
            DateTime::parse_from_rfc2822(&properties.last_modified).map_err(|error| azure.failed(error))?;
        objects.extend(stat(&name, properties.content_length, modified.to_utc()));
    }
    Ok(Page { objects, next: listing.next_marker.filter(|next| !next.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_whatever_else_it_says() {
        let text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\">\
            <Prefix>a/</Prefix><MaxResults>5000</MaxResults><Blobs><Blob><Name>a/b</Name><Deleted>false</Deleted>\
            <Properties><Creation-Time>Mon, 01 Jan 2024 00:00:00 GMT</Creation-Time>\
            <Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>\
            <Content-Length>7</Content-Length><Content-MD5/><ResourceType>file</ResourceType></Properties>\
            <OrMetadata/></Blob><Blob><Name Encoded=\"true\">%EF%BF%BE</Name><Properties>\
            <Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified><Content-Length>7</Content-Length>\
            </Properties></Blob></Blobs><NextMarker>next</NextMarker></EnumerationResults>";
        let listing: Listing = quick_xml::de::from_str(text).unwrap();
        let names: Vec<_> = listing.blobs.blobs.iter().map(|blob| &*blob.name).collect();
        assert_eq!(names, ["a/b", "%EF%BF%BE"]);
        assert_eq!(listing.next_marker.as_deref(), Some("next"));
        assert_eq!(listing.blobs.blobs[0].properties.content_length, 7);
        let empty = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        let empty: Listing = quick_xml::de::from_str(empty).unwrap();
        assert!(empty.blobs.blobs.is_empty() && empty.next_marker.unwrap_or_default().is_empty());
    }
}
