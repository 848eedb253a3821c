"""matrix-nio, a Python client that always uses the authenticated endpoints."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nio

from harness.http import Mxc, assert_error
from harness.media import noise, photo, picture_size
from harness.runner import run
from harness.stack import Stack
from harness.synapse import MAX_UPLOAD_BYTES
from harness.users import User


@asynccontextmanager
async def logged_in(stack: Stack, user: User) -> AsyncIterator[nio.AsyncClient]:
    """A client that logged in with the user's password."""
    client = nio.AsyncClient(stack.base, user.localpart)
    try:
        answer = await client.login(user.password)
        assert isinstance(answer, nio.LoginResponse), answer
        yield client
    finally:
        await client.close()


async def uploaded(client: nio.AsyncClient, data: bytes, content_type: str, name: str) -> Mxc:
    """Uploads as nio's users do and returns the address."""
    answer, _ = await client.upload(
        io.BytesIO(data), content_type=content_type, filename=name, filesize=len(data)
    )
    assert isinstance(answer, nio.UploadResponse), answer
    return Mxc.parse(answer.content_uri)


def test_nio_downloads_the_bytes_type_and_name_that_it_uploaded(stack: Stack, user: User) -> None:
    data = noise(3_000_000, seed=11)

    async def journey() -> None:
        async with logged_in(stack, user) as client:
            mxc = await uploaded(client, data, "application/pdf", "très long.pdf")
            assert mxc.server == stack.server_name
            answer = await client.download(mxc=str(mxc))
            assert isinstance(answer, nio.MemoryDownloadResponse), answer
            assert answer.body == data
            assert answer.content_type == "application/pdf"
            assert answer.filename == "très long.pdf"

    run(journey())


def test_nio_gets_a_thumbnail_in_the_size_it_asked_for(stack: Stack, user: User) -> None:
    async def journey() -> None:
        async with logged_in(stack, user) as client:
            mxc = await uploaded(client, photo(1200, 900), "image/jpeg", "photo.jpg")
            answer = await client.thumbnail(mxc.server, mxc.media_id, width=320, height=240)
            assert isinstance(answer, nio.ThumbnailResponse), answer
            assert picture_size(answer.body) == (320, 240)

    run(journey())


def test_nio_reads_the_upload_limit(stack: Stack, user: User) -> None:
    async def journey() -> None:
        async with logged_in(stack, user) as client:
            answer = await client.content_repository_config()
            assert isinstance(answer, nio.ContentRepositoryConfigResponse), answer
            assert answer.upload_size == MAX_UPLOAD_BYTES

    run(journey())


def test_nio_logs_out_and_its_token_no_longer_downloads(stack: Stack, user: User) -> None:
    async def journey() -> tuple[Mxc, str]:
        async with logged_in(stack, user) as client:
            mxc = await uploaded(client, noise(2000, seed=12), "text/plain", "a.txt")
            token = client.access_token
            answer = await client.logout()
            assert isinstance(answer, nio.LogoutResponse), answer
            return mxc, token

    mxc, token = run(journey())
    assert_error(stack.client(token).download(mxc), 401, "M_UNKNOWN_TOKEN")


def test_nio_stores_an_encrypted_file_unchanged(stack: Stack, user: User) -> None:
    # Encrypted attachments travel as opaque bytes; one flipped bit and the client refuses them.
    secret = noise(70_001, seed=13)
    ciphertext, keys = nio.crypto.attachments.encrypt_attachment(secret)

    async def journey() -> bytes:
        async with logged_in(stack, user) as client:
            mxc = await uploaded(client, ciphertext, "application/octet-stream", "file")
            answer = await client.download(mxc=str(mxc))
            assert isinstance(answer, nio.MemoryDownloadResponse), answer
            body: bytes = answer.body
            return body

    key, digest, iv = keys["key"]["k"], keys["hashes"]["sha256"], keys["iv"]
    plain = nio.crypto.attachments.decrypt_attachment(run(journey()), key, digest, iv)
    assert plain == secret
