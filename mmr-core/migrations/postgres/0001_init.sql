-- Everything lives in the schema `mmr`, and every name is qualified: the database may belong to other software.
-- Times are milliseconds since the Unix epoch. Text is compared by bytes. Sums are kept by triggers, so that no
-- statement can forget them. Functions run at READ COMMITTED: each statement inside sees what was committed before it.
--
-- Locks are taken in this order, so that nobody waits in a circle: name or export, user, blobs (by number), rows of
-- media, then sums: of servers, of users, of datastores.

-- Bytes, and where they lie. Everything below refers to blobs by number: it is a quarter of a hash.
CREATE TABLE mmr.blobs (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash      bytea  NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    checksum  bytea  CHECK (octet_length(checksum) = 32),
    size      bigint NOT NULL CHECK (size >= 0),
    datastore text   COLLATE "C" NOT NULL,
    key       text   COLLATE "C" NOT NULL,
    last_read bigint NOT NULL DEFAULT 0,
    CONSTRAINT blob_location UNIQUE (datastore, key)
);

-- Names for blobs.
CREATE TABLE mmr.media (
    id             bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin         text    COLLATE "C" NOT NULL,
    media_id       text    COLLATE "C" NOT NULL,
    blob           bigint  NOT NULL REFERENCES mmr.blobs (id),
    content_type   text    COLLATE "C" NOT NULL,
    file_name      text    COLLATE "C",
    uploader       text    COLLATE "C",
    created        bigint  NOT NULL,
    requires_auth  boolean NOT NULL,
    restriction    text    COLLATE "C",
    expires        bigint,
    pinned         boolean NOT NULL DEFAULT false,
    quarantined_at bigint,
    quarantined_by text    COLLATE "C",
    UNIQUE (origin, media_id)
);

CREATE INDEX media_by_blob ON mmr.media (blob, uploader, created);
CREATE INDEX media_by_origin ON mmr.media (origin, created);
CREATE INDEX media_by_uploader ON mmr.media (uploader, created) WHERE uploader IS NOT NULL;
CREATE INDEX media_by_created ON mmr.media (created, origin, media_id);
CREATE INDEX media_by_expires ON mmr.media (expires, created, origin, media_id) WHERE expires IS NOT NULL;
CREATE INDEX media_quarantined ON mmr.media (blob) WHERE quarantined_at IS NOT NULL;

-- Names handed out before their bytes. A name is in `media` or here, never in both: who adds one holds its lock.
CREATE TABLE mmr.reservations (
    origin   text   COLLATE "C" NOT NULL,
    media_id text   COLLATE "C" NOT NULL,
    owner    text   COLLATE "C" NOT NULL,
    created  bigint NOT NULL,
    expires  bigint NOT NULL,
    PRIMARY KEY (origin, media_id)
);

CREATE INDEX reservations_by_owner ON mmr.reservations (owner, expires);
CREATE INDEX reservations_by_expires ON mmr.reservations (expires, origin, media_id);

-- Thumbnails belong to the bytes of their source, and go with the last media that has those.
CREATE TABLE mmr.thumbnails (
    source       bigint  NOT NULL REFERENCES mmr.blobs (id),
    spec_width   bigint  NOT NULL,
    spec_height  bigint  NOT NULL,
    method       text    COLLATE "C" NOT NULL CHECK (method IN ('crop', 'scale')),
    variant      text    NOT NULL CHECK (variant IN ('still', 'webp', 'animated')),
    blob         bigint  NOT NULL REFERENCES mmr.blobs (id),
    content_type text    COLLATE "C" NOT NULL,
    width        bigint  NOT NULL,
    height       bigint  NOT NULL,
    created      bigint  NOT NULL,
    PRIMARY KEY (source, spec_width, spec_height, method, variant)
);

CREATE INDEX thumbnails_by_blob ON mmr.thumbnails (blob);
CREATE INDEX thumbnails_by_created ON mmr.thumbnails (created);

CREATE TABLE mmr.exports (
    id      text   COLLATE "C" NOT NULL PRIMARY KEY,
    entity  text   COLLATE "C" NOT NULL,
    created bigint NOT NULL
);

CREATE TABLE mmr.export_parts (
    export text   COLLATE "C" NOT NULL REFERENCES mmr.exports (id) ON DELETE CASCADE,
    number bigint NOT NULL,
    name   text   COLLATE "C" NOT NULL,
    blob   bigint NOT NULL REFERENCES mmr.blobs (id),
    PRIMARY KEY (export, number)
);

CREATE INDEX export_parts_by_blob ON mmr.export_parts (blob);

