use async_trait::async_trait;

use super::{MemoryStore, State, Thumbnail};
use crate::{
    store::{
        Inserted, MediaFilter, NewThumbnail, Refusal, RemovedThumbnails, StoreError, ThumbnailIndex,
        ThumbnailLookup,
    },
    types::{ContentHash, Lookup, Method, Mxc, ThumbnailRecord, ThumbnailSpec, Timestamp},
};

#[async_trait]
impl ThumbnailIndex for MemoryStore {
    async fn thumbnail(&self, mxc: &Mxc, spec: &ThumbnailSpec) -> Result<ThumbnailLookup, StoreError> {
        let state = self.state();
        let media = state.lookup(mxc);
        let thumbnail = match &media {
            Lookup::Stored(record) => state.thumbnail_record(record.blob.hash, *spec),
            Lookup::Reserved(_) | Lookup::Unknown => None,
        };
        Ok(ThumbnailLookup { media, thumbnail })
    }

    async fn thumbnails_of(
        &self,
        source: &ContentHash,
        limit: u32,
    ) -> Result<Vec<ThumbnailRecord>, StoreError> {
        let state = self.state();
        let mut specs: Vec<_> =
            state.thumbnails.keys().filter(|(of, _)| of == source).map(|(_, spec)| *spec).collect();
        specs.sort_by_key(|spec| (spec.width, spec.height, spec.method.as_str(), spec.variant.as_str()));
        specs.truncate(limit as usize);
        Ok(specs.into_iter().filter_map(|spec| state.thumbnail_record(*source, spec)).collect())
    }

    async fn insert_thumbnail(&self, new: &NewThumbnail) -> Result<Inserted, StoreError> {
        let mut state = self.state();
        if state.media_of(new.source).next().is_none() {
            return Ok(Inserted::BlobGone);
        }
        if state.thumbnails.contains_key(&(new.source, new.spec)) {
            return Ok(Inserted::Refused(Refusal::Taken));
        }
        let inserted = state.admit(&new.blob)?;
        if inserted != Inserted::BlobGone {
            let thumbnail = Thumbnail {
                hash: *new.blob.hash(),
                content_type: new.content_type.clone(),
                width: new.width,
                height: new.height,
                created: new.created,
            };
            state.thumbnails.insert((new.source, new.spec), thumbnail);
        }
        Ok(inserted)
    }

    async fn remove_thumbnails(
        &self,
        filter: &MediaFilter,
        rendered_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<RemovedThumbnails, StoreError> {
        let mut state = self.state();
        let mut found: Vec<(ContentHash, ThumbnailSpec)> = state
            .thumbnails
            .iter()
            .filter(|((source, _), thumbnail)| {
                thumbnail.created < rendered_before && state.source_matches(*source, filter)
            })
            .map(|(key, _)| *key)
            .collect();
        found.sort_by_key(|(source, spec)| {
            let is_scale = spec.method == Method::Scale;
            (
                state.thumbnails[&(*source, *spec)].created,
                *source,
                spec.width,
                spec.height,
                is_scale,
                spec.variant.as_str(),
            )
        });
        found.truncate(limit as usize);
        for key in &found {
            state.thumbnails.remove(key);
        }
        let (blobs, bytes) = state.sweep(now);
        Ok(RemovedThumbnails { thumbnails: u32::try_from(found.len()).unwrap_or(limit), blobs, bytes })
    }
}

impl State {
    fn source_matches(&self, source: ContentHash, filter: &MediaFilter) -> bool {
        self.media_of(source).any(|(mxc, media)| self.matches(mxc, media, filter))
    }
}
