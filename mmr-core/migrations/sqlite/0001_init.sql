-- Times are milliseconds since the Unix epoch. Sums are kept by triggers, so that no statement can forget them.

PRAGMA application_id = 0x6d6d7231; -- "mmr1"

-- Bytes, and where they lie. Everything below refers to blobs by number: it is a quarter of a hash.
CREATE TABLE blobs (
    id        INTEGER PRIMARY KEY,
    hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    checksum  BLOB    CHECK (length(checksum) = 32),
    size      INTEGER NOT NULL CHECK (size >= 0),
    datastore TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    last_read INTEGER NOT NULL DEFAULT 0,
    UNIQUE (datastore, key)
) STRICT;

-- Names for blobs.
CREATE TABLE media (
    id             INTEGER PRIMARY KEY,
    origin         TEXT    NOT NULL,
    media_id       TEXT    NOT NULL,
    blob           INTEGER NOT NULL REFERENCES blobs (id),
    content_type   TEXT    NOT NULL,
    file_name      TEXT,
    uploader       TEXT,
    created        INTEGER NOT NULL,
    requires_auth  INTEGER NOT NULL CHECK (requires_auth IN (0, 1)),
    restriction    TEXT,
    expires        INTEGER,
    pinned         INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
    quarantined_at INTEGER,
    quarantined_by TEXT,
    UNIQUE (origin, media_id)
) STRICT;

CREATE INDEX media_by_blob ON media (blob, uploader, created);
CREATE INDEX media_by_origin ON media (origin, created);
CREATE INDEX media_by_uploader ON media (uploader, created) WHERE uploader IS NOT NULL;
CREATE INDEX media_by_created ON media (created);
CREATE INDEX media_by_expires ON media (expires, created, origin, media_id) WHERE expires IS NOT NULL;
CREATE INDEX media_quarantined ON media (blob) WHERE quarantined_at IS NOT NULL;

-- Names handed out before their bytes. A name is in `media` or here, never in both.
CREATE TABLE reservations (
    origin   TEXT    NOT NULL,
    media_id TEXT    NOT NULL,
    owner    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    PRIMARY KEY (origin, media_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservations_by_owner ON reservations (owner, expires);
CREATE INDEX reservations_by_expires ON reservations (expires);

-- Thumbnails belong to the bytes of their source, and go with the last media that has those.
CREATE TABLE thumbnails (
    source       INTEGER NOT NULL REFERENCES blobs (id),
    spec_width   INTEGER NOT NULL,
    spec_height  INTEGER NOT NULL,
    method       TEXT    NOT NULL CHECK (method IN ('crop', 'scale')),
    variant      TEXT    NOT NULL CHECK (variant IN ('still', 'webp', 'animated')),
    blob         INTEGER NOT NULL REFERENCES blobs (id),
    content_type TEXT    NOT NULL,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    PRIMARY KEY (source, spec_width, spec_height, method, variant)
) STRICT, WITHOUT ROWID;

CREATE INDEX thumbnails_by_blob ON thumbnails (blob);
CREATE INDEX thumbnails_by_created ON thumbnails (created);

CREATE TABLE exports (
    id      TEXT    NOT NULL PRIMARY KEY,
    entity  TEXT    NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE export_parts (
    export TEXT    NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    name   TEXT    NOT NULL,
    blob   INTEGER NOT NULL REFERENCES blobs (id),
    PRIMARY KEY (export, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX export_parts_by_blob ON export_parts (blob);

-- Objects to delete. A location is in `blobs` or here, never in both.
CREATE TABLE garbage (
    datastore TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (datastore, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX garbage_by_since ON garbage (since);

-- By the server of the user ID, which need not be the origin of the media.
CREATE TABLE user_usage (
    server TEXT    NOT NULL,
    user   TEXT    NOT NULL,
    files  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (server, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE origin_usage (
    origin TEXT    NOT NULL PRIMARY KEY,
    files  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE datastore_usage (
    datastore TEXT    NOT NULL PRIMARY KEY,
    blobs     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE previews (
    id       INTEGER PRIMARY KEY,
    url      TEXT    NOT NULL,
    language TEXT    NOT NULL,
    taken    INTEGER NOT NULL,
    answer   TEXT,
    failure  TEXT,
    UNIQUE (url, language, taken),
    CHECK ((answer IS NULL) <> (failure IS NULL))
) STRICT;

CREATE INDEX previews_by_taken ON previews (taken);

CREATE TABLE tasks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    params     TEXT    NOT NULL,
    progress   TEXT    NOT NULL DEFAULT '',
    created    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    holder     TEXT,
    held_until INTEGER,
    finished   INTEGER,
    error      TEXT
) STRICT;

CREATE INDEX tasks_unfinished ON tasks (id) WHERE finished IS NULL;

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER media_counted AFTER INSERT ON media BEGIN
    INSERT INTO origin_usage (origin, files, bytes)
    SELECT NEW.origin, 1, size FROM blobs WHERE id = NEW.blob
    ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
    INSERT INTO user_usage (server, user, files, bytes)
    SELECT substr(NEW.uploader, instr(NEW.uploader, ':') + 1), NEW.uploader, 1, size
    FROM blobs WHERE id = NEW.blob AND NEW.uploader IS NOT NULL
    ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER media_discounted AFTER DELETE ON media BEGIN
    UPDATE origin_usage
    SET files = files - 1, bytes = bytes - (SELECT size FROM blobs WHERE id = OLD.blob)
    WHERE origin = OLD.origin;
    DELETE FROM origin_usage WHERE origin = OLD.origin AND files = 0;
    UPDATE user_usage
    SET files = files - 1, bytes = bytes - (SELECT size FROM blobs WHERE id = OLD.blob)
    WHERE server = substr(OLD.uploader, instr(OLD.uploader, ':') + 1) AND user = OLD.uploader;
    DELETE FROM user_usage
    WHERE server = substr(OLD.uploader, instr(OLD.uploader, ':') + 1) AND user = OLD.uploader AND files = 0;
END;

CREATE TRIGGER blob_counted AFTER INSERT ON blobs BEGIN
    INSERT INTO datastore_usage (datastore, blobs, bytes) VALUES (NEW.datastore, 1, NEW.size)
    ON CONFLICT DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER blob_discounted AFTER DELETE ON blobs BEGIN
    UPDATE datastore_usage SET blobs = blobs - 1, bytes = bytes - OLD.size WHERE datastore = OLD.datastore;
    DELETE FROM datastore_usage WHERE datastore = OLD.datastore AND blobs = 0;
END;

CREATE TRIGGER blob_moved AFTER UPDATE OF datastore ON blobs WHEN NEW.datastore <> OLD.datastore BEGIN
    UPDATE datastore_usage SET blobs = blobs - 1, bytes = bytes - OLD.size WHERE datastore = OLD.datastore;
    DELETE FROM datastore_usage WHERE datastore = OLD.datastore AND blobs = 0;
    INSERT INTO datastore_usage (datastore, blobs, bytes) VALUES (NEW.datastore, 1, NEW.size)
    ON CONFLICT DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;

-- The fields that sums and references hang on never change.
CREATE TRIGGER blob_size_fixed BEFORE UPDATE OF hash, size ON blobs BEGIN
    SELECT RAISE(ABORT, 'hash and size of a blob never change');
END;

CREATE TRIGGER media_blob_fixed BEFORE UPDATE OF blob, origin, uploader ON media BEGIN
    SELECT RAISE(ABORT, 'blob, origin and uploader of media never change');
END;
