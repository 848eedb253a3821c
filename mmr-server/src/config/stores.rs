//! `datastores`, of everybody and of single homeservers.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mmr_core::{
    backend::s3::{self, CustomerKey, Presign, S3Encryption, S3Links, S3Options, S3Upload},
    datastore::Placement,
    types::{DatastoreId, MediaKind},
};

use super::{
    DatastoreSettings, Place, S3Settings, StorageSettings,
    load::missing_place,
    problem::Report,
    raw::{DatastoreEntry, DatastoreOpts},
    schema::Located,
    values::{DatastoreKind, DatastoreType, Text},
};

type Entries = Located<Vec<Located<DatastoreEntry>>>;

/// Every datastore that any list names, once, with what the file says of it.
#[derive(Debug, Default)]
pub(super) struct Stores(Vec<(DatastoreSettings, DatastoreOpts)>);

impl Stores {
    /// Those of the main configuration.
    pub(super) fn of_everybody(list: &Entries, report: &mut Report) -> Self {
        let all = read(list, report);
        require_kinds(list, &all, report);
        let this = Self(all);
        this.require_apart(list, report);
        this
    }

    /// Adds those of one homeserver, whose list stands in place of everybody's: its new objects go there, what lies
    /// elsewhere stays readable.
    pub(super) fn of_homeserver(&mut self, list: &Entries, report: &mut Report) -> Placement {
        let own = read(list, report);
        require_kinds(list, &own, report);
        let mut placement = Placement::default();
        for (datastore, opts) in own {
            if let Ok(id) = DatastoreId::parse(&datastore.id) {
                placement = placement.with(&id, &datastore.kinds);
            }
            match self.0.iter().find(|(known, _)| known.id == datastore.id) {
                None => self.0.push((DatastoreSettings { kinds: Vec::new(), ..datastore }, opts)),
                Some((_, known)) if *known == opts => {}
                Some(_) => {
                    let place = list.place.clone().unwrap_or_else(|| missing_place("datastores"));
                    let id = &datastore.id;
                    report.error(
                        place,
                        format!("{id:?} is another datastore elsewhere; accepted: the same type and opts, or another id"),
                    );
                }
            }
        }
        self.require_apart(list, report);
        placement
    }

    /// What lies in one and is named by another would be taken for an orphan.
    fn require_apart(&self, list: &Entries, report: &mut Report) {
        for (number, (one, _)) in self.0.iter().enumerate() {
            for (other, _) in
                self.0[..number].iter().filter(|(other, _)| overlap(&one.storage, &other.storage))
            {
                let place = list.place.clone().unwrap_or_else(|| missing_place("datastores"));
                let (one, other) = (&one.id, &other.id);
                report.error(
                    place,
                    format!("{one:?} and {other:?} lie in the same place; accepted: a directory or bucket of its own for each"),
                );
            }
        }
    }

    pub(super) fn into_settings(self) -> Vec<DatastoreSettings> {
        self.0.into_iter().map(|(settings, _)| settings).collect()
    }
}

fn overlap(one: &StorageSettings, other: &StorageSettings) -> bool {
    match (one, other) {
        (StorageSettings::Directory { path: one, .. }, StorageSettings::Directory { path: other, .. }) => {
            one.starts_with(other) || other.starts_with(one)
        }
        (StorageSettings::S3(one), StorageSettings::S3(other)) => {
            (&one.options.endpoint, &one.options.bucket) == (&other.options.endpoint, &other.options.bucket)
        }
        _ => false,
    }
}

fn read(list: &Entries, report: &mut Report) -> Vec<(DatastoreSettings, DatastoreOpts)> {
    let mut all: Vec<(DatastoreSettings, DatastoreOpts)> = Vec::new();
    for Located { value, place } in &list.value {
        let place = place.clone().unwrap_or_else(|| missing_place("datastores"));
        let at = |key: &str| Place { key: format!("{}.{key}", place.key), ..place.clone() };
        if DatastoreId::parse(&value.id.0).is_err() {
            report.error(
                at("id"),
                format!("found {:?}; accepted: a name that never changes, up to 255 bytes", value.id.0),
            );
        }
        if all.iter().any(|(other, _)| other.id == value.id.0) {
            report.error(at("id"), format!("{:?} is used twice; accepted: a name of its own", value.id.0));
        }
        let storage = match value.kind {
            Some(DatastoreType::File) => directory(value, &at, report),
            Some(DatastoreType::S3) => bucket(&value.opts, &at, report),
            None => {
                report.error(at("type"), "is missing; accepted: file, s3");
                None
            }
        };
        if let Some(storage) = storage {
            let id = value.id.0.clone();
            let settings = DatastoreSettings { id, kinds: kinds(&value.for_kinds), storage };
            all.push((settings, value.opts.clone()));
        }
    }
    all
}

