"""Uploads and downloads at several nodes while anything may fail, and an exact record of what was promised."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import requests

from .http import MatrixHttp, Mxc, describe
from .load import Item, items
from .process import wait_until

PATIENCE = 60.0


@dataclass
class Record:
    """What the clients know at the end."""

    acknowledged: dict[Mxc, Item] = field(default_factory=dict)
    # By what came of them: `ok`, a status, or `broken` where no whole answer came.
    uploads: Counter[str] = field(default_factory=Counter)
    downloads: Counter[str] = field(default_factory=Counter)
    # Answers that no failure excuses.
    wrong: list[str] = field(default_factory=list)


class Entrance(Protocol):
    """A node, or what stands in front of nodes."""

    def client(self, token: str | None = None) -> MatrixHttp:
        """Requests through it."""


class Traffic:
    """Threads that upload to, and download from, nodes chosen at random, as long as they are in use."""

    def __init__(self, nodes: Sequence[Entrance], token: str, *, seed: int, threads: int = 8) -> None:
        self.record = Record()
        self._nodes = nodes
        self._token = token
        self._work = iter(items(100_000, seed))
        self._seed = seed
        self._lock = threading.Lock()
        self._stop = threading.Event()
        run = (self._upload, self._download)
        self._threads = [
            threading.Thread(target=run[number % 2], args=(random.Random(seed + number),))
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def acknowledged(self) -> int:
        """Uploads that were acknowledged so far."""
        with self._lock:
            return len(self.record.acknowledged)

    def progress(self, uploads: int) -> None:
        """Waits until so many more uploads are acknowledged."""
        goal = self.acknowledged() + uploads
        wait_until(lambda: self.acknowledged() >= goal, f"{uploads} more uploads", PATIENCE)

    def failures(self) -> int:
        """Uploads that failed so far."""
        with self._lock:
            return self.record.uploads.total() - self.record.uploads["ok"]

    def stop(self) -> Record:
        """Lets every request end and returns what is known."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.record

    def _client(self, choose: random.Random) -> MatrixHttp:
        return choose.choice(self._nodes).client(self._token)

    def _upload(self, choose: random.Random) -> None:
        while not self._stop.is_set():
            with self._lock:
                item = next(self._work)
            client = self._client(choose)
            try:
                answer = client.upload(item.data)
            except requests.RequestException:
                self._count(self.record.uploads, "broken")
                self._stop.wait(0.05)
                continue
            if answer.status_code != 200:
                self._failed(self.record.uploads, answer)
                continue
            self._count(self.record.uploads, "ok")
            with self._lock:
                self.record.acknowledged[Mxc.parse(answer.json()["content_uri"])] = item

    def _download(self, choose: random.Random) -> None:
        while not self._stop.wait(0.01):
            with self._lock:
                known = list(self.record.acknowledged.items())
            if not known:
                continue
            mxc, item = choose.choice(known)
            try:
                answer = self._client(choose).download(mxc)
            except requests.RequestException:
                self._count(self.record.downloads, "broken")
                continue
            if answer.status_code != 200:
                self._failed(self.record.downloads, answer)
            elif answer.content != item.data:
                self.record.wrong.append(f"{mxc}: {len(answer.content)} other bytes")
            else:
                self._count(self.record.downloads, "ok")

    def _failed(self, counts: Counter[str], answer: requests.Response) -> None:
        self._count(counts, str(answer.status_code))
        # Media that was acknowledged is never missing, and nobody did anything that is not allowed.
        if answer.status_code < 500:
            self.record.wrong.append(describe(answer))

    def _count(self, counts: Counter[str], what: str) -> None:
        with self._lock:
            counts[what] += 1