-- Objects to delete. A location is in `blobs` or here, never in both.
CREATE TABLE mmr.garbage (
    datastore text   COLLATE "C" NOT NULL,
    key       text   COLLATE "C" NOT NULL,
    since     bigint NOT NULL,
    PRIMARY KEY (datastore, key)
);

CREATE INDEX garbage_by_since ON mmr.garbage (since, datastore, key);

-- In several rows each, by the session that counts (`shard`), or all uploads of a homeserver, or of a bridge that is one
-- user, would wait for each other's commits. Only the sum over the shards means anything; one alone may be negative.
--
-- By the server of the user ID, which need not be the origin of the media.
CREATE TABLE mmr.user_usage (
    server   text    COLLATE "C" NOT NULL,
    user_id  text    COLLATE "C" NOT NULL,
    shard    integer NOT NULL,
    files    bigint  NOT NULL,
    bytes    bigint  NOT NULL,
    PRIMARY KEY (server, user_id, shard)
);

CREATE TABLE mmr.origin_usage (
    origin text    COLLATE "C" NOT NULL,
    shard  integer NOT NULL,
    files  bigint  NOT NULL,
    bytes  bigint  NOT NULL,
    PRIMARY KEY (origin, shard)
);

CREATE TABLE mmr.datastore_usage (
    datastore text    COLLATE "C" NOT NULL,
    shard     integer NOT NULL,
    blobs     bigint  NOT NULL,
    bytes     bigint  NOT NULL,
    PRIMARY KEY (datastore, shard)
);

-- `page` is the SHA-256 of URL and language, which can be too long for an index.
CREATE TABLE mmr.previews (
    page     bytea  NOT NULL CHECK (octet_length(page) = 32),
    url      text   COLLATE "C" NOT NULL,
    language text   COLLATE "C" NOT NULL,
    taken    bigint NOT NULL,
    answer   text   COLLATE "C",
    failure  text   COLLATE "C",
    PRIMARY KEY (page, taken),
    CHECK ((answer IS NULL) <> (failure IS NULL))
);

CREATE INDEX previews_by_taken ON mmr.previews (taken);

CREATE TABLE mmr.tasks (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text   COLLATE "C" NOT NULL,
    params     text   COLLATE "C" NOT NULL,
    progress   text   COLLATE "C" NOT NULL DEFAULT '',
    created    bigint NOT NULL,
    not_before bigint NOT NULL,
    attempts   bigint NOT NULL DEFAULT 0,
    holder     text   COLLATE "C",
    held_until bigint,
    finished   bigint,
    error      text   COLLATE "C"
);

CREATE INDEX tasks_unfinished ON mmr.tasks (id) WHERE finished IS NULL;

CREATE TABLE mmr.leases (
    name       text   COLLATE "C" NOT NULL PRIMARY KEY,
    holder     text   COLLATE "C" NOT NULL,
    held_until bigint NOT NULL
);

-- What nodes tell each other, numbered without gaps in the order of commits. The newest are kept for nodes that poll.
CREATE TABLE mmr.signals (
    id      bigint NOT NULL PRIMARY KEY,
    payload text   COLLATE "C" NOT NULL
);

CREATE FUNCTION mmr.shard() RETURNS integer LANGUAGE sql AS $$ SELECT pg_backend_pid() % 16 $$;

