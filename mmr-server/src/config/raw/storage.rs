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
        /// Kind of storage: `file`, `s3`, `gcs` (Google Cloud Storage) or `azure` (Azure Blob Storage). Required.
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
        /// `s3`: host and port, or a URL. Required. `gcs`: a URL in place of Google's. `azure`: host or URL of the account's blob
        /// service, if it is not `https://ACCOUNT.blob.core.windows.net`.
        "endpoint" => endpoint: Option<Text> = None, Used Host;
        /// `s3`, `gcs`: the bucket, which must exist. Required.
        "bucketName" => bucket_name: Option<Text> = None, Used Host;
        /// `s3`: id of the access key. Required.
        "accessKeyId" => access_key_id: Option<Text> = None, Used Host;
        /// `s3`: the access key. Required.
        "accessSecret" => access_secret: Option<Secret> = None, Used Host;
        /// `gcs`: JSON file with the key of a service account. Required.
        "credentialsFile" => credentials_file: Option<PathBuf> = None, Used Host;
        /// `azure`: name of the storage account. Required.
        "accountName" => account_name: Option<Text> = None, Used Host;
        /// `azure`: one of its access keys. Required.
        "accountKey" => account_key: Option<Secret> = None, Used Host;
        /// `azure`: the container, which must exist. Required.
        "containerName" => container_name: Option<Text> = None, Used Host;
        /// `s3`: region that requests are signed for.
        "region" => region: Text = Text::new("us-east-1"), Used Host;
        /// `s3`: connect with TLS, where `endpoint` has no scheme.
        "ssl" => ssl: bool = true, Used Host;
        /// `s3`, `gcs`, `azure`: file with certificate authorities that are trusted beside the system's.
        "caFile" => ca_file: Option<PathBuf> = None, Used Host;
        /// `s3`: the bucket is a part of the host name, not of the path.
        "virtualHostStyle" => virtual_host_style: bool = false, Used Host;
        /// `s3`, `gcs`: storage class of new objects; empty for the bucket's own.
        "storageClass" => storage_class: Text = Text::new("STANDARD"), Used Host;
        /// `s3`: encryption by the store: empty, `AES256` or `aws:kms`.
        "serverSideEncryption" => server_side_encryption: Text = Text::default(), Used Host;
        /// `s3`: the key for `aws:kms`.
        "kmsKeyId" => kms_key_id: Option<Text> = None, Used Host;
        /// `s3`: 32 bytes in base64 that the store encrypts with and does not keep (SSE-C). Clients are not sent there then.
        "customerKey" => customer_key: Option<Secret> = None, Used Host;
        /// `s3`, `gcs`, `azure`: directory for temporary files. Uploads need it only with `multipartUploads: false`, remote media
        /// while it arrives.
        "tempPath" => temp_path: PathBuf = PathBuf::new(), Used Host;
        /// `s3`, `gcs`, `azure`: where clients and servers can fetch objects themselves: the object's name is appended.
        "publicBaseUrl" => public_base_url: Text = Text::default(), Used Host;
        /// `s3`, `gcs`, `azure`: send clients to the store with links that work for a short while.
        "presignedRedirects" => presigned_redirects: bool = false, Used Host;
        /// `s3`, `gcs`, `azure`: bytes below which that is not worth it.
        "presignedMinBytes" => presigned_min_bytes: u64 = 262_144, Used Host;
        /// `s3`, `gcs`, `azure`: seconds that such a link works. Nobody can take it back, whatever is quarantined meanwhile.
        "presignedSeconds" => presigned_seconds: u64 [1..=300] = 60, Used Host;
        /// `s3`, `azure`: host and port, or a URL, under which clients reach the store, if it is not `endpoint`.
        "presignedEndpoint" => presigned_endpoint: Option<Text> = None, Used Host;
        /// `s3`, `gcs`, `azure`: send clients there even if the object is cached here.
        "redirectWhenCached" => redirect_when_cached: bool = false, Used Host;
        /// `s3`: characters of an object's name that form its prefix. New objects always have two.
        "prefixLength" => prefix_length: i64 = 0, Ignored Host;
        /// `s3`: upload large objects in parts.
        "multipartUploads" => multipart_uploads: bool = true, Used Host;
        /// `s3`, `gcs`, `azure`: bytes of a part.
        "partSizeBytes" => part_size_bytes: u64 [5_242_880..=1_073_741_824] = 8_388_608, Used Host;
    }
}
