"""mmr as operators of terabytes run it, on Postgres and S3, beside what it has to go through."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any, TypeVar

from . import client, wrk
from .backends import USER, Backends
from .errors import Trouble
from .lab import Lab
from .processes import Child, Watch
from .rows import Comparison, Delay, Sample
from .servers import Mmr, Server, Synapse
from .wrk import Load

_Running = TypeVar("_Running", bound=Server)
# Media that are asked for once each, per round.
_COLD = 200
# Nobody on loopback needs that long, unless one waits for the other's delayed acknowledgement.
_STALLED_MS = 20


class MmrOnPostgres(Mmr):
    """mmr with its rows in Postgres, and its bytes in a bucket or a directory."""

    name = "mmr on Postgres"

    def __init__(self, name: str, lab: Lab, *, bucket: bool, **cache: int) -> None:
        """`name` is that of directory, database and bucket; `cache` is `downloads.cache`."""
        super().__init__(lab.directory / name, lab.binary, lab.synapse, lab.origin.roots)
        self._backends: Backends = lab.backends
        self._called = name
        self._bucket = bucket
        self._cache = cache
        self.wipe()

    def config(self) -> dict[str, Any]:
        """As it is, but for the storage."""
        config = super().config()
        config["database"] = {"postgres": self._backends.postgres.url(self._called)}
        if self._bucket:
            config["datastores"] = [self._backends.s3.datastore(self._called)]
        config["downloads"] = {**config["downloads"], "cache": self._cache}
        return config

    def wipe(self) -> None:
        """Starts over with an empty database and an empty bucket."""
        self._backends.postgres.fresh(self._called)
        self._backends.s3.fresh(self._called)
        shutil.rmtree(self.media, ignore_errors=True)


class SynapseOnPostgres(Synapse):
    """Synapse with a database of its own in the same cluster."""

    name = "Synapse on Postgres"

    def __init__(self, name: str, lab: Lab) -> None:
        """`name` is that of directory and database."""
        super().__init__(lab.directory / name, lab.python, lab.origin.roots)
        self._postgres = lab.backends.postgres
        self._called = name
        self._postgres.fresh(name)

    def database(self) -> dict[str, Any]:
        """As Synapse's documentation has it."""
        arguments = {
            "user": USER,
            "host": "127.0.0.1",
            "port": self._postgres.port,
            "dbname": self._called,
            "cp_min": 5,
            "cp_max": 10,
        }
        return {"name": "psycopg2", "args": arguments}


def hot(what: str, size: int, clients: int, lab: Lab) -> Comparison:
    """The same media over and over: its bytes are in memory, wherever they lie."""
    content = lab.file(size).read_bytes()
    lab.mmr.fresh()
    row = Comparison(what, "/s", 0.95)
    with _running(MmrOnPostgres("hot", lab, bucket=True)) as ours:
        paths = {}
        for server in (ours, lab.mmr):
            paths[server.name] = client.upload_file(server.address, content)
            # A fresh process, for its peak memory to be of downloads; and warm.
            server.stop()
            server.start()
            if client.download(server.address, paths[server.name]) != _digest(content):
                raise Trouble(f"{server.name} does not serve what it was given")
            wrk.get(server.address, paths[server.name], Load(clients, 1))

        def measure(server: Server) -> Sample:
            get = partial(wrk.get, server.address, paths[server.name])
            return _sample(lab, server, lambda: get(Load(clients, lab.options.seconds)))

        lab.alternate(row, partial(measure, ours), partial(measure, lab.mmr))
        row.peaks_mb = (ours.child.peak_mb(), lab.mmr.child.peak_mb())
    return row


def cold(what: str, size: int, lab: Lab) -> Delay:
    """Media that mmr has neither bytes nor rows of in memory, beside links to the same objects."""
    row = Delay(what, limit=1.3, slack_ms=2)
    s3, bucket = lab.backends.s3, "cold"
    with _running(MmrOnPostgres(bucket, lab, bucket=True, memoryBytes=0)) as mmr:
        first, *paths = _upload(mmr, size)
        links = [s3.presigned(bucket, key) for key in s3.objects(bucket)]
        if len(links) != len(paths) + 1:
            raise Trouble(f"{len(links)} objects are in the bucket, not one for each media")

        def through_mmr() -> None:
            # Forgets the rows that it remembered.
            mmr.stop()
            mmr.start()
            connection, headers = mmr.address.connect(), mmr.address.headers()
            # Opens the connections behind it, and has the token checked.
            client.timed(connection, first, headers)
            with Watch(mmr.child, *_helpers(lab)) as watch:
                timings = [client.timed(connection, path, headers) for path in paths]
            row.ours.extend(1000 * timing.whole for timing in timings)
            row.others.append(watch.used.others)
            connection.close()

        def directly() -> None:
            connection = s3.address.connect()
            client.timed(connection, links[0], {})
            with Watch(mmr.child, *_helpers(lab)) as watch:
                timings = [client.timed(connection, link, {}) for link in links[1:]]
            row.theirs.extend(1000 * timing.whole for timing in timings)
            row.others.append(watch.used.others)
            connection.close()

        for _ in range(lab.options.rounds):
            lab.settle()
            through_mmr()
            lab.settle()
            directly()
        if (direct := statistics.median(row.theirs)) > _STALLED_MS:
            raise Trouble(
                f"the S3 server itself takes {direct:.0f} ms for {size} bytes: it stalls "
                "(TCP_NODELAY?), and would make any ratio look good"
            )
        _must_have_asked_the_bucket(mmr, paths[-1], lambda: s3.fresh(bucket))
    return row


