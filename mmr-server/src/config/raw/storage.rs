//! Database and datastores.

use std::path::PathBuf;

use crate::config::{
    schema::{Located, section},
    values::{DatastoreKind, DatastoreType, Secret, Text},
};

section! {
    /// `database`
    struct Database {
        /// File of the embedded database; it is created where it is missing. This or `postgres` is required.
        "sqlite" => sqlite: Option<Located<PathBuf>> = None, Used Global;
        /// Connection string of a Postgres database (13 or newer), for one node or many: a URL or `key=value` list as
        /// matrix-media-repo takes it, with `sslmode`, `sslrootcert`, `sslcert` and `sslkey`. Everything lies in a schema
        /// `mmr` of its own.
        "postgres" => postgres: Option<Located<Secret>> = None, Used Global;
        /// Connections to Postgres.
        "pool" => pool: Pool = Pool::default(), Used Global;
    }
}

section! {
    /// `database.pool`
    struct Pool {
        /// Connections at the same time, besides the one that listens for other nodes.
        "maxConnections" => max_connections: u32 [1..=10_000] = 25, Used Global;
        /// Connections that are kept open.
        "maxIdleConnections" => max_idle_connections: u32 = 5, Used Global;
    }
}

section! {
    /// `datastores[]`
    struct DatastoreEntry {
        /// Name that records refer to; it must never change. Required.
        "id" => id: Text = Text::default(), Used Host;
        /// Kind of storage; `s3` is an error in this version. Required.
        "type" => kind: Option<DatastoreType> = None, Used Host;
        /// What new media it takes; empty for none, what it holds stays readable.
        "forKinds" => for_kinds: Vec<DatastoreKind> = Vec::new(), Used Host;
        /// Options of the type.
        "opts" => opts: DatastoreOpts = DatastoreOpts::default(), Used Host;
    }
}

section! {
    /// `datastores[].opts`
    struct DatastoreOpts {
        /// `file`: the directory. Required.
        "path" => path: Option<PathBuf> = None, Used Host;
        /// `file`: sync each file and its directory before an upload is acknowledged.
        "fsync" => fsync: bool = true, Used Host;
        /// `s3`: host and port, without scheme.
        "endpoint" => endpoint: Option<Text> = None, Planned Host;
        /// `s3`: the bucket.
        "bucketName" => bucket_name: Option<Text> = None, Planned Host;
        /// `s3`: id of the access key.
        "accessKeyId" => access_key_id: Option<Text> = None, Planned Host;
        /// `s3`: the access key.
        "accessSecret" => access_secret: Option<Secret> = None, Planned Host;
        /// `s3`: region.
        "region" => region: Option<Text> = None, Planned Host;
        /// `s3`: connect with TLS.
        "ssl" => ssl: bool = true, Planned Host;
        /// `s3`: storage class of new objects.
        "storageClass" => storage_class: Text = Text::new("STANDARD"), Planned Host;
        /// `s3`: directory for temporary files.
        "tempPath" => temp_path: PathBuf = PathBuf::new(), Planned Host;
        /// `s3`: where clients can fetch objects themselves.
        "publicBaseUrl" => public_base_url: Text = Text::default(), Planned Host;
        /// `s3`: send clients there even if the object is cached.
        "redirectWhenCached" => redirect_when_cached: bool = false, Planned Host;
        /// `s3`: characters of an object's name that form its prefix.
        "prefixLength" => prefix_length: i64 = 0, Planned Host;
        /// `s3`: upload large objects in parts.
        "multipartUploads" => multipart_uploads: bool = true, Planned Host;
    }
}
