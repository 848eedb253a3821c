"""Plain HTTP toward the servers, cheap enough not to be what is measured."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from .errors import Trouble

UPLOAD = "/_matrix/media/v3/upload"
_TIMEOUT = 300.0
_PIECE = 4 << 20
_MXC = re.compile(r"mxc://([^/]+)/([\w-]+)")


@dataclass(frozen=True)
class Address:
    """Where a server is and the token it takes, if any."""

    port: int
    token: str | None = None

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> HTTPConnection:
        """A connection that is kept alive."""
        return HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT)

    def headers(self) -> dict[str, str]:
        """The token's header."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def answers(address: Address, path: str) -> bool:
    """Whether the path answers 200 right now."""
    connection = address.connect()
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def post_json(address: Address, path: str, body: object) -> dict[str, Any]:
    """Posts JSON and returns the answer's."""
    connection = address.connect()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = _json(connection.getresponse())
    connection.close()
    return answer


def get_json(address: Address, path: str) -> dict[str, Any]:
    """Gets JSON."""
    connection = address.connect()
    connection.request("GET", path, headers=address.headers())
    answer = _json(connection.getresponse())
    connection.close()
    return answer


def upload(address: Address, connection: HTTPConnection, body: Iterable[bytes], size: int) -> str:
    """Uploads `size` bytes; returns the path to download them from."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    connection.request("POST", UPLOAD, body, {**address.headers(), **headers})
    uri = _json(connection.getresponse())["content_uri"]
    parts = _MXC.fullmatch(uri)
    if parts is None:
        raise Trouble(f"not an mxc address: {uri}")
    return f"/_matrix/client/v1/media/download/{parts[1]}/{parts[2]}"


def upload_file(address: Address, content: bytes) -> str:
    """Uploads over a connection of its own."""
    connection = address.connect()
    path = upload(address, connection, [content], len(content))
    connection.close()
    return path


def unique_body(size: int, piece: bytes) -> Iterator[bytes]:
    """A body that was never sent before, made of one piece over and over after a unique start."""
    start = os.urandom(32)
    yield start
    left = size - len(start)
    while left > 0:
        yield piece if left >= len(piece) else piece[:left]
        left -= len(piece)


def random_piece() -> bytes:
    """What `unique_body` repeats."""
    return os.urandom(_PIECE)


def download(address: Address, path: str) -> str:
    """Downloads, and returns the SHA-256 of what came."""
    digest = hashlib.sha256()
    _download(address, path, digest.update)
    return digest.hexdigest()


def discard(address: Address, path: str) -> int:
    """Downloads and throws away; returns how many bytes came."""
    return _download(address, path, lambda _: None)


@dataclass(frozen=True)
class Timing:
    """How long an answer took, in seconds."""

    first_byte: float
    whole: float


def timed(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> Timing:
    """Downloads over an open connection and throws away."""
    began = time.monotonic()
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    if answer.status != 200:
        raise Trouble(f"GET {path}: {answer.status} {answer.read(200)!r}")
    buffer = memoryview(bytearray(1 << 18))
    if not answer.readinto(buffer[:1]):
        raise Trouble(f"GET {path}: nothing came")
    first_byte = time.monotonic() - began
    while answer.readinto(buffer):
        pass
    return Timing(first_byte, time.monotonic() - began)


def in_parallel(jobs: Iterable[Callable[[], object]]) -> None:
    """Runs each job in a thread of its own; raises what the first one to fail raised."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except (OSError, HTTPException, Trouble) as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Trouble(f"{len(failures)} of {len(threads)} clients failed") from failures[0]


def _download(address: Address, path: str, take: Callable[[memoryview], None]) -> int:
    connection = address.connect()
    connection.request("GET", path, headers=address.headers())
    answer = connection.getresponse()
    if answer.status != 200:
        raise Trouble(f"GET {path}: {answer.status} {answer.read(200)!r}")
    buffer, size = memoryview(bytearray(1 << 18)), 0
    while count := answer.readinto(buffer):
        take(buffer[:count])
        size += count
    connection.close()
    declared = answer.getheader("Content-Length")
    if declared is not None and int(declared) != size:
        raise Trouble(f"GET {path}: {size} bytes came of {declared}")
    return size


def _json(answer: HTTPResponse) -> dict[str, Any]:
    text = answer.read()
    if answer.status != 200:
        raise Trouble(f"{answer.status} {text[:300]!r}")
    body: dict[str, Any] = json.loads(text)
    return body
