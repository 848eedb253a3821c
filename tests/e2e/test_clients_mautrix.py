"""mautrix-python, the library of most bridges: negotiates by /versions, uploads asynchronously."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from mautrix.client import Client
from mautrix.types import ContentURI, SpecVersions, UserID

from harness.http import Mxc
from harness.media import noise, photo, picture_size
from harness.runner import run
from harness.stack import Stack
from harness.synapse import MAX_UPLOAD_BYTES
from harness.users import User


@asynccontextmanager
async def connected(stack: Stack, user: User) -> AsyncIterator[Client]:
    """A client on the user's token."""
    client = Client(mxid=UserID(user.mxid), base_url=stack.base, token=user.token)
    try:
        yield client
    finally:
        await client.api.session.close()


def test_mautrix_downloads_what_it_uploaded_over_the_authenticated_endpoint(
    stack: Stack, user: User
) -> None:
    data = noise(400_000, seed=21)
    mark = stack.nginx.mark()

    async def journey() -> ContentURI:
        async with connected(stack, user) as client:
            assert (await client.versions()).supports(SpecVersions.V111)
            mxc = await client.upload_media(data, mime_type="application/zip", filename="a.zip")
            assert await client.download_media(mxc) == data
            return mxc

    media_id = Mxc.parse(run(journey())).media_id
    logged = stack.nginx.media_requests(mark, media_id)
    assert [line.status for line in logged] == [200]
    assert logged[0].path.startswith("/_matrix/client/v1/media/download/")


def test_mautrix_gets_a_cropped_thumbnail(stack: Stack, user: User) -> None:
    async def journey() -> bytes:
        async with connected(stack, user) as client:
            mxc = await client.upload_media(photo(900, 1200, seed=2), mime_type="image/jpeg")
            picture: bytes = await client.download_thumbnail(
                mxc, width=96, height=96, resize_method="crop"
            )
            return picture

    assert picture_size(run(journey())) == (96, 96)


def test_mautrix_gets_a_thumbnail_without_naming_a_method(stack: Stack, user: User) -> None:
    async def journey() -> bytes:
        async with connected(stack, user) as client:
            mxc = await client.upload_media(photo(1200, 900, seed=3), mime_type="image/jpeg")
            picture: bytes = await client.download_thumbnail(mxc, width=640, height=480)
            return picture

    assert picture_size(run(journey())) == (640, 480)


def test_mautrix_downloads_media_whose_upload_is_still_on_its_way(
    stack: Stack, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    # `upload_media` returns the reserved address at once: the download below overtakes the PUT.
    data = noise(5_000_000, seed=22)

    async def journey() -> bytes:
        async with connected(stack, user) as client:
            mxc = await client.upload_media(data, mime_type="image/x-raw", async_upload=True)
            return await client.download_media(mxc, timeout_ms=20_000)

    with caplog.at_level(logging.ERROR):
        assert run(journey()) == data
    assert not [record for record in caplog.records if "Failed to upload" in record.message]


def test_mautrix_reads_the_upload_limit(stack: Stack, user: User) -> None:
    async def journey() -> int:
        async with connected(stack, user) as client:
            return (await client.get_media_repo_config()).upload_size

    assert run(journey()) == MAX_UPLOAD_BYTES
