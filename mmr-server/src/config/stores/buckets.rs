//! Datastores in clouds.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mmr_core::backend::{
    azure::AzureOptions,
    gcs::GcsOptions,
    s3::{self, CustomerKey, Presign, S3Encryption, S3Links, S3Options, S3Upload},
};

use crate::config::{
    BucketSettings, BucketStore, Place, StorageSettings,
    problem::Report,
    raw::DatastoreOpts,
    values::{DatastoreType, Text},
};

/// Reports what is missing, each key by its name.
struct Required<'a, At> {
    at: &'a At,
    report: &'a mut Report,
}

impl<At: Fn(&str) -> Place> Required<'_, At> {
    fn value(&mut self, key: &str, value: Option<String>, accepted: &str) -> Option<String> {
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            self.report.error((self.at)(&format!("opts.{key}")), format!("is missing; accepted: {accepted}"));
        }
        value
    }

    fn text(&mut self, key: &str, text: Option<&Text>, accepted: &str) -> Option<String> {
        self.value(key, text.map(|text| text.0.clone()), accepted)
    }
}

pub(super) fn bucket(
    kind: DatastoreType,
    opts: &DatastoreOpts,
    at: &impl Fn(&str) -> Place,
    report: &mut Report,
) -> Option<StorageSettings> {
    let mut required = Required { at, report };
    let store = match kind {
        DatastoreType::File => return None,
        DatastoreType::S3 => BucketStore::S3(of_s3(opts, &mut required)?),
        DatastoreType::Gcs => of_google(opts, &mut required)?,
        DatastoreType::Azure => BucketStore::Azure(of_azure(opts, &mut required)?),
    };
    Some(StorageSettings::Bucket(Box::new(BucketSettings {
        store,
        temp_dir: temp_dir(opts),
        ca_file: opts.ca_file.clone(),
        redirect_when_cached: opts.redirect_when_cached,
    })))
}

fn of_s3<At: Fn(&str) -> Place>(opts: &DatastoreOpts, required: &mut Required<'_, At>) -> Option<S3Options> {
    let endpoint = required.text("endpoint", opts.endpoint.as_ref(), "host and port, or a URL");
    let bucket = required.text("bucketName", opts.bucket_name.as_ref(), "the name of a bucket");
    let id = required.text("accessKeyId", opts.access_key_id.as_ref(), "the id of an access key");
    let secret = opts.access_secret.as_ref().map(|secret| secret.expose().to_owned());
    let secret = required.value("accessSecret", secret, "the access key");
    let encryption = encryption(opts, required.at, required.report);
    let credentials = (id?, s3::Secret::new(secret?));
    let mut options = S3Options::new(endpoint?, opts.region.0.clone(), bucket?, credentials);
    options.ssl = opts.ssl;
    options.storage_class = text(&opts.storage_class);
    options.virtual_host_style = opts.virtual_host_style;
    options.encryption = encryption?;
    options.upload = S3Upload {
        multipart: opts.multipart_uploads,
        part_bytes: part_bytes(opts),
        temp_dir: temp_dir(opts),
        ..S3Upload::default()
    };
    options.links = links(opts);
    Some(options)
}

fn of_google<At: Fn(&str) -> Place>(
    opts: &DatastoreOpts,
    required: &mut Required<'_, At>,
) -> Option<BucketStore> {
    let bucket = required.text("bucketName", opts.bucket_name.as_ref(), "the name of a bucket");
    let file = opts.credentials_file.as_ref().map(|path| path.display().to_string());
    required.value("credentialsFile", file, "the JSON file of a service account's key");
    let presigned_elsewhere = opts.presigned_endpoint.as_ref().and_then(text).is_some();
    if presigned_elsewhere {
        let place = (required.at)("opts.presignedEndpoint");
        required.report.error(place, "is set; accepted: nothing, for the links of gcs have one name");
    }
    // The key is read when the datastore is opened.
    let mut options = GcsOptions::new(bucket?, s3::Secret::new(""));
    options.endpoint = opts.endpoint.as_ref().and_then(text);
    options.storage_class = text(&opts.storage_class);
    options.part_bytes = part_bytes(opts);
    options.links = links(opts);
    let credentials_file = opts.credentials_file.clone().filter(|path| !path.as_os_str().is_empty())?;
    (!presigned_elsewhere).then_some(BucketStore::Gcs { options, credentials_file })
}

fn of_azure<At: Fn(&str) -> Place>(
    opts: &DatastoreOpts,
    required: &mut Required<'_, At>,
) -> Option<AzureOptions> {
    let account = required.text("accountName", opts.account_name.as_ref(), "the name of a storage account");
    let container = required.text("containerName", opts.container_name.as_ref(), "the name of a container");
    let key = opts.account_key.as_ref().map(|key| key.expose().to_owned());
    let key = required.value("accountKey", key, "an access key of the account");
    let mut options = AzureOptions::new(account?, container?, s3::Secret::new(key?));
    options.endpoint = opts.endpoint.as_ref().and_then(text);
    options.part_bytes = part_bytes(opts);
    options.links = links(opts);
    Some(options)
}

fn text(text: &Text) -> Option<String> {
    Some(text.0.clone()).filter(|text| !text.is_empty())
}

fn part_bytes(opts: &DatastoreOpts) -> usize {
    usize::try_from(opts.part_size_bytes).unwrap_or(usize::MAX)
}

fn temp_dir(opts: &DatastoreOpts) -> Option<std::path::PathBuf> {
    Some(opts.temp_path.clone()).filter(|path| !path.as_os_str().is_empty())
}

fn links(opts: &DatastoreOpts) -> S3Links {
    S3Links {
        public_base_url: text(&opts.public_base_url),
        presign: opts.presigned_redirects.then(|| Presign {
            min_bytes: opts.presigned_min_bytes,
            max_ttl: Duration::from_secs(opts.presigned_seconds),
            endpoint: opts.presigned_endpoint.as_ref().and_then(text),
        }),
    }
}

fn encryption(
    opts: &DatastoreOpts,
    at: &impl Fn(&str) -> Place,
    report: &mut Report,
) -> Option<S3Encryption> {
    if let Some(key) = &opts.customer_key {
        let bytes = BASE64_STANDARD.decode(key.expose()).ok().and_then(|bytes| bytes.try_into().ok());
        if bytes.is_none() {
            report.error(
                at("opts.customerKey"),
                "found something else (not shown); accepted: 32 bytes in base64",
            );
        }
        return bytes.map(CustomerKey::new).map(S3Encryption::Customer);
    }
    match (&*opts.server_side_encryption.0, &opts.kms_key_id) {
        ("", _) => Some(S3Encryption::None),
        ("AES256", _) => Some(S3Encryption::Store),
        ("aws:kms", Some(key)) => Some(S3Encryption::Kms { key_id: key.0.clone() }),
        ("aws:kms", None) => {
            report.error(at("opts.kmsKeyId"), "is missing; accepted: the id of a key");
            None
        }
        (other, _) => {
            let accepted = "accepted: nothing, AES256, aws:kms";
            report.error(at("opts.serverSideEncryption"), format!("found {other:?}; {accepted}"));
            None
        }
    }
}
