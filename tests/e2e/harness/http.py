"""Plain HTTP toward the servers: bearer tokens, JSON, and nothing retried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack
from urllib.parse import quote

import requests

TIMEOUT = 30.0
_MXC = re.compile(r"mxc://([^/]+)/(.+)")


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy between us and loopback
    return session


def answers(url: str) -> bool:
    """Whether the address answers 200 right now."""
    try:
        return _session().get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


class Extras(TypedDict, total=False):
    """What any request may carry."""

    params: Mapping[str, str]
    headers: Mapping[str, str]


class Options(Extras, total=False):
    """What a request may carry, its body included."""

    json: object
    data: bytes | Iterable[bytes]


@dataclass(frozen=True)
class Mxc:
    """An `mxc://server/id` address."""

    server: str
    media_id: str

    @classmethod
    def parse(cls, text: str) -> Mxc:
        """Reads `mxc://server/id`."""
        match = _MXC.fullmatch(text)
        assert match, f"not an mxc address: {text!r}"
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"mxc://{self.server}/{self.media_id}"

    @property
    def path(self) -> str:
        """`server/id` as it stands in a request path."""
        return f"{quote(self.server, safe=':')}/{quote(self.media_id, safe='')}"


class MatrixHttp:
    """A Matrix client's plain HTTP requests under one access token (or none)."""

    def __init__(self, base: str, token: str | None = None, host: str | None = None) -> None:
        """`host` is sent as the Host header, for talking to a server past its proxy."""
        self.base = base
        self.token = token
        self._host = host
        self._session = _session()

    def request(
        self,
        method: str,
        path: str,
        **options: Unpack[Options],
    ) -> requests.Response:
        """Sends one request; any answer is returned, only a broken connection raises."""
        merged: dict[str, str] = {}
        if self.token is not None:
            merged["Authorization"] = f"Bearer {self.token}"
        if self._host is not None:
            merged["Host"] = self._host
        merged.update(options.get("headers", {}))
        return self._session.request(
            method,
            self.base + path,
            params=options.get("params"),
            json=options.get("json"),
            data=options.get("data"),
            headers=merged,
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def stream(self, path: str) -> requests.Response:
        """GET whose body is read as it comes; to be used in a `with`."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if self._host is not None:
            headers["Host"] = self._host
        url = self.base + path
        return self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT)

    def get(self, path: str, **options: Unpack[Options]) -> requests.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Unpack[Options]) -> requests.Response:
        """POST."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[Options]) -> requests.Response:
        """PUT."""
        return self.request("PUT", path, **options)

    def upload(
        self,
        data: bytes | Iterable[bytes],
        content_type: str = "application/octet-stream",
        **options: Unpack[Extras],
    ) -> requests.Response:
        """`POST /_matrix/media/v3/upload`."""
        options["headers"] = {"Content-Type": content_type, **options.get("headers", {})}
        return self.post("/_matrix/media/v3/upload", data=data, **options)

    def uploaded(
        self,
        data: bytes,
        content_type: str = "application/octet-stream",
        **options: Unpack[Extras],
    ) -> Mxc:
        """Uploads and returns the address; anything but 200 fails the test."""
        answer = self.upload(data, content_type, **options)
        assert answer.status_code == 200, describe(answer)
        return Mxc.parse(answer.json()["content_uri"])

    def download(self, mxc: Mxc, **options: Unpack[Extras]) -> requests.Response:
        """`GET /_matrix/client/v1/media/download/{server}/{id}`."""
        return self.get(f"/_matrix/client/v1/media/download/{mxc.path}", **options)


def describe(answer: requests.Response) -> str:
    """Status and the beginning of the body, for assertion messages."""
    request = answer.request
    return f"{request.method} {request.path_url} -> {answer.status_code} {answer.text[:300]}"


def assert_error(answer: requests.Response, status: int, errcode: str) -> None:
    """The answer is the given status with a Matrix error of the given code."""
    assert answer.status_code == status, describe(answer)
    assert answer.headers["Content-Type"].startswith("application/json"), answer.headers
    assert answer.json()["errcode"] == errcode, describe(answer)


def assert_server_error(answer: requests.Response) -> None:
    """The answer is some 5xx with a Matrix error body."""
    assert 500 <= answer.status_code < 600, describe(answer)
    body = answer.json()
    assert body["errcode"].startswith("M_"), describe(answer)
    assert body["error"], describe(answer)