def _upload(mmr: Mmr, size: int) -> list[str]:
    """Uploads media and returns their paths."""
    piece, connection = client.random_piece(), mmr.address.connect()
    paths = []
    for _ in range(_COLD):
        body = client.unique_body(size, piece)
        paths.append(client.upload(mmr.address, connection, body, size))
    connection.close()
    return paths


def _must_have_asked_the_bucket(mmr: Mmr, path: str, empty: Callable[[], object]) -> None:
    """Fails if what was read until now can still be read once the objects are gone."""
    client.discard(mmr.address, path)
    empty()
    try:
        client.discard(mmr.address, path)
    except Trouble:
        return
    raise Trouble("mmr answers with bytes that it had in memory, so nothing was cold")


def written(what: str, size: int, lab: Lab) -> Delay:
    """Uploads to a bucket through mmr, beside the same writer without a server in front."""
    row = Delay(what, limit=1.15)
    s3, piece = lab.backends.s3, client.random_piece()
    # Parts and the whole.
    lab.need_space(3 * size)
    s3.fresh("directly")
    with _running(MmrOnPostgres("written", lab, bucket=True)) as mmr:

        def through_mmr() -> None:
            connection, began = mmr.address.connect(), time.monotonic()
            client.upload(mmr.address, connection, [b"warm"], 4)
            with Watch(mmr.child, *_helpers(lab)) as watch:
                while time.monotonic() - began < lab.options.seconds:
                    body = client.unique_body(size, piece)
                    row.ours.append(_upload_ms(mmr, connection, body, size))
                    sizes = [file.stat().st_size for file in s3.objects("written").values()]
                    if size not in sizes:
                        raise Trouble(f"{size} bytes are not in the bucket: {sizes}")
                    # Its rows stay; nobody asks for them.
                    s3.fresh("written")
            row.others.append(watch.used.others)
            connection.close()

        def directly() -> None:
            with Watch(mmr.child, *_helpers(lab)) as watch:
                row.theirs.extend(s3.written_directly("directly", size, lab.options.seconds))
            row.others.append(watch.used.others)

        for _ in range(lab.options.rounds):
            lab.settle()
            through_mmr()
            lab.settle()
            directly()
    return row


def _upload_ms(mmr: Mmr, connection: HTTPConnection, body: Iterator[bytes], size: int) -> float:
    began = time.monotonic()
    client.upload(mmr.address, connection, body, size)
    return 1000 * (time.monotonic() - began)


def beside_synapse(what: str, size: int, clients: int, lab: Lab) -> Comparison:
    """Uploads to mmr with Postgres and a directory, beside a Synapse that has the same."""
    row, file = Comparison(what, "/s", 5.0), lab.file(size)
    requests: dict[str, int] = {}
    synapse = SynapseOnPostgres("synapse-on-postgres", lab)
    with _running(MmrOnPostgres("uploads", lab, bucket=False)) as mmr, _running(synapse):

        def measure(server: Server) -> Sample:
            lab.need_space(4 << 30)
            count = 0

            def load() -> wrk.Count:
                nonlocal count
                counted = wrk.post(server.address, file, Load(clients, lab.options.seconds))
                count = counted.requests
                return counted

            sample = _sample(lab, server, load)
            requests[server.name] = requests.get(server.name, 0) + count
            return sample

        for server in (mmr, synapse):
            client.upload_file(server.address, b"warm")
        lab.settle_files()
        lab.alternate(row, partial(measure, mmr), partial(measure, synapse))
        for server in (mmr, synapse):
            if server.stored_bytes() < requests[server.name] * size:
                raise Trouble(f"{server.name} stored less than was uploaded")
        row.peaks_mb = (mmr.child.peak_mb(), synapse.child.peak_mb())
    return row


@contextmanager
def _running(server: _Running) -> Iterator[_Running]:
    """Runs a server for one row."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.wipe()


def _sample(lab: Lab, server: Server, load: Callable[[], wrk.Count]) -> Sample:
    with Watch(server.child, *_helpers(lab)) as watch:
        count = load()
    rate = count.requests / count.seconds
    used = 1e6 * watch.used.server / max(count.requests, 1)
    return Sample(rate, used, watch.used.others, count.p50_ms, count.p99_ms)


def _helpers(lab: Lab) -> list[Child]:
    """What works for whoever is measured, and is no foreign noise."""
    return [lab.backends.postgres.child, lab.backends.s3.child]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
