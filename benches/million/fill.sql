-- A million media in a year, made by arithmetic and MD5 alone: every run makes the same rows. Triggers and foreign keys
-- rest meanwhile, and indexes that no constraint needs are made at the end, for it to take less than a minute; so are the
-- sums that triggers keep.
--
-- 1 100 000 blobs: 800 000 of media, 300 000 of thumbnails; 400 B to 9 MB, half of them below 60 kB; one in twenty in `archive`, a
--   third in `cold`, thumbnails in a datastore of their own. Two fifths were never read again.
-- 1 000 000 media: 40 % local, by 20 000 users, half of whom have about ten while the first has 15 000; the rest of 5000
--   servers, as skewed. 200 000 of them have bytes that others have, too, a few blobs most of all. One in fifty expires, one in a
--   thousand is pinned, one in two thousand is in quarantine.
-- 300 000 thumbnails, two each of 150 000 blobs; 20 000 reservations, one in twenty still good; 50 000 objects to delete;
--   100 000 previews; 100 000 tasks, all but three of them finished; 1000 exports of ten parts; 16 384 signals.

SET session_replication_role = replica;
SET synchronous_commit = off;

CREATE TEMPORARY TABLE later AS
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = 'mmr'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid);
DO $$
DECLARE
    v_index record;
BEGIN
    FOR v_index IN SELECT name FROM pg_temp.later LOOP
        EXECUTE 'DROP INDEX ' || v_index.name;
    END LOOP;
END $$;

-- The i-th number in [0, 1) that a digest is good for; there are five.
CREATE FUNCTION pg_temp.u(digest text, i integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT ('x' || substr(digest, 1 + 6 * i, 6))::bit(24)::integer / 16777216.0::double precision $$;

INSERT INTO mmr.blobs (id, hash, checksum, size, datastore, key, last_read) OVERRIDING SYSTEM VALUE
SELECT n, sha256(('b' || n)::bytea), sha256(('c' || n)::bytea), exp(6 + 10 * pg_temp.u(d, 0))::bigint,
    CASE
        WHEN n > 800000 THEN 'thumbnails'
        WHEN pg_temp.u(d, 1) < 0.05 THEN 'archive'
        WHEN pg_temp.u(d, 1) < 0.38 THEN 'cold'
        ELSE 'main'
    END,
    substr(d, 1, 2) || '/' || substr(d, 3),
    CASE
        WHEN pg_temp.u(d, 2) < 0.4 THEN 0
        ELSE 1700000000000 + (31536000000 * pg_temp.u(d, 3))::bigint
    END
FROM (SELECT n, md5(n::text) AS d FROM generate_series(1, 1100000) n) blob;

INSERT INTO mmr.media (id, origin, media_id, blob, content_type, file_name, uploader, created, requires_auth,
    expires, pinned, quarantined_at, quarantined_by) OVERRIDING SYSTEM VALUE
SELECT n,
    CASE
        WHEN pg_temp.u(d, 0) < 0.4 THEN 'example.org'
        ELSE 's' || floor(5000 * power(pg_temp.u(d, 1), 4)) || '.example.net'
    END,
    d,
    CASE WHEN n <= 800000 THEN n ELSE 1 + floor(800000 * power(pg_temp.u(d, 2), 3)) END,
    (ARRAY['image/jpeg', 'image/png', 'video/mp4', 'application/octet-stream'])[1 + n % 4],
    CASE WHEN n % 3 = 0 THEN 'picture ' || n || '.png' END,
    CASE
        WHEN pg_temp.u(d, 0) < 0.4 THEN '@u' || floor(20000 * power(pg_temp.u(d, 1), 3)) || ':example.org'
    END,
    1700000000000 + n * 31536,
    true,
    CASE WHEN pg_temp.u(d, 3) < 0.02 THEN 1700000000000 + n * 31536 + 2592000000 END,
    n % 1000 = 0,
    CASE WHEN pg_temp.u(d, 4) < 0.0005 THEN 1731536000000 END,
    CASE WHEN pg_temp.u(d, 4) < 0.0005 THEN '@moderator:example.org' END
FROM (SELECT n, md5('m' || n) AS d FROM generate_series(1, 1000000::bigint) n) media;

INSERT INTO mmr.thumbnails (source, spec_width, spec_height, method, variant, blob, content_type, width, height, created)
SELECT n, 32, 32, 'crop', 'still', 800000 + n, 'image/jpeg', 32, 32, 1700000000000 + n * 31536 + 60000
FROM generate_series(1, 150000::bigint) n
UNION ALL
SELECT n, 640, 480, 'scale', 'still', 950000 + n, 'image/jpeg', 640, 480, 1700000000000 + n * 31536 + 120000
FROM generate_series(1, 150000::bigint) n;

INSERT INTO mmr.reservations (origin, media_id, owner, created, expires)
SELECT 'example.org', 'reserved' || n, '@u' || floor(20000 * power(pg_temp.u(md5('r' || n), 0), 3)) || ':example.org',
    1731536000000 - n * 4320, 1731536000000 - n * 4320 + 4320000
FROM generate_series(1, 20000::bigint) n;

INSERT INTO mmr.garbage (datastore, key, since)
SELECT CASE WHEN n % 2 = 0 THEN 'cold' ELSE 'main' END, 'gone/' || md5('g' || n), 1731536000000 - n * 1000
FROM generate_series(1, 50000::bigint) n;

INSERT INTO mmr.previews (page, url, language, taken, answer, failure)
SELECT sha256(('p' || n)::bytea), 'https://example.com/' || n, '', 1700000000000 + n * 315360, '{"og:title": "x"}', NULL
FROM generate_series(1, 100000::bigint) n;

INSERT INTO mmr.tasks (name, params, created, not_before, finished)
SELECT 'transfer', '{}', n, n, CASE WHEN n <= 99997 THEN n + 1 END FROM generate_series(1, 100000::bigint) n;

INSERT INTO mmr.exports (id, entity, created) SELECT 'e' || n, '@u' || n || ':example.org', n FROM generate_series(1, 1000) n;
INSERT INTO mmr.export_parts (export, number, name, blob)
SELECT 'e' || n, part, 'part', n * 10 + part FROM generate_series(1, 1000) n, generate_series(1, 10) part;
INSERT INTO mmr.leases (name, holder, held_until) SELECT 'lease' || n, 'node', n FROM generate_series(1, 5) n;
INSERT INTO mmr.signals (id, payload) SELECT n, 'x' FROM generate_series(1, 16384) n;

INSERT INTO mmr.user_usage (server, user_id, shard, files, bytes)
SELECT mmr.server_of(m.uploader), m.uploader, m.id % 16, count(*), sum(b.size)
FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob WHERE m.uploader IS NOT NULL GROUP BY 2, 3;
INSERT INTO mmr.origin_usage (origin, shard, files, bytes)
SELECT m.origin, m.id % 16, count(*), sum(b.size)
FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob GROUP BY 1, 2;
INSERT INTO mmr.datastore_usage (datastore, shard, blobs, bytes)
SELECT datastore, id % 16, count(*), sum(size) FROM mmr.blobs GROUP BY 1, 2;

DO $$
DECLARE
    v_index record;
BEGIN
    FOR v_index IN SELECT definition FROM pg_temp.later LOOP
        EXECUTE v_index.definition;
    END LOOP;
END $$;

SELECT setval(pg_get_serial_sequence('mmr.' || name, 'id'), 2000000)
FROM unnest(ARRAY['blobs', 'media', 'tasks']) name;
RESET session_replication_role;