CREATE FUNCTION mmr.server_of(p_user text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT substr(p_user, strpos(p_user, ':') + 1) $$;

CREATE FUNCTION mmr.name_lock(p_origin text, p_media_id text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT hashtextextended(p_origin || '/' || p_media_id, 7001) $$;

-- Locks until the end of the transaction. Two that share a number merely wait for each other.
CREATE FUNCTION mmr.lock_name(p_origin text, p_media_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(mmr.name_lock(p_origin, p_media_id));
END $$;

CREATE FUNCTION mmr.lock_user(p_user text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_user, 7002));
END $$;

-- Sums -----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION mmr.count_media() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_size bigint;
BEGIN
    SELECT b.size INTO STRICT v_size FROM mmr.blobs b WHERE b.id = NEW.blob;
    INSERT INTO mmr.origin_usage AS u (origin, shard, files, bytes)
    VALUES (NEW.origin, mmr.shard(), 1, v_size)
    ON CONFLICT (origin, shard) DO UPDATE SET files = u.files + 1, bytes = u.bytes + excluded.bytes;
    IF NEW.uploader IS NOT NULL THEN
        INSERT INTO mmr.user_usage AS u (server, user_id, shard, files, bytes)
        VALUES (mmr.server_of(NEW.uploader), NEW.uploader, mmr.shard(), 1, v_size)
        ON CONFLICT (server, user_id, shard) DO UPDATE SET files = u.files + 1, bytes = u.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER media_counted AFTER INSERT ON mmr.media FOR EACH ROW EXECUTE FUNCTION mmr.count_media();

-- Row by row, for each to be reached by its key: nobody knows how much there is of what was just removed.
CREATE FUNCTION mmr.discount_media() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_sum record;
BEGIN
    FOR v_sum IN
        SELECT g.origin, count(*) AS files, sum(b.size)::bigint AS bytes
        FROM gone g JOIN mmr.blobs b ON b.id = g.blob GROUP BY g.origin ORDER BY g.origin
    LOOP
        INSERT INTO mmr.origin_usage AS u (origin, shard, files, bytes)
        VALUES (v_sum.origin, mmr.shard(), -v_sum.files, -v_sum.bytes)
        ON CONFLICT (origin, shard) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes;
        DELETE FROM mmr.origin_usage u
        WHERE u.origin = v_sum.origin AND u.shard = mmr.shard() AND u.files = 0 AND u.bytes = 0;
    END LOOP;
    FOR v_sum IN
        SELECT g.uploader, count(*) AS files, sum(b.size)::bigint AS bytes
        FROM gone g JOIN mmr.blobs b ON b.id = g.blob
        WHERE g.uploader IS NOT NULL GROUP BY g.uploader ORDER BY g.uploader
    LOOP
        INSERT INTO mmr.user_usage AS u (server, user_id, shard, files, bytes)
        VALUES (mmr.server_of(v_sum.uploader), v_sum.uploader, mmr.shard(), -v_sum.files, -v_sum.bytes)
        ON CONFLICT (server, user_id, shard) DO UPDATE
        SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes;
        DELETE FROM mmr.user_usage u
        WHERE u.server = mmr.server_of(v_sum.uploader) AND u.user_id = v_sum.uploader AND u.shard = mmr.shard()
            AND u.files = 0 AND u.bytes = 0;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER media_discounted AFTER DELETE ON mmr.media REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION mmr.discount_media();

CREATE FUNCTION mmr.count_in_datastore(p_datastore text, p_blobs bigint, p_bytes bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mmr.datastore_usage AS u (datastore, shard, blobs, bytes)
    VALUES (p_datastore, mmr.shard(), p_blobs, p_bytes)
    ON CONFLICT (datastore, shard) DO UPDATE SET blobs = u.blobs + excluded.blobs, bytes = u.bytes + excluded.bytes;
END $$;

CREATE FUNCTION mmr.count_blob() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mmr.count_in_datastore(NEW.datastore, 1, NEW.size);
    RETURN NULL;
END $$;

-- At the end of the transaction, because sums of datastores are locked last.
CREATE CONSTRAINT TRIGGER blob_counted AFTER INSERT ON mmr.blobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION mmr.count_blob();

CREATE FUNCTION mmr.discount_blobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mmr.datastore_usage AS u (datastore, shard, blobs, bytes)
    SELECT g.datastore, mmr.shard(), -count(*), -sum(g.size)::bigint
    FROM gone g GROUP BY g.datastore ORDER BY g.datastore
    ON CONFLICT (datastore, shard) DO UPDATE SET blobs = u.blobs + excluded.blobs, bytes = u.bytes + excluded.bytes;
    RETURN NULL;
END $$;

CREATE TRIGGER blobs_discounted AFTER DELETE ON mmr.blobs REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION mmr.discount_blobs();

CREATE FUNCTION mmr.count_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mmr.count_in_datastore(least(OLD.datastore, NEW.datastore),
        CASE WHEN OLD.datastore < NEW.datastore THEN -1 ELSE 1 END,
        CASE WHEN OLD.datastore < NEW.datastore THEN -OLD.size ELSE OLD.size END);
    PERFORM mmr.count_in_datastore(greatest(OLD.datastore, NEW.datastore),
        CASE WHEN OLD.datastore < NEW.datastore THEN 1 ELSE -1 END,
        CASE WHEN OLD.datastore < NEW.datastore THEN OLD.size ELSE -OLD.size END);
    RETURN NULL;
END $$;

CREATE TRIGGER blob_moved AFTER UPDATE OF datastore ON mmr.blobs FOR EACH ROW
WHEN (OLD.datastore <> NEW.datastore) EXECUTE FUNCTION mmr.count_move();

-- The fields that sums and references hang on never change.
CREATE FUNCTION mmr.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'these columns of % never change', TG_TABLE_NAME;
END $$;

CREATE TRIGGER blob_size_fixed BEFORE UPDATE OF hash, size ON mmr.blobs
FOR EACH ROW EXECUTE FUNCTION mmr.refuse_change();
CREATE TRIGGER media_blob_fixed BEFORE UPDATE OF blob, origin, uploader ON mmr.media
FOR EACH ROW EXECUTE FUNCTION mmr.refuse_change();

-- Adding references ----------------------------------------------------------------------------------------------------

-- Records media. The checks stand in the order that the insert promises. FOR SHARE on the blob keeps a sweep from
-- removing it and a verdict from being imposed on it until this transaction has ended.
CREATE FUNCTION mmr.insert_media(
    p_origin text, p_media_id text, p_hash bytea, p_store boolean, p_checksum bytea, p_size bigint, p_datastore text,
    p_key text, p_content_type text, p_file_name text, p_uploader text, p_created bigint, p_requires_auth boolean,
    p_restriction text, p_expires bigint, p_fills boolean, p_max_bytes bigint, p_max_files bigint,
    OUT o_outcome text, OUT o_datastore text, OUT o_key text
) LANGUAGE plpgsql AS $$
DECLARE
    v_owner    text;
    v_until    bigint;
    v_reserved boolean;
    v_taken    boolean;
    v_blob     bigint;
    v_size     bigint;
    v_files    bigint := 0;
    v_bytes    bigint := 0;
    v_capped   boolean := p_uploader IS NOT NULL AND (p_max_bytes IS NOT NULL OR p_max_files IS NOT NULL);
BEGIN
    PERFORM mmr.lock_name(p_origin, p_media_id);
    IF p_fills THEN
        SELECT r.owner, r.expires INTO v_owner, v_until FROM mmr.reservations r
        WHERE r.origin = p_origin AND r.media_id = p_media_id FOR UPDATE;
        v_reserved := FOUND;
    END IF;
    SELECT EXISTS (SELECT FROM mmr.media m WHERE m.origin = p_origin AND m.media_id = p_media_id)
        OR NOT p_fills
        AND EXISTS (SELECT FROM mmr.reservations r WHERE r.origin = p_origin AND r.media_id = p_media_id) INTO v_taken;
    IF v_taken THEN
        o_outcome := 'taken';
        RETURN;
    END IF;
    IF p_fills AND (NOT v_reserved OR v_owner IS DISTINCT FROM p_uploader OR v_until < p_created) THEN
        o_outcome := 'not_reserved';
        RETURN;
    END IF;
    IF v_capped THEN
        PERFORM mmr.lock_user(p_uploader);
    END IF;
    LOOP
        SELECT b.id, b.size, b.datastore, b.key INTO v_blob, v_size, o_datastore, o_key
        FROM mmr.blobs b WHERE b.hash = p_hash FOR SHARE;
        IF FOUND THEN
            o_outcome := 'linked';
            PERFORM 1 FROM mmr.media m WHERE m.blob = v_blob AND m.quarantined_at IS NOT NULL LIMIT 1;
            IF FOUND THEN
                o_outcome := 'quarantined';
                RETURN;
            END IF;
        ELSIF p_store THEN
            o_outcome := 'stored';
            v_size := p_size;
        ELSE
            o_outcome := 'gone';
            RETURN;
        END IF;
        IF v_capped THEN
            SELECT sum(u.files), sum(u.bytes) INTO v_files, v_bytes FROM mmr.user_usage u
            WHERE u.server = mmr.server_of(p_uploader) AND u.user_id = p_uploader;
            IF coalesce(v_files, 0) + 1 > p_max_files OR coalesce(v_bytes, 0) > p_max_bytes - v_size THEN
                o_outcome := 'quota';
                RETURN;
            END IF;
        END IF;
        EXIT WHEN o_outcome = 'linked';
        v_blob := mmr.store_blob(p_hash, p_checksum, p_size, p_datastore, p_key);
        EXIT WHEN v_blob IS NOT NULL;
    END LOOP;
    IF p_fills THEN
        DELETE FROM mmr.reservations r WHERE r.origin = p_origin AND r.media_id = p_media_id;
    END IF;
    INSERT INTO mmr.media (origin, media_id, blob, content_type, file_name, uploader, created, requires_auth,
        restriction, expires)
    VALUES (p_origin, p_media_id, v_blob, p_content_type, p_file_name, p_uploader, p_created, p_requires_auth,
        p_restriction, p_expires);
END $$;

-- Records several media of which nobody has heard yet: names that are free, bytes that are new, no reservation, no quota.
-- Answers which of them were plain like that, counted from 1; about the others nothing is said or done.
--
-- In the order of their hashes, so that two calls with the same bytes do not wait in a circle, and with all bytes in one
-- datastore, whose sum is locked last. Whoever waits for another's lock fails soon, and all of them are then recorded alone.
-- Planning would take longer than it does, and what is best does not depend on the parameters.
CREATE FUNCTION mmr.insert_plain_media(
    p_origins text[], p_media_ids text[], p_hashes bytea[], p_checksums bytea[], p_sizes bigint[], p_datastore text,
    p_keys text[], p_content_types text[], p_file_names text[], p_uploaders text[], p_created bigint[],
    p_requires_auth boolean[]
) RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET lock_timeout = '200ms' AS $$
DECLARE
    v_recorded bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(l.lock) FROM (
        SELECT DISTINCT mmr.name_lock(n.origin, n.media_id) AS lock
        FROM unnest(p_origins, p_media_ids) n (origin, media_id) ORDER BY 1
    ) l;
    WITH given AS MATERIALIZED (
        SELECT DISTINCT ON (n.hash) n.*
        FROM unnest(p_origins, p_media_ids, p_hashes, p_checksums, p_sizes, p_keys, p_content_types, p_file_names,
            p_uploaders, p_created, p_requires_auth) WITH ORDINALITY
            n (origin, media_id, hash, checksum, size, key, content_type, file_name, uploader, created, requires_auth,
                number)
        WHERE NOT EXISTS (SELECT FROM mmr.media m WHERE m.origin = n.origin AND m.media_id = n.media_id)
            AND NOT EXISTS (SELECT FROM mmr.reservations r WHERE r.origin = n.origin AND r.media_id = n.media_id)
        ORDER BY n.hash, n.number
    ), stored AS (
        INSERT INTO mmr.blobs (hash, checksum, size, datastore, key)
        SELECT g.hash, g.checksum, g.size, p_datastore, g.key FROM given g ORDER BY g.hash
        ON CONFLICT (hash) DO NOTHING RETURNING id, hash
    ), plain AS MATERIALIZED (
        SELECT g.*, s.id AS blob FROM stored s JOIN given g ON g.hash = s.hash
    ), kept AS (
        DELETE FROM mmr.garbage g USING plain p WHERE g.datastore = p_datastore AND g.key = p.key
    ), recorded AS (
        INSERT INTO mmr.media (origin, media_id, blob, content_type, file_name, uploader, created, requires_auth)
        SELECT p.origin, p.media_id, p.blob, p.content_type, p.file_name, p.uploader, p.created, p.requires_auth
        FROM plain p ORDER BY p.origin, p.uploader
    )
    SELECT array_agg(p.number) INTO v_recorded FROM plain p;
    RETURN coalesce(v_recorded, '{}');
END $$;

-- Null when the same bytes were stored in the meantime: look again.
CREATE FUNCTION mmr.store_blob(p_hash bytea, p_checksum bytea, p_size bigint, p_datastore text, p_key text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_blob bigint;
BEGIN
    INSERT INTO mmr.blobs (hash, checksum, size, datastore, key)
    VALUES (p_hash, p_checksum, p_size, p_datastore, p_key)
    ON CONFLICT (hash) DO NOTHING RETURNING id INTO v_blob;
    IF v_blob IS NOT NULL THEN
        DELETE FROM mmr.garbage g WHERE g.datastore = p_datastore AND g.key = p_key;
    END IF;
    RETURN v_blob;
END $$;

-- Makes sure that the blob is there, for a reference that the caller adds next.
CREATE FUNCTION mmr.admit(
    p_hash bytea, p_store boolean, p_checksum bytea, p_size bigint, p_datastore text, p_key text,
    OUT o_blob bigint, OUT o_outcome text, OUT o_datastore text, OUT o_key text
) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        SELECT b.id, b.datastore, b.key INTO o_blob, o_datastore, o_key
        FROM mmr.blobs b WHERE b.hash = p_hash FOR SHARE;
        IF FOUND THEN
            o_outcome := 'linked';
            RETURN;
        ELSIF NOT p_store THEN
            o_outcome := 'gone';
            RETURN;
        END IF;
        o_blob := mmr.store_blob(p_hash, p_checksum, p_size, p_datastore, p_key);
        IF o_blob IS NOT NULL THEN
            o_outcome := 'stored';
            RETURN;
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION mmr.insert_thumbnail(
    p_source bytea, p_spec_width bigint, p_spec_height bigint, p_method text, p_variant text,
    p_hash bytea, p_store boolean, p_checksum bytea, p_size bigint, p_datastore text, p_key text,
    p_content_type text, p_width bigint, p_height bigint, p_created bigint,
    OUT o_outcome text, OUT o_datastore text, OUT o_key text
) LANGUAGE plpgsql AS $$
DECLARE
    v_source bigint;
    v_blob   bigint;
BEGIN
    -- One at a time for each request: whoever comes second finds it taken before it stores anything.
    PERFORM pg_advisory_xact_lock(hashtextextended(
        format('%s %s %s %s %s', p_source, p_spec_width, p_spec_height, p_method, p_variant), 7003));
    PERFORM 1 FROM mmr.blobs b WHERE b.hash IN (p_source, p_hash) ORDER BY b.id FOR SHARE;
    SELECT b.id INTO v_source FROM mmr.blobs b WHERE b.hash = p_source FOR SHARE;
    PERFORM 1 FROM mmr.media m WHERE m.blob = v_source LIMIT 1;
    IF NOT FOUND THEN
        o_outcome := 'gone';
        RETURN;
    END IF;
    PERFORM 1 FROM mmr.thumbnails t WHERE t.source = v_source AND t.spec_width = p_spec_width
        AND t.spec_height = p_spec_height AND t.method = p_method AND t.variant = p_variant;
    IF FOUND THEN
        o_outcome := 'taken';
        RETURN;
    END IF;
    SELECT a.o_blob, a.o_outcome, a.o_datastore, a.o_key INTO v_blob, o_outcome, o_datastore, o_key
    FROM mmr.admit(p_hash, p_store, p_checksum, p_size, p_datastore, p_key) a;
    IF v_blob IS NOT NULL THEN
        INSERT INTO mmr.thumbnails (source, spec_width, spec_height, method, variant, blob, content_type, width,
            height, created)
        VALUES (v_source, p_spec_width, p_spec_height, p_method, p_variant, v_blob, p_content_type, p_width,
            p_height, p_created);
    END IF;
END $$;

CREATE FUNCTION mmr.add_part(
    p_export text, p_number bigint, p_name text,
    p_hash bytea, p_store boolean, p_checksum bytea, p_size bigint, p_datastore text, p_key text,
    OUT o_outcome text, OUT o_datastore text, OUT o_key text
) LANGUAGE plpgsql AS $$
DECLARE
    v_blob bigint;
BEGIN
    PERFORM 1 FROM mmr.exports e WHERE e.id = p_export FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        o_outcome := 'gone';
        RETURN;
    END IF;
    PERFORM 1 FROM mmr.export_parts p WHERE p.export = p_export AND p.number = p_number;
    IF FOUND THEN
        o_outcome := 'taken';
        RETURN;
    END IF;
    SELECT a.o_blob, a.o_outcome, a.o_datastore, a.o_key INTO v_blob, o_outcome, o_datastore, o_key
    FROM mmr.admit(p_hash, p_store, p_checksum, p_size, p_datastore, p_key) a;
    IF v_blob IS NOT NULL THEN
        INSERT INTO mmr.export_parts (export, number, name, blob) VALUES (p_export, p_number, p_name, v_blob);
    END IF;
END $$;

CREATE FUNCTION mmr.reserve(
    p_origin text, p_media_id text, p_owner text, p_created bigint, p_expires bigint, p_max_pending bigint
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mmr.lock_name(p_origin, p_media_id);
    PERFORM 1 FROM mmr.media m WHERE m.origin = p_origin AND m.media_id = p_media_id;
    IF FOUND THEN
        RETURN 'taken';
    END IF;
    PERFORM 1 FROM mmr.reservations r WHERE r.origin = p_origin AND r.media_id = p_media_id;
    IF FOUND THEN
        RETURN 'taken';
    END IF;
    IF p_max_pending IS NOT NULL THEN
        PERFORM mmr.lock_user(p_owner);
        IF (SELECT count(*) FROM mmr.reservations r WHERE r.owner = p_owner AND r.expires >= p_created)
            >= p_max_pending THEN
            RETURN 'too_many';
        END IF;
    END IF;
    INSERT INTO mmr.reservations (origin, media_id, owner, created, expires)
    VALUES (p_origin, p_media_id, p_owner, p_created, p_expires);
    RETURN 'reserved';
END $$;

-- Removing references --------------------------------------------------------------------------------------------------

-- Nobody adds or removes a reference to these blobs, or to their thumbnails' blobs, until the transaction has ended.
CREATE FUNCTION mmr.lock_blobs(p_blobs bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM mmr.blobs b
    WHERE b.id = ANY (p_blobs || ARRAY(SELECT t.blob FROM mmr.thumbnails t WHERE t.source = ANY (p_blobs)))
    ORDER BY b.id FOR UPDATE;
END $$;

-- Looks after blobs that have just lost a reference: drops thumbnails of those that no media has any more, then blobs
-- that nothing refers to. Answers number and total size of the dropped blobs.
CREATE FUNCTION mmr.sweep(p_suspects bigint[], p_now bigint, OUT o_blobs bigint, OUT o_bytes bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_orphans bigint[];
BEGIN
    WITH gone AS (
        DELETE FROM mmr.thumbnails t
        WHERE t.source = ANY (p_suspects) AND NOT EXISTS (SELECT FROM mmr.media m WHERE m.blob = t.source)
        RETURNING t.blob
    )
    SELECT p_suspects || coalesce(array_agg(g.blob), '{}') INTO v_orphans FROM gone g;
    -- Thumbnails that came before the locks are not locked yet.
    PERFORM 1 FROM mmr.blobs b WHERE b.id = ANY (v_orphans) ORDER BY b.id FOR UPDATE;
    WITH gone AS (
        DELETE FROM mmr.blobs b
        WHERE b.id = ANY (v_orphans)
            AND NOT EXISTS (SELECT FROM mmr.media m WHERE m.blob = b.id)
            AND NOT EXISTS (SELECT FROM mmr.thumbnails t WHERE t.blob = b.id)
            AND NOT EXISTS (SELECT FROM mmr.export_parts p WHERE p.blob = b.id)
        RETURNING b.datastore, b.key, b.size
    ), listed AS (
        INSERT INTO mmr.garbage (datastore, key, since)
        SELECT g.datastore, g.key, p_now FROM gone g
        ON CONFLICT (datastore, key) DO UPDATE SET since = excluded.since
    )
    SELECT count(*), coalesce(sum(g.size), 0)::bigint INTO o_blobs, o_bytes FROM gone g;
END $$;

-- Removes media as it was seen: rows that have changed since (`xmin`) are spared, for the caller to look again.
CREATE FUNCTION mmr.drop_media(
    p_ids bigint[], p_versions bigint[], p_blobs bigint[], p_now bigint,
    OUT o_ids bigint[], OUT o_blobs bigint, OUT o_bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_suspects bigint[];
BEGIN
    IF p_ids IS NULL THEN
        o_blobs := 0;
        o_bytes := 0;
        RETURN;
    END IF;
    PERFORM mmr.lock_blobs(p_blobs);
    WITH gone AS (
        DELETE FROM mmr.media m USING unnest(p_ids, p_versions) AS seen (id, version)
        WHERE m.id = seen.id AND m.xmin::text::bigint = seen.version
        RETURNING m.id, m.blob
    )
    SELECT array_agg(g.id), array_agg(DISTINCT g.blob) INTO o_ids, v_suspects FROM gone g;
    SELECT s.o_blobs, s.o_bytes INTO o_blobs, o_bytes FROM mmr.sweep(coalesce(v_suspects, '{}'), p_now) s;
END $$;

CREATE FUNCTION mmr.drop_thumbnails(
    p_sources bigint[], p_widths bigint[], p_heights bigint[], p_methods text[], p_variants text[],
    p_blobs bigint[], p_before bigint, p_now bigint, OUT o_blobs bigint, OUT o_bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_suspects bigint[];
BEGIN
    PERFORM mmr.lock_blobs(coalesce(p_blobs, '{}'));
    WITH gone AS (
        DELETE FROM mmr.thumbnails t
        USING unnest(p_sources, p_widths, p_heights, p_methods, p_variants) AS seen (source, width, height, method, variant)
        WHERE t.source = seen.source AND t.spec_width = seen.width AND t.spec_height = seen.height
            AND t.method = seen.method AND t.variant = seen.variant AND t.created < p_before
        RETURNING t.blob
    )
    SELECT array_agg(DISTINCT g.blob) INTO v_suspects FROM gone g;
    SELECT s.o_blobs, s.o_bytes INTO o_blobs, o_bytes FROM mmr.sweep(coalesce(v_suspects, '{}'), p_now) s;
END $$;

CREATE FUNCTION mmr.remove_export(p_export text, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_suspects bigint[];
BEGIN
    PERFORM 1 FROM mmr.exports e WHERE e.id = p_export FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT array_agg(DISTINCT p.blob) INTO v_suspects FROM mmr.export_parts p WHERE p.export = p_export;
    PERFORM mmr.lock_blobs(coalesce(v_suspects, '{}'));
    DELETE FROM mmr.export_parts p WHERE p.export = p_export;
    DELETE FROM mmr.exports e WHERE e.id = p_export;
    PERFORM mmr.sweep(coalesce(v_suspects, '{}'), p_now);
    RETURN true;
END $$;

CREATE FUNCTION mmr.relocate(
    p_hash bytea, p_from_datastore text, p_from_key text, p_to_datastore text, p_to_key text, p_now bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM mmr.blobs b
    WHERE b.hash = p_hash AND b.datastore = p_from_datastore AND b.key = p_from_key FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_from_datastore = p_to_datastore AND p_from_key = p_to_key THEN
        RETURN true;
    END IF;
    UPDATE mmr.blobs b SET datastore = p_to_datastore, key = p_to_key WHERE b.hash = p_hash;
    DELETE FROM mmr.garbage g WHERE g.datastore = p_to_datastore AND g.key = p_to_key;
    INSERT INTO mmr.garbage (datastore, key, since) VALUES (p_from_datastore, p_from_key, p_now)
    ON CONFLICT (datastore, key) DO UPDATE SET since = excluded.since;
    RETURN true;
END $$;

CREATE FUNCTION mmr.touch(p_hashes bytea[], p_times bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids   bigint[];
    v_times bigint[];
BEGIN
    SELECT array_agg(found.id), array_agg(found.at) INTO v_ids, v_times FROM (
        SELECT b.id, seen.at
        FROM (SELECT s.hash, max(s.at) AS at FROM unnest(p_hashes, p_times) AS s (hash, at) GROUP BY s.hash) seen
        JOIN mmr.blobs b ON b.hash = seen.hash
        WHERE b.last_read < seen.at ORDER BY b.id FOR NO KEY UPDATE OF b
    ) found;
    UPDATE mmr.blobs b SET last_read = seen.at FROM unnest(v_ids, v_times) AS seen (id, at)
    WHERE b.id = seen.id AND b.last_read < seen.at;
END $$;

-- Moderation -----------------------------------------------------------------------------------------------------------

-- The lock on the blobs waits for whoever adds media with them, and keeps others from doing so.
CREATE FUNCTION mmr.impose_quarantine(p_blobs bigint[], p_at bigint, p_by text, p_origins text[])
RETURNS TABLE (o_origin text, o_media_id text) LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
BEGIN
    PERFORM 1 FROM mmr.blobs b WHERE b.id = ANY (p_blobs) ORDER BY b.id FOR NO KEY UPDATE;
    v_ids := ARRAY(
        SELECT m.id FROM mmr.media m
        WHERE m.blob = ANY (p_blobs) AND m.quarantined_at IS NULL AND NOT m.pinned
            AND (p_origins IS NULL OR m.origin = ANY (p_origins))
        ORDER BY m.id FOR NO KEY UPDATE
    );
    RETURN QUERY
        UPDATE mmr.media m SET quarantined_at = p_at, quarantined_by = p_by WHERE m.id = ANY (v_ids)
        RETURNING m.origin, m.media_id;
END $$;

CREATE FUNCTION mmr.lift_quarantine(p_ids bigint[])
RETURNS TABLE (o_origin text, o_media_id text) LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
BEGIN
    v_ids := ARRAY(
        SELECT m.id FROM mmr.media m WHERE m.id = ANY (p_ids) AND m.quarantined_at IS NOT NULL
        ORDER BY m.id FOR NO KEY UPDATE
    );
    RETURN QUERY
        UPDATE mmr.media m SET quarantined_at = NULL, quarantined_by = NULL WHERE m.id = ANY (v_ids)
        RETURNING m.origin, m.media_id;
END $$;

-- Signals --------------------------------------------------------------------------------------------------------------

-- One at a time, so that numbers become visible in order. They need not survive a crash: everybody loses the connection
-- then, and trusts nothing.
CREATE FUNCTION mmr.publish(p_payload text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('signals', 7004));
    SELECT coalesce(max(s.id), 0) + 1 INTO v_id FROM mmr.signals s;
    INSERT INTO mmr.signals (id, payload) VALUES (v_id, p_payload);
    IF v_id % 1024 = 0 THEN
        DELETE FROM mmr.signals s WHERE s.id <= v_id - 16384;
    END IF;
    -- A notification holds 8000 bytes.
    PERFORM pg_notify('mmr_signals', v_id || CASE WHEN octet_length(p_payload) < 4000 THEN ' ' || p_payload ELSE '' END);
    RETURN v_id;
END $$;

-- Statistics -----------------------------------------------------------------------------------------------------------

-- The planner takes a table without statistics for a tiny one, of which it may as well read the whole index by the origin.
-- Autovacuum comes by once a minute at best: too late for an import into an empty database.
CREATE FUNCTION mmr.analyze_grown() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_table text;
BEGIN
    FOR v_table IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'mmr'::regnamespace AND c.relkind = 'r' AND c.reltuples < 1000
            AND pg_relation_size(c.oid) > 32 * 8192
        ORDER BY c.relname
    LOOP
        EXECUTE format('ANALYZE (SKIP_LOCKED) mmr.%I', v_table);
    END LOOP;
END $$;
