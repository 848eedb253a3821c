//! The S3 server of the tests as a program: `s3-test-server --root DIR [--listen ADDRESS] [--bucket NAME]...`
//!
//! Prints a line of JSON with its address and keys when it listens, and runs until it is killed.

use std::{net::SocketAddr, path::PathBuf};

use mmr_test_support::s3::{ACCESS_KEY_ID, REGION, S3Server, SECRET_ACCESS_KEY};

const USAGE: &str = "usage: s3-test-server --root DIR [--listen ADDRESS] [--bucket NAME]...";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut root: Option<PathBuf> = None;
    let mut listen: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut buckets = vec![];
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match &*name {
            "--root" => root = Some(value.into()),
            "--listen" => listen = value.parse()?,
            "--bucket" => buckets.push(value),
            _ => return Err(USAGE.into()),
        }
    }
    let root = root.ok_or(USAGE)?;
    for bucket in buckets {
        std::fs::create_dir_all(root.join(bucket))?;
    }
    let server = S3Server::start_at(root, listen).await?;
    let ready = serde_json::json!({
        "address": server.address(),
        "region": REGION,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
    });
    println!("{ready}");
    std::future::pending().await
}
