"""What is measured, row by row."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from . import client, federation, rendering, storage, wrk
from .errors import Trouble
from .lab import Lab
from .processes import Watch
from .rows import Comparison, Figure, Row, Sample
from .servers import Mmr, Server, Synapse
from .wrk import Load

KB, MB, MIB = 1000, 1000 * 1000, 1 << 20
SECTIONS = ("downloads", "uploads", "memory", "start", "federation", "storage", "thumbnails")
_STARTS = 11


@dataclass(frozen=True)
class Scenario:
    """One row, still to be measured."""

    section: str
    what: str
    run: Callable[[Lab], Row]


@dataclass(frozen=True)
class Traffic:
    """Clients that send or fetch media of one size as fast as they can."""

    size: int
    clients: int
    # The ratio that mmr shall reach.
    wanted: float
    # `/s` or `MB/s`.
    unit: str = "/s"
    # Server and load generator share one processor, which compares the work per request and no wake-ups.
    on_one_processor: bool = False

    def __str__(self) -> str:
        clients = "1 client" if self.clients == 1 else f"{self.clients} clients"
        where = ", on one processor" if self.on_one_processor else ""
        return f"{_size(self.size)}, {clients}{where}"

    def load(self, lab: Lab) -> Load:
        """What wrk shall do."""
        return Load(self.clients, lab.options.seconds)

    def row(self, what: str) -> Comparison:
        """The row, still empty."""
        return Comparison(what, self.unit, self.wanted)

    def sample(self, requests: float, seconds: float, watch: Watch) -> Sample:
        """What so many requests in so much time amount to."""
        rate = requests / seconds * (self.size / MB if self.unit == "MB/s" else 1)
        return Sample(rate, 1e6 * watch.used.server / max(requests, 1), watch.used.others)


FROM_NGINX = (
    Traffic(10 * KB, 32, 1.0),
    Traffic(10 * KB, 32, 1.0, on_one_processor=True),
    Traffic(10 * KB, 1, 1.0),
    Traffic(100 * KB, 32, 1.0),
    Traffic(1 * MB, 16, 1.0, "MB/s"),
    Traffic(100 * MB, 4, 1.0, "MB/s"),
)
FROM_SYNAPSE = (
    Traffic(10 * KB, 1, 30.0),
    Traffic(10 * KB, 16, 30.0),
    Traffic(5 * MB, 1, 5.0, "MB/s"),
    Traffic(5 * MB, 16, 5.0, "MB/s"),
)
SMALL_UPLOADS = (Traffic(100 * KB, 1, 1.5), Traffic(100 * KB, 16, 5.0))
LARGE_UPLOADS = Traffic(100 * MB, 1, 1.5, "MB/s")


def scenarios(*, quick: bool) -> Iterator[Scenario]:
    """All rows, in the order of the report."""
    for traffic in FROM_NGINX:
        what = f"download {traffic}, against nginx"
        yield Scenario("downloads", what, partial(_downloads_beside_nginx, what, traffic))
    for traffic in FROM_SYNAPSE:
        what = f"download {traffic}, against Synapse"
        yield Scenario("downloads", what, partial(_downloads_beside_synapse, what, traffic))
    for traffic in (*SMALL_UPLOADS, LARGE_UPLOADS):
        what = f"upload {traffic}, synced, against Synapse, which does not sync"
        measure = _large_uploads if traffic is LARGE_UPLOADS else _small_uploads
        yield Scenario("uploads", what, partial(measure, what, traffic))
    upload, download = (64 * MIB, 10 * MB) if quick else (1024 * MIB, 100 * MB)
    yield Scenario("memory", "peak memory, idle", _idle)
    what = f"peak memory, 8 uploads of {_size(upload)} at once"
    yield Scenario("memory", what, partial(_memory_of_uploads, what, 8, upload))
    what = f"peak memory, 64 downloads of {_size(download)} at once"
    yield Scenario("memory", what, partial(_memory_of_downloads, what, 64, download))
    for where, empty in (("an empty directory", True), ("the directory of an earlier run", False)):
        what = f"start to first answer, in {where}"
        yield Scenario("start", what, partial(_start, what, empty))
    yield from _federation(quick=quick)
    yield from _storage(quick=quick)
    what = "8 photographs of 12 MP uploaded at once, each fetched in five sizes, against Synapse"
    yield Scenario("thumbnails", what, partial(rendering.storm, what, 8))
    what = "the same: peak memory of all processes, which shall be a third of Synapse's"
    yield Scenario("thumbnails", what, partial(rendering.memory, what, 8))
    what = "99th percentile of 10 KB, 4 clients, while hostile files are rendered, against a quiet server"
    yield Scenario("thumbnails", what, partial(rendering.attack, what, 10 * KB))


def _federation(*, quick: bool) -> Iterator[Scenario]:
    """Everything here is fetched for the first time, but what other servers ask for."""
    size = (5 if quick else 50) * MB
    what = f"first byte of {_size(size)} not yet here, from 10 MB/s, against its origin"
    yield Scenario("federation", what, partial(federation.first_byte, what, size))
    what = f"all of {_size(size)} not yet here, against its origin"
    yield Scenario("federation", what, partial(federation.whole, what, size))
    # Long enough for what nginx sends at once not to matter.
    size = (200 if quick else 400) * MB
    what = f"all of {_size(size)} not yet here, from 1 Gbit/s, against its origin"
    yield Scenario("federation", what, partial(federation.whole, what, size, pace="gigabit"))
    what = "100 KB not yet here, 1 client, against Synapse"
    yield Scenario("federation", what, partial(federation.beside_synapse, what, 100 * KB))
    one, each = (64 * MIB, 10 * MB) if quick else (1024 * MIB, 100 * MB)
    for what, size, limit, readers, fetches in (
        (f"peak memory, 64 readers of one fetch of {_size(one)}", one, 64, 64, 1),
        (f"peak memory, 64 fetches of {_size(each)} at once", each, 128, 1, 64),
    ):
        run = partial(federation.memory, what, size, limit, readers=readers, fetches=fetches)
        yield Scenario("federation", what, run)
    what = "10 KB signed by another server, 32 clients, against the same for a client"
    yield Scenario("federation", what, partial(federation.signed, what, 10 * KB, 32))


def _storage(*, quick: bool) -> Iterator[Scenario]:
    """Everything here is about mmr on Postgres, and on S3 unless the row says otherwise."""
    what = "hot 10 KB on Postgres and S3, 32 clients, against mmr on SQLite and a directory"
    yield Scenario("storage", what, partial(storage.hot, what, 10 * KB, 32))
    size = (20 if quick else 100) * MB
    what = f"upload {_size(size)} to S3, 1 client, against the same writer without HTTP in front"
    yield Scenario("storage", what, partial(storage.written, what, size))
    what = "upload 100 KB on Postgres and a directory, 16 clients, against Synapse on Postgres"
    yield Scenario("storage", what, partial(storage.beside_synapse, what, 100 * KB, 16))
    # The last, because it ends the run if the S3 server stalls.
    what = "cold 100 KB on Postgres and S3, 1 client, against the S3 server asked directly"
    yield Scenario("storage", what, partial(storage.cold, what, 100 * KB))


def _downloads_beside_nginx(what: str, traffic: Traffic, lab: Lab) -> Comparison:
    file = lab.file(traffic.size)
    lab.nginx.fresh()
    lab.mmr.fresh()
    ours = client.upload_file(lab.mmr.address, file.read_bytes())
    return _compare_downloads(what, traffic, lab, lab.nginx, (ours, f"/{file.name}"))


def _downloads_beside_synapse(what: str, traffic: Traffic, lab: Lab) -> Comparison:
    content = lab.file(traffic.size).read_bytes()
    lab.synapse.fresh()
    lab.mmr.fresh()
    ours, theirs = (client.upload_file(s.address, content) for s in (lab.mmr, lab.synapse))
    return _compare_downloads(what, traffic, lab, lab.synapse, (ours, theirs))


def _compare_downloads(
    what: str, traffic: Traffic, lab: Lab, peer: Server, paths: tuple[str, str]
) -> Comparison:
    """Compares mmr with a peer that serves the same file, each under its path in `paths`."""
    digest = hashlib.sha256(lab.file(traffic.size).read_bytes()).hexdigest()
    path_of = dict(zip((lab.mmr.name, peer.name), paths, strict=True))
    for server in (peer, lab.mmr):
        # A fresh process, for its peak memory to be of downloads; and warm.
        server.stop()
        server.start()
        path = path_of[server.name]
        if client.download(server.address, path) != digest:
            raise Trouble(f"{server.name} does not serve what it was given")
        wrk.get(server.address, path, Load(traffic.clients, 1))

    def measure(server: Server) -> Sample:
        place = server.child.with_us_on_one_processor() if traffic.on_one_processor else nullcontext()
        with place, Watch(server.child) as watch:
            count = wrk.get(server.address, path_of[server.name], traffic.load(lab))
        # wrk cuts off what is under way at the end, so bytes count better than answers.
        requests = count.bytes / traffic.size
        return _with_latency(traffic.sample(requests, count.seconds, watch), count)

    return lab.compare(traffic.row(what), peer, measure)


def _small_uploads(what: str, traffic: Traffic, lab: Lab) -> Comparison:
    file = lab.file(traffic.size)
    requests: dict[str, int] = {}

    def measure(server: Server) -> Sample:
        lab.need_space(4 << 30)
        with Watch(server.child) as watch:
            count = wrk.post(server.address, file, traffic.load(lab))
        requests[server.name] = requests.get(server.name, 0) + count.requests
        return _with_latency(traffic.sample(count.requests, count.seconds, watch), count)

    return _compare_uploads(what, traffic, lab, measure, requests)


def _large_uploads(what: str, traffic: Traffic, lab: Lab) -> Comparison:
    piece = client.random_piece()
    requests: dict[str, int] = {}

    def measure(server: Server) -> Sample:
        lab.need_space(8 << 30)
        connection = server.address.connect()
        count, began = 0, time.monotonic()
        with Watch(server.child) as watch:
            while count == 0 or time.monotonic() - began < lab.options.seconds:
                body = client.unique_body(traffic.size, piece)
                client.upload(server.address, connection, body, traffic.size)
                count += 1
        connection.close()
        requests[server.name] = requests.get(server.name, 0) + count
        return traffic.sample(count, watch.used.seconds, watch)

    return _compare_uploads(what, traffic, lab, measure, requests)


def _compare_uploads(
    what: str,
    traffic: Traffic,
    lab: Lab,
    measure: Callable[[Server], Sample],
    requests: dict[str, int],
) -> Comparison:
    """Compares, and holds both servers to having stored every body, that is, de-duplicated none."""
    uploading: tuple[Synapse, Mmr] = (lab.synapse, lab.mmr)
    for server in uploading:
        server.fresh()
        client.upload_file(server.address, b"warm")
    lab.settle_files()
    row = lab.compare(traffic.row(what), lab.synapse, measure)
    for server in uploading:
        if server.stored_bytes() < requests[server.name] * traffic.size:
            raise Trouble(f"{server.name} stored less than was uploaded: bodies were not unique")
        server.stop()
        server.wipe()
    lab.synapse.start()
    return row


def _idle(lab: Lab) -> Figure:
    row = Figure("peak memory, idle", "MB", limit=25)
    for _ in range(_repeats(lab)):
        lab.mmr.fresh()
        with Watch(lab.mmr.child) as watch:
            time.sleep(2)
        row.values.append(lab.mmr.child.peak_mb())
        row.others.append(watch.used.others)
    return row


def _memory_of_uploads(what: str, clients: int, size: int, lab: Lab) -> Figure:
    row = Figure(what, "MB", limit=64)
    piece = client.random_piece()
    lab.need_space(clients * size)

    def job() -> None:
        connection = lab.mmr.address.connect()
        body = client.unique_body(size, piece)
        client.upload(lab.mmr.address, connection, body, size)
        connection.close()

    for _ in range(_repeats(lab)):
        lab.mmr.fresh()
        with Watch(lab.mmr.child) as watch:
            client.in_parallel([job] * clients)
        row.values.append(lab.mmr.child.peak_mb())
        row.others.append(watch.used.others)
        if lab.mmr.stored_bytes() < clients * size:
            raise Trouble("mmr stored less than was uploaded: bodies were not unique")
    lab.mmr.fresh()
    return row


def _memory_of_downloads(what: str, clients: int, size: int, lab: Lab) -> Figure:
    row = Figure(what, "MB", limit=96)
    lab.mmr.fresh()
    content = lab.file(size).read_bytes()
    path = client.upload_file(lab.mmr.address, content)
    for _ in range(_repeats(lab)):
        # A fresh process, for its peak not to be of the upload.
        lab.mmr.stop()
        lab.mmr.start()
        with Watch(lab.mmr.child) as watch:
            client.in_parallel([partial(client.discard, lab.mmr.address, path)] * clients)
        row.values.append(lab.mmr.child.peak_mb())
        row.others.append(watch.used.others)
    return row


def _start(what: str, empty: bool, lab: Lab) -> Figure:
    row = Figure(what, "ms", limit=150)
    for _ in range(_STARTS):
        lab.mmr.stop()
        if empty:
            lab.mmr.wipe()
        with Watch() as watch:
            lab.mmr.start(pause=0.0005)
        row.values.append(1000 * watch.used.seconds)
        # Too short to tell others' processor time from mmr's own.
    with Watch() as watch:
        time.sleep(1)
    row.others.append(watch.used.others)
    return row


def _with_latency(sample: Sample, count: wrk.Count) -> Sample:
    return replace(sample, p50_ms=count.p50_ms, p99_ms=count.p99_ms)


def _repeats(lab: Lab) -> int:
    return 1 if lab.options.quick else 3


def _size(size: int) -> str:
    for unit, name in ((1024 * MIB, "GiB"), (MB, "MB"), (MIB, "MiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size // KB} KB"
