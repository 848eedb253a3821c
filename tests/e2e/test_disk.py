"""A full disk and a read-only one: a clear error for uploads, downloads as before, no loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.http import MatrixHttp, Mxc, assert_error, assert_server_error
from harness.media import noise, photo, picture_size
from harness.mmr import Mmr
from harness.process import wait_until
from harness.stack import Stack
from harness.tmpfs import SmallDisk, small_disk

pytestmark = pytest.mark.mmr_only("mounts the media server's directory")

SIZE_MIB = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 24 MiB."""
    with small_disk(tmp_path / "disk", SIZE_MIB) as mounted:
        yield mounted


@pytest.fixture(params=["media on the disk", "media and database on the disk"])
def mmr(
    request: pytest.FixtureRequest, stack: Stack, tmp_path: Path, disk: SmallDisk
) -> Iterator[Mmr]:
    """A running server whose directory, and in the second case its database, is on the disk."""
    on_disk = "database" in request.param
    database = disk.path / "mmr.db" if on_disk else tmp_path / "mmr.db"
    server = Mmr("mmr-disk", stack.synapse, tmp_path, blobs=disk.path / "blobs", database=database)
    with server.process:
        yield server


@pytest.fixture
def client(stack: Stack, mmr: Mmr) -> MatrixHttp:
    """Requests straight to that server."""
    return mmr.client(stack.accounts.new().token)


def test_a_full_disk_refuses_uploads_keeps_everything_and_recovers(
    disk: SmallDisk, client: MatrixHttp
) -> None:
    data = noise(3_000_000, seed=81)
    before = client.uploaded(data)
    new = noise(2_000_000, seed=82)

    disk.fill()
    for _ in range(3):
        assert_server_error(client.upload(new))
    assert client.download(before).content == data

    disk.free()
    assert client.download(client.uploaded(new)).content == new
    assert client.download(before).content == data


def test_an_upload_that_fills_the_disk_gives_the_space_back(
    disk: SmallDisk, mmr: Mmr, client: MatrixHttp
) -> None:
    small = noise(100_000, seed=83)
    # Writes a good part of the file before it fails.
    disk.fill(leave=4_000_000)
    assert_server_error(client.upload(noise(8_000_000, seed=84)))
    wait_until(lambda: not mmr.stored_files(), "removal of the part that was stored")
    # No ballast removed: the failed upload's space is what this one uses.
    assert client.download(client.uploaded(small)).content == small
    disk.free()


def test_a_reserved_address_can_still_be_filled_after_the_disk_was_full(
    disk: SmallDisk, client: MatrixHttp
) -> None:
    mxc = Mxc.parse(client.post("/_matrix/media/v1/create", json={}).json()["content_uri"])
    path = f"/_matrix/media/v3/upload/{mxc.path}"
    data = noise(2_000_000, seed=85)

    disk.fill()
    assert_server_error(client.put(path, data=data))
    unfilled = client.download(mxc, params={"timeout_ms": "0"})
    assert_error(unfilled, 504, "M_NOT_YET_UPLOADED")

    disk.free()
    assert client.put(path, data=data).status_code == 200
    assert client.download(mxc).content == data


def test_a_restart_on_a_full_disk_still_serves_what_is_there(
    disk: SmallDisk, mmr: Mmr, client: MatrixHttp
) -> None:
    data = noise(1_000_000, seed=86)
    mxc = client.uploaded(data)
    # A little is left: opening a database takes some room for its journal.
    disk.fill(leave=400_000)
    mmr.process.kill()
    mmr.process.start()
    assert client.download(mxc).content == data
    disk.free()


class TestReadOnly:
    """The media directory turns read-only, as file systems do after an error."""

    @pytest.fixture
    def mmr(self, stack: Stack, tmp_path: Path, disk: SmallDisk) -> Iterator[Mmr]:
        """A running server whose directory is on the disk; its database is not."""
        server = Mmr("mmr-read-only", stack.synapse, tmp_path, blobs=disk.path / "blobs")
        with server.process:
            yield server

    def test_uploads_are_refused_downloads_work_and_it_recovers(
        self, disk: SmallDisk, client: MatrixHttp
    ) -> None:
        data = noise(500_000, seed=87)
        mxc = client.uploaded(data)

        disk.read_only()
        assert_server_error(client.upload(noise(500_000, seed=88)))
        assert client.download(mxc).content == data

        disk.writable()
        again = client.uploaded(noise(500_000, seed=88))
        assert client.download(again).content == noise(500_000, seed=88)

    def test_a_thumbnail_is_answered_although_it_cannot_be_kept(
        self, disk: SmallDisk, client: MatrixHttp
    ) -> None:
        mxc = client.uploaded(photo(800, 600, seed=89), "image/jpeg")
        disk.read_only()
        answer = client.get(
            f"/_matrix/client/v1/media/thumbnail/{mxc.path}",
            params={"width": "320", "height": "240", "method": "scale"},
        )
        assert answer.status_code == 200
        assert picture_size(answer.content) == (320, 240)
