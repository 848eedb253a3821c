"""Many concurrent uploads, and an exact record of which were acknowledged."""

from __future__ import annotations

import hashlib
import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from .http import MatrixHttp, Mxc
from .media import noise

SMALLEST, LARGEST = 1000, 3_000_000


@dataclass(frozen=True)
class Item:
    """One file to upload, made again from its seed whenever its bytes are needed."""

    seed: int
    size: int

    @property
    def data(self) -> bytes:
        """The bytes; no two items share any."""
        return noise(self.size, self.seed)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def items(count: int, seed: int) -> list[Item]:
    """Files of mixed sizes, each size class as likely as the other."""
    choose = random.Random(seed)
    sizes = [int(SMALLEST * (LARGEST / SMALLEST) ** choose.random()) for _ in range(count)]
    return [Item(seed * 1_000_000 + number, size) for number, size in enumerate(sizes)]


@dataclass
class Outcome:
    """What the clients know after the server has died under them."""

    acknowledged: dict[Mxc, Item] = field(default_factory=dict)
    # Sent in full or in part, but no answer came: stored or not, the client cannot know.
    unanswered: dict[Item, Mxc | None] = field(default_factory=dict)
    # Any answer but 200; there should be none.
    refused: list[str] = field(default_factory=list)
    untouched: int = 0


class Uploaders:
    """Threads that upload a list of items until it ends or the server is gone."""

    def __init__(
        self,
        connect: Callable[[], MatrixHttp],
        work: list[Item],
        *,
        threads: int,
        reserve: Callable[[Item], bool],
        kill_after: int,
        kill: Callable[[], None],
    ) -> None:
        """Calls `kill` at acknowledgement number `kill_after`.

        `reserve` picks the items that are uploaded into an address created before (create, then
        PUT), so that the address is known even where the answer never came.
        """
        self._connect = connect
        self._work: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for item in work:
            self._work.put(item)
        self._threads = threads
        self._reserve = reserve
        self._kill_after = kill_after
        self._kill = kill
        self._lock = threading.Lock()
        self._killed = threading.Event()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Uploads until the server is killed; returns what the clients know."""
        pool = [threading.Thread(target=self._upload_all) for _ in range(self._threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        self._outcome.untouched = self._work.qsize()
        return self._outcome

    def _upload_all(self) -> None:
        client = self._connect()
        while not self._killed.is_set():
            try:
                item = self._work.get_nowait()
            except queue.Empty:
                return
            self._upload(client, item)

    def _upload(self, client: MatrixHttp, item: Item) -> None:
        data, reserved = item.data, None
        try:
            if self._reserve(item):
                created = client.post("/_matrix/media/v1/create", json={})
                if created.status_code != 200:
                    self._refused(created)
                    return
                reserved = Mxc.parse(created.json()["content_uri"])
                answer = client.put(f"/_matrix/media/v3/upload/{reserved.path}", data=data)
            else:
                answer = client.upload(data)
        except requests.RequestException:
            with self._lock:
                self._outcome.unanswered[item] = reserved
            return
        if answer.status_code != 200:
            self._refused(answer)
            return
        self._acknowledged(reserved or Mxc.parse(answer.json()["content_uri"]), item)

    def _acknowledged(self, mxc: Mxc, item: Item) -> None:
        with self._lock:
            self._outcome.acknowledged[mxc] = item
            if len(self._outcome.acknowledged) == self._kill_after:
                # Under the lock: the other threads are in the middle of their uploads.
                self._kill()
                self._killed.set()

    def _refused(self, answer: requests.Response) -> None:
        with self._lock:
            self._outcome.refused.append(f"{answer.status_code} {answer.text[:200]}")
