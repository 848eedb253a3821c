"""Plain requests through nginx: legacy routes, reserved addresses, ranges, limits."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from PIL import Image

from harness.http import MatrixHttp, Mxc, assert_error, describe
from harness.media import noise, photo, picture_size
from harness.stack import Stack
from harness.users import User


@pytest.mark.parametrize("version", ["v3", "r0", "v1"])
@pytest.mark.parametrize("kind", ["download", "thumbnail"])
def test_new_media_does_not_exist_on_the_legacy_routes(
    stack: Stack, client: MatrixHttp, version: str, kind: str
) -> None:
    mxc = client.uploaded(photo(400, 300, seed=51), "image/jpeg")
    answer = stack.client().get(
        f"/_matrix/media/{version}/{kind}/{mxc.path}",
        params={"width": "32", "height": "32", "method": "crop"},
    )
    assert_error(answer, 404, "M_NOT_FOUND")


@pytest.mark.parametrize("version", ["v3", "r0", "v1"])
def test_every_version_of_the_upload_route_takes_uploads(client: MatrixHttp, version: str) -> None:
    data = noise(2000, seed=52)
    answer = client.post(f"/_matrix/media/{version}/upload", data=data)
    assert answer.status_code == 200, describe(answer)
    assert client.download(Mxc.parse(answer.json()["content_uri"])).content == data


@pytest.mark.mmr_only("Synapse does not name the unstable feature")
def test_versions_of_the_media_server_name_authenticated_media(stack: Stack) -> None:
    answer = stack.media_client().get("/_matrix/client/versions")
    assert answer.status_code == 200, describe(answer)
    body = answer.json()
    assert "v1.11" in body["versions"]
    assert body["unstable_features"]["org.matrix.msc3916.stable"] is True


@pytest.mark.mmr_only("Synapse answers for itself")
def test_versions_of_the_media_server_are_the_homeservers(stack: Stack) -> None:
    homeserver = MatrixHttp(stack.synapse.base).get("/_matrix/client/versions").json()
    ours = stack.media_client().get("/_matrix/client/versions").json()
    assert set(homeserver["versions"]) <= set(ours["versions"])
    assert homeserver["unstable_features"].items() <= ours["unstable_features"].items()


def test_the_token_may_travel_in_the_query(stack: Stack, user: User) -> None:
    data = noise(2000, seed=53)
    mxc = stack.client(user.token).uploaded(data)
    answer = stack.client().download(mxc, params={"access_token": user.token})
    assert (answer.status_code, answer.content) == (200, data)


def test_a_reserved_address_is_filled_once(client: MatrixHttp) -> None:
    mxc = Mxc.parse(client.post("/_matrix/media/v1/create", json={}).json()["content_uri"])
    # Bridges escape the colon of `localhost:port`.
    path = f"/_matrix/media/v3/upload/{quote(mxc.server, safe='')}/{mxc.media_id}"
    data = noise(50_000, seed=54)
    early = client.download(mxc, params={"timeout_ms": "0"})
    assert_error(early, 504, "M_NOT_YET_UPLOADED")
    assert client.put(path, data=data).status_code == 200
    assert_error(client.put(path, data=noise(500, seed=55)), 409, "M_CANNOT_OVERWRITE_MEDIA")
    assert client.download(mxc).content == data


@pytest.mark.mmr_only("Synapse wants a Content-Length")
def test_a_chunked_upload_without_a_length_is_stored_whole(client: MatrixHttp) -> None:
    data = noise(700_000, seed=56)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 9999):
            yield data[start : start + 9999]

    answer = client.upload(pieces())
    assert answer.status_code == 200, describe(answer)
    assert client.download(Mxc.parse(answer.json()["content_uri"])).content == data


def test_curl_uploads_with_expect_100_continue(stack: Stack, user: User) -> None:
    data = noise(3_000_000, seed=57)
    done = subprocess.run(
        [
            "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "30",
            "--header", f"Authorization: Bearer {user.token}",
            "--header", "Content-Type: application/octet-stream",
            "--header", "Expect: 100-continue",
            "--data-binary", "@-", f"{stack.base}/_matrix/media/v3/upload",
        ],
        input=data, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mxc = Mxc.parse(done.stdout.decode().split('"')[3])
    assert stack.client(user.token).download(mxc).content == data


def test_the_file_name_in_the_path_names_the_download(client: MatrixHttp) -> None:
    mxc = client.uploaded(noise(1000, seed=58), params={"filename": "stored.bin"})
    answer = client.get(f"/_matrix/client/v1/media/download/{mxc.path}/asked%20for.bin")
    assert answer.status_code == 200, describe(answer)
    assert "asked for.bin" in answer.headers["Content-Disposition"].replace("%20", " ")


@pytest.mark.mmr_only("Synapse resets the connection while nginx still sends")
def test_an_upload_above_the_limit_is_refused(client: MatrixHttp) -> None:
    limit = client.get("/_matrix/client/v1/media/config").json()["m.upload.size"]
    assert_error(client.upload(bytes(limit + 1)), 413, "M_TOO_LARGE")


@pytest.mark.mmr_only("Synapse wants a Content-Length")
def test_an_upload_of_unknown_length_above_the_limit_is_refused(client: MatrixHttp) -> None:
    limit = client.get("/_matrix/client/v1/media/config").json()["m.upload.size"]
    piece = bytes(1024 * 1024)
    answer = client.upload(piece for _ in range(limit // len(piece) + 1))
    assert_error(answer, 413, "M_TOO_LARGE")


def test_an_upload_of_exactly_the_limit_is_stored(client: MatrixHttp) -> None:
    limit = client.get("/_matrix/client/v1/media/config").json()["m.upload.size"]
    data = noise(limit, seed=59)
    assert client.download(client.uploaded(data)).content == data


def test_a_png_is_thumbnailed(client: MatrixHttp) -> None:
    picture = io.BytesIO()
    Image.new("RGBA", (800, 600), (10, 200, 30, 128)).save(picture, "PNG")
    mxc = client.uploaded(picture.getvalue(), "image/png")
    answer = client.get(
        f"/_matrix/client/v1/media/thumbnail/{mxc.path}",
        params={"width": "320", "height": "240", "method": "scale"},
    )
    assert answer.status_code == 200, describe(answer)
    assert picture_size(answer.content) == (320, 240)


@pytest.mark.mmr_only("Synapse ignores Range and has no ETag of its own")
class TestRanges:
    """Parts of a file, through the proxy."""

    data = noise(300_000, seed=60)

    @pytest.mark.parametrize(
        ("header", "start", "end"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=1000-70999", 1000, 71_000),
            ("bytes=299999-", 299_999, 300_000),
            ("bytes=200000-", 200_000, 300_000),
            ("bytes=-500", 299_500, 300_000),
        ],
    )
    def test_a_range_is_answered_with_just_that_part(
        self, client: MatrixHttp, header: str, start: int, end: int
    ) -> None:
        mxc = client.uploaded(self.data)
        answer = client.download(mxc, headers={"Range": header})
        assert answer.status_code == 206, describe(answer)
        assert answer.content == self.data[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(self.data)}"

    def test_a_range_past_the_end_is_416(self, client: MatrixHttp) -> None:
        mxc = client.uploaded(self.data)
        answer = client.download(mxc, headers={"Range": "bytes=300000-"})
        assert answer.status_code == 416, describe(answer)
        assert answer.headers["Content-Range"] == "bytes */300000"

    def test_a_resumed_download_is_refused_a_part_of_another_version(
        self, client: MatrixHttp
    ) -> None:
        mxc = client.uploaded(self.data)
        headers = {"Range": "bytes=100-", "If-Range": '"some other version"'}
        answer = client.download(mxc, headers=headers)
        assert (answer.status_code, answer.content) == (200, self.data)

    def test_an_unchanged_file_is_not_sent_again(self, client: MatrixHttp) -> None:
        mxc = client.uploaded(self.data)
        etag = client.download(mxc).headers["ETag"]
        answer = client.download(mxc, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.content) == (304, b"")

    def test_an_etag_alone_opens_nothing(self, stack: Stack, client: MatrixHttp) -> None:
        mxc = client.uploaded(self.data)
        etag = client.download(mxc).headers["ETag"]
        answer = stack.client().download(mxc, headers={"If-None-Match": etag})
        assert_error(answer, 401, "M_MISSING_TOKEN")

    def test_head_tells_length_and_range_support(self, client: MatrixHttp) -> None:
        mxc = client.uploaded(self.data)
        answer = client.request("HEAD", f"/_matrix/client/v1/media/download/{mxc.path}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(self.data))
        assert answer.headers["Accept-Ranges"] == "bytes"
