//! Writes objects into a bucket without a server in front: `s3-writer ENDPOINT BUCKET SIZE SECONDS`, in bytes.
//!
//! Part size and parts in flight are those that mmr-server has. Keys come from the environment, `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`, and the region from `AWS_REGION`. Prints, for each object, how many milliseconds it took from
//! its first byte until it was committed.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mmr_core::{
    backend::{
        object_store::ObjectStoreDatastore,
        s3::{S3Options, Secret},
    },
    datastore::Datastore,
    types::BlobKey,
};

/// As much as mmr hands on at a time, more or less.
const CHUNK: usize = 64 << 10;
const USAGE: &str = "usage: s3-writer ENDPOINT BUCKET SIZE SECONDS";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, bucket, size, seconds] = &*arguments else { return Err(USAGE.into()) };
    let (size, seconds) = (size.parse::<usize>()?, seconds.parse::<f64>()?);
    let credentials = (variable("AWS_ACCESS_KEY_ID")?, Secret::new(variable("AWS_SECRET_ACCESS_KEY")?));
    let mut options = S3Options::new(endpoint, variable("AWS_REGION")?, bucket, credentials);
    options.ssl = false;
    options.storage_class = Some("STANDARD".to_owned());
    let datastore = ObjectStoreDatastore::s3(options)?;
    let content = Bytes::from(noise(size));
    // Opens connections.
    write(&datastore, &content.slice(..size.min(CHUNK))).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs_f64(seconds) {
        println!("{:.3}", 1000.0 * write(&datastore, &content).await?.as_secs_f64());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, without a file of settings")]
fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}

/// Bytes that do not compress.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size.div_ceil(8)).flat_map(|_| next()).take(size).collect()
}

/// Writes one object, and tells how long that took.
async fn write(datastore: &dyn Datastore, content: &Bytes) -> Result<Duration, Box<dyn Error>> {
    let key = BlobKey::generate();
    let began = Instant::now();
    let mut writer = datastore.create(&key).await?;
    for start in (0..content.len()).step_by(CHUNK) {
        writer.write(content.slice(start..content.len().min(start + CHUNK))).await?;
    }
    writer.commit().await?;
    let took = began.elapsed();
    datastore.delete(&key).await?;
    Ok(took)
}
