"""Media between homeservers over TLS: Synapse to mmr, mmr to Synapse, and mmr to mmr."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
from pathlib import Path

import pytest
import requests
import yaml

from harness import paths
from harness.federation import Federation, Site
from harness.http import MatrixHttp, Mxc, assert_error, describe
from harness.media import noise, photo, picture_size
from harness.mmr import OPERATOR
from harness.origin import SlowOrigin

pytestmark = pytest.mark.mmr_only("federation is tried between mmr and Synapse anyway")

FEDERATION = "/_matrix/federation/v1/media"


@pytest.fixture(params=["synapse to mmr", "mmr to synapse", "mmr to mmr"])
def sites(request: pytest.FixtureRequest, federation: Federation) -> tuple[Site, Site]:
    """Where media is uploaded, and where somebody else wants it."""
    return {
        "synapse to mmr": (federation.synapse, federation.alpha),
        "mmr to synapse": (federation.alpha, federation.synapse),
        "mmr to mmr": (federation.alpha, federation.beta),
    }[request.param]


def test_media_arrives_byte_for_byte_with_its_type_and_name(sites: tuple[Site, Site]) -> None:
    origin, reader = sites
    data = noise(3_000_000, seed=201)
    mxc = origin.user().uploaded(data, "video/webm", params={"filename": "ein Film für dich.webm"})
    answer = reader.user().download(mxc)
    assert answer.status_code == 200, describe(answer)
    assert answer.content == data
    assert answer.headers["Content-Type"] == "video/webm"
    name = answer.headers["Content-Disposition"]
    assert "ein%20Film%20f%C3%BCr%20dich.webm" in name or "ein Film für dich.webm" in name, name


def test_media_is_asked_for_once_and_with_a_signature(sites: tuple[Site, Site]) -> None:
    origin, reader = sites
    mxc = origin.user().uploaded(noise(100_000, seed=202))
    for _ in range(3):
        assert reader.user().download(mxc).status_code == 200
    requested = origin.federation_requests(mxc.media_id)
    assert [line.rsplit(" ", 1)[1] for line in requested] == ["200"], requested
    assert requested[0].startswith(f"GET {FEDERATION}/download/{mxc.media_id}"), requested


def test_thumbnails_of_another_servers_pictures(sites: tuple[Site, Site]) -> None:
    origin, reader = sites
    mxc = origin.user().uploaded(photo(1200, 900, seed=203), "image/jpeg")
    answer = reader.user().get(
        f"/_matrix/client/v1/media/thumbnail/{mxc.path}",
        params={"width": "96", "height": "96", "method": "crop"},
    )
    assert answer.status_code == 200, describe(answer)
    assert picture_size(answer.content) == (96, 96)


def test_media_that_does_not_exist_is_not_found(sites: tuple[Site, Site]) -> None:
    origin, reader = sites
    answer = reader.user().download(Mxc(origin.server_name, "doesnotexist"))
    assert_error(answer, 404, "M_NOT_FOUND")


def test_a_crowd_causes_one_request_to_the_origin(federation: Federation) -> None:
    data = noise(2_000_000, seed=204)
    mxc = federation.synapse.user().uploaded(data)
    readers = [federation.alpha.user() for _ in range(16)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda reader: reader.download(mxc), readers))
    assert all(answer.content == data for answer in answers), [a.status_code for a in answers]
    assert len(federation.synapse.federation_requests(mxc.media_id)) == 1


def test_pending_media_is_delivered_when_it_comes(federation: Federation) -> None:
    uploader, data = federation.alpha.user(), noise(50_000, seed=205)
    created = uploader.post("/_matrix/media/v1/create", json={})
    mxc = Mxc.parse(created.json()["content_uri"])
    reader = federation.beta.user()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.download, mxc)
        # The origin keeps the other server's request until there is something to answer.
        answer = uploader.put(f"/_matrix/media/v3/upload/{mxc.path}", data=data)
        assert answer.status_code == 200, describe(answer)
        assert waiting.result().content == data


def _plain(site: Site) -> MatrixHttp:
    assert site.mmr is not None
    return site.mmr.client()


def _signed(site: Site, destination: Site, target: str) -> str:
    """A signature with the key of `site`, as Synapse makes them."""
    from signedjson.key import read_signing_keys
    from signedjson.sign import sign_json

    with site.synapse.signing_key.open() as file:
        key = read_signing_keys(file)[0]
    request = {
        "method": "GET",
        "uri": target,
        "origin": site.server_name,
        "destination": destination.server_name,
    }
    signed = sign_json(request, site.server_name, key)
    key_id, signature = next(iter(signed["signatures"][site.server_name].items()))
    return (
        f'X-Matrix origin="{site.server_name}",destination="{destination.server_name}",'
        f'key="{key_id}",sig="{signature}"'
    )


def test_another_server_gets_the_media_in_two_parts(federation: Federation) -> None:
    origin = federation.alpha
    data = photo(300, 200, seed=206)
    mxc = origin.user().uploaded(data, "image/jpeg", params={"filename": "a.jpg"})
    target = f"{FEDERATION}/download/{mxc.media_id}?timeout_ms=1000"
    headers = {"Authorization": _signed(federation.synapse, origin, target)}
    answer = _plain(origin).get(target, headers=headers)
    assert answer.status_code == 200, describe(answer)
    kind, boundary = answer.headers["Content-Type"].split("; boundary=")
    assert kind == "multipart/mixed"
    head, tail = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n"
        "Content-Type: image/jpeg\r\nContent-Disposition: inline; filename=a.jpg\r\n\r\n",
        f"\r\n--{boundary}--\r\n",
    )
    assert answer.content == head.encode() + data + tail.encode()
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_the_unstable_endpoint_answers_too(federation: Federation) -> None:
    origin = federation.alpha
    mxc = origin.user().uploaded(noise(1000, seed=207))
    target = f"/_matrix/federation/unstable/org.matrix.msc3916.v2/media/download/{mxc.media_id}"
    headers = {"Authorization": _signed(federation.synapse, origin, target)}
    answer = _plain(origin).get(target, headers=headers)
    assert answer.status_code == 200, describe(answer)


@pytest.mark.parametrize("what", ["unsigned", "another target", "another destination", "no such key"])
def test_a_request_that_is_not_signed_for_what_it_asks_is_refused(
    federation: Federation, what: str
) -> None:
    origin = federation.alpha
    mxc = origin.user().uploaded(noise(1000, seed=208))
    target = f"{FEDERATION}/download/{mxc.media_id}"
    good = _signed(federation.synapse, origin, target)
    header = {
        "unsigned": None,
        "another target": _signed(federation.synapse, origin, target + "x"),
        "another destination": _signed(federation.synapse, federation.beta, target),
        "no such key": good.replace("ed25519:", "ed25519:other"),
    }[what]
    headers = {} if header is None else {"Authorization": header}
    assert_error(_plain(origin).get(target, headers=headers), 401, "M_UNAUTHORIZED")


def test_only_media_of_this_server_is_given_to_others(federation: Federation) -> None:
    here, there = federation.alpha, federation.synapse
    mxc = there.user().uploaded(noise(70_000, seed=209))
    assert here.user().download(mxc).status_code == 200
    target = f"{FEDERATION}/download/{mxc.media_id}"
    answer = _plain(here).get(target, headers={"Authorization": _signed(there, here, target)})
    assert_error(answer, 404, "M_NOT_FOUND")


def test_the_legacy_routes_fetch_nothing(federation: Federation) -> None:
    mxc = federation.synapse.user().uploaded(noise(1000, seed=210))
    answer = federation.alpha.client().get(f"/_matrix/media/v3/download/{mxc.path}")
    assert_error(answer, 404, "M_NOT_FOUND")
    log = federation.synapse.access_log.read_text()
    assert mxc.media_id not in log


def test_a_thumbnail_is_the_same_for_users_and_other_servers(federation: Federation) -> None:
    origin = federation.alpha
    user = origin.user()
    mxc = user.uploaded(photo(800, 600, seed=211), "image/jpeg")
    query = "width=320&height=240&method=scale"
    ours = user.get(f"/_matrix/client/v1/media/thumbnail/{mxc.path}?{query}")
    target = f"{FEDERATION}/thumbnail/{mxc.media_id}?{query}"
    headers = {"Authorization": _signed(federation.synapse, origin, target)}
    theirs = _plain(origin).get(target, headers=headers)
    assert theirs.status_code == 200, describe(theirs)
    assert ours.content in theirs.content


def test_administrators_see_where_a_server_is_found(federation: Federation) -> None:
    here, there = federation.alpha, federation.synapse
    path = f"/_matrix/media/unstable/admin/federation/test/{there.server_name}"
    assert_error(here.user().get(path), 403, "M_FORBIDDEN")
    answer = here.client(here.accounts.named(OPERATOR).token).get(path)
    assert answer.status_code == 200, describe(answer)
    body = answer.json()
    assert body["hostname"] == there.server_name
    assert body["base_url"] == f"https://{there.server_name}"
    assert body["versions_response"]["server"]["name"] == "Synapse"


def _doctor(site: Site, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [paths.mmr_binary(), "--config", config, "doctor"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=config.parent,
    )


def test_the_doctor_finds_that_the_homeserver_publishes_our_key(federation: Federation) -> None:
    site = federation.alpha
    assert site.mmr is not None
    ran = _doctor(site, site.mmr.config)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # What a line with a dash tells is neither good nor bad.
    assert all(line.startswith(("ok ", "- ")) for line in ran.stdout.splitlines()), ran.stdout
    assert "publishes the signing key" in ran.stdout


def test_the_doctor_finds_a_key_that_nobody_publishes(
    federation: Federation, tmp_path: Path
) -> None:
    site = federation.alpha
    assert site.mmr is not None
    key, config = tmp_path / "other.key", tmp_path / "media-repo.yaml"
    subprocess.run([paths.mmr_binary(), "keys", "generate", "--output", key], check=True)
    settings = yaml.safe_load(site.mmr.config.read_text())
    settings["homeservers"][0]["signingKeyPath"] = str(key)
    config.write_text(yaml.safe_dump(settings))
    ran = _doctor(site, config)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "is not published" in ran.stdout


def test_media_is_readable_while_it_arrives(federation: Federation) -> None:
    data = noise(4_000_000, seed=212)
    reader = federation.alpha.user()
    with SlowOrigin(federation.certificates, data) as origin:
        url = f"/_matrix/client/v1/media/download/{origin.server_name}/slow"
        with reader.stream(url) as answer:
            assert answer.status_code == 200
            chunks = answer.iter_content(100_000)
            got = next(chunks)
            assert not origin.release.is_set()
            assert got == data[: len(got)]
            origin.release.set()
            assert got + b"".join(chunks) == data
        assert origin.requests == 1


def test_a_fetch_that_is_killed_leaves_nothing_half_behind(federation: Federation) -> None:
    data = noise(4_000_000, seed=213)
    site = federation.alpha
    assert site.mmr is not None
    reader = site.user()
    stored = {path: path.stat().st_size for path in site.mmr.stored_files()}
    with SlowOrigin(federation.certificates, data) as origin:
        mxc = Mxc(origin.server_name, "killed")
        with reader.stream(f"/_matrix/client/v1/media/download/{mxc.path}") as answer:
            next(answer.iter_content(100_000))
            assert origin.half_sent.wait(20)
            site.mmr.process.kill()
        site.mmr.process.start()
        # Nobody has recorded it, so that it is asked for again, and comes whole.
        origin.release.set()
        answer = reader.download(mxc)
        assert answer.status_code == 200, describe(answer)
        assert answer.content == data
        assert origin.requests == 2
    new = [p for p in site.mmr.stored_files() if p not in stored and "#" not in p.name]
    assert [path.stat().st_size for path in new] == [len(data)]


def test_keys_are_published_by_the_homeserver_that_signs(federation: Federation) -> None:
    """What the other tests rest on: mmr signs with the key that its homeserver publishes."""
    published = requests.get(
        f"{federation.alpha.synapse.base}/_matrix/key/v2/server", timeout=10
    ).json()
    key_id = federation.alpha.synapse.signing_key.read_text().split()[1]
    assert f"ed25519:{key_id}" in json.dumps(published["verify_keys"])