fn directory(
    entry: &DatastoreEntry,
    at: &impl Fn(&str) -> Place,
    report: &mut Report,
) -> Option<StorageSettings> {
    let path = entry.opts.path.clone().filter(|path| !path.as_os_str().is_empty());
    if path.is_none() {
        report.error(at("opts.path"), "is missing; accepted: the directory that holds the files");
    }
    Some(StorageSettings::Directory { path: path?, fsync: entry.opts.fsync })
}

fn bucket(opts: &DatastoreOpts, at: &impl Fn(&str) -> Place, report: &mut Report) -> Option<StorageSettings> {
    let text = |text: &Text| Some(text.0.clone()).filter(|text| !text.is_empty());
    let mut required = |key: &str, value: Option<String>, accepted: &str| {
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            report.error(at(&format!("opts.{key}")), format!("is missing; accepted: {accepted}"));
        }
        value
    };
    let endpoint = required("endpoint", opts.endpoint.as_ref().and_then(text), "host and port, or a URL");
    let bucket = required("bucketName", opts.bucket_name.as_ref().and_then(text), "the name of a bucket");
    let id = required("accessKeyId", opts.access_key_id.as_ref().and_then(text), "the id of an access key");
    let secret = opts.access_secret.as_ref().map(|secret| secret.expose().to_owned());
    let secret = required("accessSecret", secret, "the access key");
    let encryption = encryption(opts, at, report);
    let credentials = (id?, s3::Secret::new(secret?));
    let mut options = S3Options::new(endpoint?, opts.region.0.clone(), bucket?, credentials);
    options.ssl = opts.ssl;
    options.storage_class = text(&opts.storage_class);
    options.virtual_host_style = opts.virtual_host_style;
    options.encryption = encryption?;
    options.upload = S3Upload {
        multipart: opts.multipart_uploads,
        part_bytes: usize::try_from(opts.part_size_bytes).unwrap_or(usize::MAX),
        temp_dir: Some(opts.temp_path.clone()).filter(|path| !path.as_os_str().is_empty()),
        ..S3Upload::default()
    };
    options.links = S3Links {
        public_base_url: text(&opts.public_base_url),
        presign: opts.presigned_redirects.then(|| Presign {
            min_bytes: opts.presigned_min_bytes,
            max_ttl: Duration::from_secs(opts.presigned_seconds),
            endpoint: opts.presigned_endpoint.as_ref().and_then(text),
        }),
    };
    let (ca_file, redirect_when_cached) = (opts.ca_file.clone(), opts.redirect_when_cached);
    Some(StorageSettings::S3(Box::new(S3Settings { options, ca_file, redirect_when_cached })))
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

fn kinds(names: &[DatastoreKind]) -> Vec<MediaKind> {
    let takes = |kind: &MediaKind| names.contains(&named(*kind)) || names.contains(&DatastoreKind::All);
    MediaKind::ALL.into_iter().filter(takes).collect()
}

const fn named(kind: MediaKind) -> DatastoreKind {
    match kind {
        MediaKind::Local => DatastoreKind::LocalMedia,
        MediaKind::Remote => DatastoreKind::RemoteMedia,
        MediaKind::Thumbnail => DatastoreKind::Thumbnails,
        MediaKind::Archive => DatastoreKind::Archives,
    }
}

/// What `forKinds` calls it.
pub(crate) fn kind_name(kind: MediaKind) -> &'static str {
    named(kind).as_str()
}

/// Exports do not exist yet, so nobody has to have a place for them.
fn require_kinds(list: &Entries, all: &[(DatastoreSettings, DatastoreOpts)], report: &mut Report) {
    for kind in [MediaKind::Local, MediaKind::Remote, MediaKind::Thumbnail] {
        // A list with an entry that cannot be read is reported for that alone.
        if all.len() == list.value.len() && !all.iter().any(|(store, _)| store.kinds.contains(&kind)) {
            let place = list.place.clone().unwrap_or_else(|| missing_place("datastores"));
            let name = kind_name(kind);
            report.error(
                place,
                format!("no datastore takes {name}; accepted: forKinds with {name} or all in one of them"),
            );
        }
    }
}
