//! Configuration as a whole.

use std::time::Duration;

use mmr_core::{
    backend::s3::{S3Encryption, S3Options},
    datastore::Placement,
    policy::ThumbnailPolicy,
    types::{DatastoreId, MediaKind, Size},
};

use super::{
    BucketSettings, BucketStore, ConfigError, DatabaseSettings, Loaded, StorageSettings,
    load::{Source, read},
    schema::{Support, all_keys},
};

const MINIMAL: &str = "
database: {sqlite: mmr.db}
homeservers:
  - {name: example.org, csApi: 'http://localhost:8008'}
datastores:
  - {id: main, type: file, forKinds: [all], opts: {path: media}}
";

fn load(files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let sources: Vec<_> =
        files.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).to_owned() }).collect();
    read(&sources)
}

fn with(more: &str) -> Result<Loaded, ConfigError> {
    load(&[("a.yaml", MINIMAL), ("b.yaml", more)])
}

fn errors(more: &str) -> Vec<String> {
    with(more).unwrap_err().errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_minimal_configuration_has_the_defaults_of_matrix_media_repo() {
    let Loaded { settings, warnings } = load(&[("a.yaml", MINIMAL)]).unwrap();
    assert!(warnings.is_empty() && settings.unsupported.is_empty());
    assert_eq!(settings.http.listen, ("127.0.0.1".to_owned(), 8000));
    let uploads = &settings.homeservers[0].policy.uploads;
    assert_eq!(
        (uploads.max_bytes, uploads.min_bytes, uploads.max_pending),
        (Some(104_857_600), 100, Some(5))
    );
    assert_eq!(uploads.reservation_ttl.as_secs(), 1800);
    assert!(uploads.freeze && uploads.quotas.is_empty());
    assert_eq!(settings.homeservers[0].reported_max_bytes, Some(104_857_600));
    assert!(settings.metrics.is_none() && settings.homeservers[0].token_ttl.is_zero());
}

#[test]
fn every_error_is_reported_at_once_with_its_place() {
    let text = "repo: {port: 0, logLevel: loud}\nuploads:\n  maxBytes: many\n  maxBytes: 5\ndatastores: []\n";
    assert_eq!(
        errors(text),
        [
            "b.yaml:1: repo.logLevel: found \"loud\"; accepted: one of panic, fatal, error, warn, warning, info, debug, trace",
            "b.yaml:1: repo.port: found 0; accepted: a whole number from 1 to 65535",
            "b.yaml:3: uploads.maxBytes: found \"many\"; accepted: a whole number",
            "b.yaml:4: uploads.maxBytes: stands here a second time, after line 3; accepted: once",
            "b.yaml:5: datastores: no datastore takes local_media; accepted: forKinds with local_media or all in one of them",
            "b.yaml:5: datastores: no datastore takes remote_media; accepted: forKinds with remote_media or all in one of them",
            "b.yaml:5: datastores: no datastore takes thumbnails; accepted: forKinds with thumbnails or all in one of them",
        ]
    );
}

#[test]
fn what_cannot_be_done_without_is_named() {
    let missing: Vec<_> =
        load(&[("a.yaml", "")]).unwrap_err().errors.iter().map(|e| e.place.key.clone()).collect();
    assert_eq!(missing, ["database", "datastores", "datastores", "datastores", "homeservers"]);
}

#[test]
fn postgres_takes_the_place_of_sqlite_and_not_one_beside_it() {
    let postgres = MINIMAL
        .replace("{sqlite: mmr.db}", "{postgres: 'postgres://u:secret@h/d', pool: {maxConnections: 3}}");
    let settings = load(&[("a.yaml", &postgres)]).unwrap().settings;
    let DatabaseSettings::Postgres(options) = settings.database else { panic!("{:?}", settings.database) };
    assert_eq!((&*options.url, options.max_connections, options.max_idle), ("postgres://u:secret@h/d", 3, 3));
    let both = errors("database: {postgres: 'postgres://u:secret@h/d'}\n");
    assert_eq!(both, ["b.yaml:1: database.postgres: stands beside database.sqlite; accepted: one of them"]);
}

const BUCKET: &str = "datastores:
  - id: b
    type: s3
    forKinds: [all]
    opts: {endpoint: s3.example, bucketName: media, accessKeyId: id, accessSecret: hunter2, ssl: 'true'";

fn stored(text: &str) -> Result<BucketSettings, ConfigError> {
    let settings = with(text)?.settings;
    match &settings.datastores[0].storage {
        StorageSettings::Bucket(bucket) => Ok((**bucket).clone()),
        StorageSettings::Directory { .. } => panic!("it is a bucket"),
    }
}

fn bucket(more: &str) -> Result<S3Options, ConfigError> {
    match stored(&format!("{BUCKET}, {more}}}\n"))?.store {
        BucketStore::S3(options) => Ok(options),
        other => panic!("{other}"),
    }
}

#[test]
fn a_bucket_is_what_matrix_media_repo_says_and_more() {
    let plain = bucket("region: eu").unwrap();
    assert!(plain.ssl && plain.upload.multipart);
    assert_eq!((&*plain.region, plain.storage_class.as_deref()), ("eu", Some("STANDARD")));
    assert!(plain.links.public_base_url.is_none() && plain.links.presign.is_none());

    let more =
        "presignedRedirects: true, presignedSeconds: 5, storageClass: '', serverSideEncryption: AES256";
    let more = bucket(more).unwrap();
    assert_eq!(more.links.presign.map(|presign| presign.max_ttl.as_secs()), Some(5));
    assert_eq!((more.storage_class, more.encryption), (None, S3Encryption::Store));
    let whole = stored(&format!("{BUCKET}, tempPath: /spool, redirectWhenCached: true}}\n")).unwrap();
    assert!(whole.redirect_when_cached && whole.temp_dir == Some("/spool".into()));
}

#[test]
fn a_bucket_of_google_is_a_name_and_the_file_of_a_key() {
    let entry = "datastores:\n  - {id: b, type: gcs, forKinds: [all], opts: {";
    let bucket = stored(&format!(
        "{entry}bucketName: media, credentialsFile: /key.json, presignedRedirects: true}}}}\n"
    ));
    let bucket = bucket.unwrap().store;
    assert_eq!((bucket.kind(), &*bucket.to_string()), ("gcs", "gs://media"));
    let BucketStore::Gcs { options, credentials_file } = bucket else { panic!("{bucket}") };
    assert_eq!((credentials_file, options.endpoint), ("/key.json".into(), None));
    assert!(options.links.presign.is_some());
    let lacking = errors(&format!("{entry}}}}}\n")).join("\n");
    for key in ["bucketName", "credentialsFile"] {
        assert!(lacking.contains(&format!("opts.{key}: is missing")), "{lacking}");
    }
    let elsewhere = format!("{entry}bucketName: b, credentialsFile: /k, presignedEndpoint: h}}}}\n");
    assert!(errors(&elsewhere)[0].contains("opts.presignedEndpoint"));
}

#[test]
fn a_container_of_azure_is_an_account_a_name_and_a_key() {
    let entry = "datastores:\n  - {id: b, type: azure, forKinds: [all], opts: {";
    let named = "accountName: acct, containerName: media, accountKey: aHVudGVyMg==";
    let bucket = stored(&format!("{entry}{named}, endpoint: 'http://h/acct', partSizeBytes: 5242880}}}}\n"));
    let bucket = bucket.unwrap().store;
    assert_eq!((bucket.kind(), &*bucket.to_string()), ("azure", "azure://acct/media"));
    assert!(!format!("{bucket:?}").contains("aHVudGVy"));
    let BucketStore::Azure(options) = bucket else { panic!("{bucket}") };
    assert_eq!((options.endpoint.as_deref(), options.part_bytes), (Some("http://h/acct"), 5 << 20));
    let lacking = errors(&format!("{entry}}}}}\n")).join("\n");
    for key in ["accountName", "containerName", "accountKey"] {
        assert!(lacking.contains(&format!("opts.{key}: is missing")), "{lacking}");
    }
}

#[test]
fn what_a_bucket_lacks_is_named_and_its_secrets_are_not() {
    let lacking = errors("datastores:\n  - {id: b, type: s3, forKinds: [all]}\n").join("\n");
    for key in ["endpoint", "bucketName", "accessKeyId", "accessSecret"] {
        assert!(lacking.contains(&format!("b.yaml:2: datastores[0].opts.{key}: is missing")), "{lacking}");
    }
    let wrong = bucket("customerKey: c2hvcnQ=").unwrap_err();
    let wrong: Vec<_> = wrong.errors.iter().map(ToString::to_string).collect();
    assert!(wrong[0].contains("opts.customerKey") && !wrong[0].contains("c2hvcnQ"), "{wrong:?}");
    let settings = with(&format!("{BUCKET}}}\n")).unwrap().settings;
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn two_datastores_never_lie_in_the_same_place() {
    let directory =
        |id, path| format!("  - {{id: {id}, type: file, forKinds: [all], opts: {{path: {path}}}}}\n");
    for (one, other) in [("/media", "/media"), ("/media", "/media/new"), ("/media/new", "/media/./")] {
        let error =
            errors(&format!("datastores:\n{}{}", directory("a", one), directory("b", other))).join("\n");
        assert!(error.contains("\"b\" and \"a\" lie in the same place"), "{error}");
    }
    let apart = format!("datastores:\n{}{}", directory("a", "/media"), directory("b", "/media2"));
    assert!(with(&apart).is_ok());
    let other = BUCKET.replace("datastores:\n", "").replace("id: b\n", "id: c\n");
    let buckets = errors(&format!("{BUCKET}}}\n{other}, storageClass: COLD}}\n")).join("\n");
    assert!(buckets.contains("\"c\" and \"b\" lie in the same place"), "{buckets}");
}

#[test]
fn a_disk_cache_needs_a_directory_and_a_size() {
    for half in ["{diskPath: /cache}", "{diskBytes: 5}"] {
        assert!(errors(&format!("downloads: {{cache: {half}}}\n"))[0].contains("downloads.cache"));
    }
    let cache = with("downloads: {cache: {diskPath: /cache, diskBytes: 5}}\n").unwrap().settings.cache;
    assert_eq!(cache.disk, Some(("/cache".into(), 5)));
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
    let warnings = with("uplaods: {maxBytes: 5}\nuploads: {maxByte: 5, nonsense: 1}\n").unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "b.yaml:1: uplaods: unknown key, it has no effect; did you mean `uploads`?",
            "b.yaml:2: uploads.maxByte: unknown key, it has no effect; did you mean `uploads.maxBytes`?",
            "b.yaml:2: uploads.nonsense: unknown key, it has no effect",
        ]
    );
}

#[test]
fn settings_without_effect_are_named_when_they_are_set() {
    let settings =
        with("redis: {enabled: true}\nurlPreviews: {numWords: 10}\nplugins: []\nsentry: {enabled: false}\n");
    assert_eq!(settings.unwrap().settings.unsupported, ["redis.enabled", "urlPreviews.numWords"]);
}

#[test]
fn later_files_win_key_by_key() {
    let first = "uploads: {maxBytes: 1000, minBytes: 5}\n";
    let files = [("a.yaml", MINIMAL), ("b.yaml", first), ("c.yaml", "uploads: {maxBytes: 2000}\n")];
    let settings = load(&files).unwrap().settings;
    let uploads = &settings.homeservers[0].policy.uploads;
    assert_eq!((uploads.max_bytes, uploads.min_bytes), (Some(2000), 5));
}

#[test]
fn a_file_of_one_homeserver_overrides_only_what_it_lists() {
    let main = "
homeservers:
  - {name: one.org, csApi: 'http://one'}
  - {name: 'two.org:8448', csApi: 'http://two'}
uploads: {maxBytes: 1000, minBytes: 5}
";
    let host =
        "homeserver: two.org:8448\nuploads: {maxBytes: 2000}\naccessTokens: {maxCacheTimeSeconds: 7}\n";
    let new = "homeserver: three.org\ncsApi: http://three\n";
    let files = [("a.yaml", MINIMAL), ("b.yaml", main), ("c.yaml", host), ("d.yaml", new)];
    let homeservers = load(&files).unwrap().settings.homeservers;
    let shown: Vec<_> = homeservers
        .iter()
        .map(|host| {
            let uploads = &host.policy.uploads;
            (
                host.name.as_str(),
                host.cs_api.as_str(),
                uploads.max_bytes,
                uploads.min_bytes,
                host.token_ttl.as_secs(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("one.org", "http://one/", Some(1000), 5, 0),
            ("two.org:8448", "http://two/", Some(2000), 5, 7),
            ("three.org", "http://three/", Some(1000), 5, 0),
        ]
    );
}

#[test]
fn datastores_of_one_homeserver_take_its_new_objects_and_nobody_elses() {
    let own = "homeserver: example.org
datastores:
  - {id: own, type: file, forKinds: [all], opts: {path: /own}}
";
    let settings = load(&[("a.yaml", MINIMAL), ("b.yaml", own)]).unwrap().settings;
    let own = settings.datastores.iter().find(|datastore| datastore.id == "own").unwrap();
    assert_eq!((settings.datastores.len(), &own.kinds[..]), (2, &[][..]));
    let id = DatastoreId::parse("own").unwrap();
    let placement = Placement::default().with(&id, &MediaKind::ALL);
    assert_eq!(settings.homeservers[0].policy.placement, Some(placement));
}

#[test]
fn one_id_cannot_name_two_datastores() {
    let own = "homeserver: example.org\ndatastores:\n  - {id: main, type: file, forKinds: [all], opts: {path: /other}}\n";
    let error = load(&[("a.yaml", MINIMAL), ("b.yaml", own)]).unwrap_err().errors[0].to_string();
    assert!(error.starts_with("b.yaml:3: datastores: \"main\" is another datastore elsewhere"), "{error}");
}

#[test]
fn a_global_key_in_the_file_of_one_homeserver_is_a_warning() {
    let files = [("a.yaml", MINIMAL), ("b.yaml", "homeserver: example.org\nmetrics: {enabled: true}\n")];
    let loaded = load(&files).unwrap();
    assert!(
        loaded.warnings[0].to_string().starts_with("b.yaml:2: metrics: cannot be set for one homeserver")
    );
    assert!(loaded.settings.metrics.is_none());
}

#[test]
fn a_homeserver_listed_twice_is_an_error() {
    let twice = "homeservers:\n  - {name: a.org, csApi: 'http://a'}\n  - {name: a.org, csApi: 'http://b'}\n";
    assert!(errors(twice)[0].contains("b.yaml:3: homeservers[1].name: a.org is listed twice"));
}

#[test]
fn quotas_and_reported_sizes_mean_what_matrix_media_repo_says() {
    let text = "uploads:\n  maxBytes: 0\n  reportedMaxBytes: -1\n  quotas:\n    enabled: true\n    users: [{glob: '@a*', maxFiles: 3}]\n";
    let settings = with(text).unwrap().settings;
    let host = &settings.homeservers[0];
    assert_eq!((host.policy.uploads.max_bytes, host.reported_max_bytes), (None, None));
    let rule = &host.policy.uploads.quotas[0];
    assert_eq!((rule.cap.max_bytes, rule.cap.max_files, rule.max_pending), (None, Some(3), None));
}

#[test]
fn thumbnails_mean_what_matrix_media_repo_says() {
    let text = "thumbnails:
  maxSourceBytes: 0
  maxPixels: 1000
  sizes: [{width: 10, height: 20}]
  dynamicSizing: true
  allowAnimated: false
  defaultAnimated: true
  maxAnimateSizeBytes: 7
  stillFrame: 0.25
  expireAfterDays: 3
  types: [image/webp]
";
    let settings = with(text).unwrap().settings;
    assert!(settings.unsupported.is_empty(), "{:?}", settings.unsupported);
    assert_eq!(settings.thumbnail_lifetime, Some(Duration::from_hours(72)));
    let expected = ThumbnailPolicy {
        sizes: vec![Size::new(10, 20)],
        dynamic_sizing: true,
        max_pixels: 999,
        max_source_bytes: u64::MAX,
        types: vec!["image/webp".to_owned()],
        allow_animated: false,
        default_animated: true,
        max_animate_bytes: 7,
        still_frame: 0.25,
    };
    assert_eq!(*settings.homeservers[0].policy.thumbnails, expected);
}

#[test]
fn thumbnails_never_expire_unless_that_is_said() {
    for days in ["0", "-1"] {
        let settings = with(&format!("thumbnails: {{expireAfterDays: {days}}}\n")).unwrap().settings;
        assert_eq!(settings.thumbnail_lifetime, None, "{days}");
    }
}

#[test]
fn a_type_that_no_thumbnail_is_made_of_is_a_warning_with_those_that_are() {
    let Loaded { settings, warnings } =
        with("thumbnails:\n  types:\n    - image/jpg\n    - image/nonsense\n    - audio/x-m4a\n").unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let expected = "b.yaml:4: thumbnails.types[1]: no thumbnails are made of \"image/nonsense\", it has no effect; accepted: one of image/jpeg, ";
    assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
    assert!(settings.homeservers[0].policy.thumbnails.allows_type("audio/mp4"));
}

#[test]
fn the_reference_lists_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (head, tail) = document.split_once("<!-- keys -->\n").unwrap();
    let expected = reference();
    if tail != expected {
        let fresh = std::env::temp_dir().join("configuration.md");
        std::fs::write(&fresh, format!("{head}<!-- keys -->\n{expected}")).unwrap();
        panic!("{path} is not what the keys say; the right text is in {}", fresh.display());
    }
}

fn reference() -> String {
    let mut text = String::new();
    for (support, title) in [
        (Support::Used, "## Settings with an effect"),
        (Support::Planned, "## Accepted, no effect yet"),
        (Support::Ignored, "## Accepted, without effect on purpose"),
    ] {
        text += &format!("\n{title}\n\n| key | meaning | accepted | default |\n|---|---|---|---|\n");
        for key in all_keys().into_iter().filter(|key| key.support == support) {
            text += &format!("| `{}` | {} | {} | {} |\n", key.key, key.about, key.accepts, key.default);
        }
    }
    text
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = with(&text);
    }

    #[test]
    fn no_value_makes_the_reader_panic(
        key in proptest::sample::select(all_keys().into_iter().map(|key| key.key).collect::<Vec<_>>()),
        value in "[-0-9a-z\"'\\[\\]{}:, .*&!]{0,12}",
    ) {
        let nested = key.replace("[]", "").split('.').rev().fold(value, |inner, key| format!("{{{key}: {inner}}}"));
        let _ = with(&nested);
    }
}
