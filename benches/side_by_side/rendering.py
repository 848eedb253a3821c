"""Photographs that are uploaded and asked for in all sizes at once, and files that mean harm."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from . import client, prepare, wrk
from .errors import Trouble
from .lab import Lab
from .processes import Watch
from .rows import Comparison, Delay, Figure, Sample
from .servers import Server
from .wrk import Load

_SIZES = (
    (800, 600, "scale"),
    (640, 480, "scale"),
    (320, 240, "scale"),
    (96, 96, "crop"),
    (32, 32, "crop"),
)
# Run by the interpreter that has Synapse, and so Pillow. About as hard to compress as a photograph.
_PAINT = """
import sys
from PIL import Image, ImageChops, ImageFilter
width, height, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
grain = Image.effect_noise((width, height), 24)
shapes = Image.effect_noise((width // 40, height // 40), 120).resize((width, height), Image.BICUBIC)
sky = Image.linear_gradient("L").resize((width, height))
bands = [ImageChops.blend(shapes, sky, part) for part in (0.3, 0.5, 0.7)]
picture = Image.merge("RGB", bands)
picture = ImageChops.add(picture, Image.merge("RGB", [grain] * 3), 1, -128)
picture.filter(ImageFilter.GaussianBlur(0.7)).save(path, quality=90)
"""


def storm(what: str, photographs: int, lab: Lab) -> Comparison:
    """So many clients at once, each uploads a photograph of 12 megapixels and fetches its thumbnails."""
    row = Comparison(what, "/s", 4.0)
    _measure(row, photographs, lab, [], [])
    return row


def memory(what: str, photographs: int, lab: Lab) -> Figure:
    """The same: mmr's processes together, which shall take a third of Synapse's memory."""
    ours: list[float] = []
    theirs: list[float] = []
    _measure(Comparison(what, "/s", 0), photographs, lab, ours, theirs)
    return Figure(what, "MB", limit=min(theirs) / 3, values=ours, others=[0.0])


def attack(what: str, size: int, lab: Lab) -> Delay:
    """Answers to others while hostile files are uploaded and rendered, against a quiet server: the 99th percentile."""
    row = Delay(what, limit=2.0)
    files = prepare.hostile_files(lab.directory / "hostile")
    lab.mmr.fresh()
    path = client.upload_file(lab.mmr.address, lab.file(size).read_bytes())
    load = Load(4, lab.options.seconds)
    wrk.get(lab.mmr.address, path, load)
    for _ in range(lab.options.rounds):
        lab.settle()
        row.theirs.append(wrk.get(lab.mmr.address, path, load).p99_ms)
        with _Attack(lab.mmr, files):
            row.ours.append(wrk.get(lab.mmr.address, path, load).p99_ms)
        row.others.append(0.0)
    lab.mmr.fresh()
    return row


class _Attack:
    """Two clients that upload hostile files, no two alike, and ask for their thumbnails, as long as it is in use."""

    def __init__(self, server: Server, files: list[Path]) -> None:
        self._server = server
        self._files = [file.read_bytes() for file in files]
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._attack, args=(each,)) for each in (1, 2)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _attack(self, seed: int) -> None:
        choose = random.Random(seed)
        connection = self._server.address.connect()
        while not self._over.is_set():
            # What failed is remembered by its content.
            content = choose.choice(self._files) + os.urandom(8)
            path = client.upload(self._server.address, connection, [content], len(content))
            path = path.replace("/download/", "/thumbnail/") + "?width=320&height=240&method=scale"
            connection.request("GET", path, headers=self._server.address.headers())
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 500:
                raise Trouble(f"{answer.status} to a hostile file")
        connection.close()


def _measure(
    row: Comparison, photographs: int, lab: Lab, ours: list[float], theirs: list[float]
) -> None:
    picture = _picture(lab)

    def measure(server: Server, peaks: list[float]) -> Sample:
        # A peak is of one storm.
        server.fresh()
        jobs = [partial(_upload_and_look, server, _unlike(picture)) for _ in range(photographs)]
        with Watch(server.child) as watch, _Peak(server) as peak:
            began = time.monotonic()
            client.in_parallel(jobs)
            seconds = time.monotonic() - began
        peaks.append(peak.megabytes)
        cpu_us = 1e6 * watch.used.server / photographs
        return Sample(photographs / seconds, cpu_us, watch.used.others)

    lab.alternate(row, lambda: measure(lab.mmr, ours), lambda: measure(lab.synapse, theirs))
    row.peaks_mb = (max(ours), max(theirs))
    for server in (lab.mmr, lab.synapse):
        server.fresh()


def _upload_and_look(server: Server, photograph: bytes) -> None:
    connection = server.address.connect()
    headers = {**server.address.headers(), "Content-Type": "image/jpeg"}
    connection.request("POST", client.UPLOAD, photograph, headers)
    answer = connection.getresponse()
    body: dict[str, Any] = json.loads(answer.read())
    if answer.status != 200:
        raise Trouble(f"{server.name} refused a photograph: {body}")
    media = body["content_uri"].removeprefix("mxc://")
    for width, height, method in _SIZES:
        query = f"width={width}&height={height}&method={method}"
        path = f"/_matrix/client/v1/media/thumbnail/{media}?{query}"
        connection.request("GET", path, headers=server.address.headers())
        answer = connection.getresponse()
        thumbnail = answer.read()
        if answer.status != 200 or not thumbnail.startswith(b"\xff\xd8"):
            raise Trouble(f"{server.name} has no thumbnail {width}x{height}: {answer.status}")
    connection.close()


class _Peak:
    """The most memory that a server and its children took at the same time, in `megabytes`; what they share counts once."""

    def __init__(self, server: Server) -> None:
        self.megabytes = 0.0
        self._child = server.child
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            # A process that ends while it is looked at.
            with suppress(OSError):
                self.megabytes = max(self.megabytes, self._child.memory_mb())


def _picture(lab: Lab) -> bytes:
    path: Path = lab.directory / "photograph.jpg"
    if not path.exists():
        command = [lab.python, "-c", _PAINT, "4000", "3000", path]
        subprocess.run([str(part) for part in command], check=True)
    return path.read_bytes()


def _unlike(picture: bytes) -> bytes:
    """The same picture in bytes that were never sent before: with a comment behind its first marker."""
    comment = os.urandom(32)
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + picture[2:]
