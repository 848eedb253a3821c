//! `datastores`, of everybody and of single homeservers.

use mmr_core::{
    datastore::Placement,
    types::{DatastoreId, MediaKind},
};

use super::{
    DatastoreSettings, Place, StorageSettings,
    load::missing_place,
    problem::Report,
    raw::{DatastoreEntry, DatastoreOpts},
    schema::Located,
    values::{DatastoreKind, DatastoreType},
};

mod buckets;

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
        // The names that they go by say where they are.
        (StorageSettings::Bucket(one), StorageSettings::Bucket(other)) => {
            one.store.to_string() == other.store.to_string()
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
            Some(kind) => buckets::bucket(kind, &value.opts, &at, report),
            None => {
                report.error(at("type"), "is missing; accepted: file, s3, gcs, azure");
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
