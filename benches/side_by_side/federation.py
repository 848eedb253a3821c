"""Media of another server, and media for other servers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection

from . import client, wrk
from .errors import Trouble
from .lab import Lab
from .processes import Watch
from .rows import Comparison, Delay, Figure, Sample
from .servers import SERVER_NAME, Server
from .wrk import Load

_SIGNED = "/_matrix/federation/v1/media/download"


def first_byte(what: str, size: int, lab: Lab) -> Delay:
    """How long the first byte of media that is not here takes, while its origin sends slowly."""
    row = Delay(what, limit=1.2, slack_ms=20)
    return _beside_the_origin(row, size, lab, lambda timing: timing.first_byte, "slow")


def whole(what: str, size: int, lab: Lab, pace: str | None = None) -> Delay:
    """How long all of it takes, at the pace of the origin."""
    row = Delay(what, limit=1.15)
    return _beside_the_origin(row, size, lab, lambda timing: timing.whole, pace)


def _beside_the_origin(
    row: Delay, size: int, lab: Lab, measured: Callable[[client.Timing], float], pace: str | None
) -> Delay:
    """Compares downloads through mmr with those from the origin itself, over open connections."""
    _start(lab, size)
    ours, theirs = lab.mmr.address.connect(), lab.origin.connect()

    def through_mmr(media_id: str) -> client.Timing:
        path = lab.origin.download_path(media_id)
        return client.timed(ours, path, lab.mmr.address.headers())

    def directly(media_id: str) -> client.Timing:
        return client.timed(theirs, f"{_SIGNED}/{media_id}", {})

    def measure(fetch: Callable[[str], client.Timing], samples: list[float]) -> None:
        began = time.monotonic()
        with Watch(lab.mmr.child, lab.origin.child) as watch:
            # What has a pace is measured once: it takes long enough, and is only waited for.
            while True:
                samples.append(1000 * measured(fetch(lab.origin.new_id(size, pace))))
                if pace or time.monotonic() - began > lab.options.seconds:
                    break
        row.others.append(watch.used.others)

    for fetch in (through_mmr, directly):
        fetch(lab.origin.new_id(size))
    for _ in range(lab.options.rounds):
        lab.settle()
        measure(through_mmr, row.ours)
        lab.settle()
        measure(directly, row.theirs)
    for connection in (ours, theirs):
        connection.close()
    lab.mmr.fresh()
    return row


def beside_synapse(what: str, size: int, lab: Lab) -> Comparison:
    """Fetches of small media, one after the other."""
    _start(lab, size)
    lab.synapse.fresh()
    for server in (lab.mmr, lab.synapse):
        _read(server, lab.origin.download_path(lab.origin.new_id(size)), size)
    requests: dict[str, int] = {}
    lab.settle_files()

    def measure(server: Server) -> Sample:
        connection: HTTPConnection = server.address.connect()
        count, began = 0, time.monotonic()
        with Watch(server.child, lab.origin.child) as watch:
            while time.monotonic() - began < lab.options.seconds:
                path = lab.origin.download_path(lab.origin.new_id(size))
                client.timed(connection, path, server.address.headers())
                count += 1
        connection.close()
        requests[server.name] = requests.get(server.name, 0) + count
        return Sample(
            count / watch.used.seconds, 1e6 * watch.used.server / count, watch.used.others
        )

    row = lab.compare(Comparison(what, "/s", 2.0), lab.synapse, measure)
    for server in (lab.mmr, lab.synapse):
        if server.stored_bytes() < requests[server.name] * size:
            raise Trouble(f"{server.name} stored less than it fetched: bodies were not unique")
    return row


def memory(what: str, size: int, limit: float, lab: Lab, *, readers: int, fetches: int) -> Figure:
    """The peak while `fetches` different media are read by `readers` each, all at once."""
    row = Figure(what, "MB", limit)
    for _ in range(1 if lab.options.quick else 3):
        _start(lab, size)
        # What is stored, and what it is read from until then.
        lab.need_space(2 * fetches * size)
        ids = [lab.origin.new_id(size) for _ in range(fetches)] * readers
        jobs = [
            partial(_read, lab.mmr, lab.origin.download_path(media_id), size) for media_id in ids
        ]
        with Watch(lab.mmr.child, lab.origin.child) as watch:
            client.in_parallel(jobs)
        row.values.append(lab.mmr.child.peak_mb())
        row.others.append(watch.used.others)
        if not fetches * size <= lab.mmr.stored_bytes() < (fetches + 1) * size:
            raise Trouble(f"{lab.mmr.stored_bytes()} bytes are stored of {fetches} x {size}")
    lab.mmr.fresh()
    return row


def _read(server: Server, path: str, size: int) -> None:
    if (came := client.discard(server.address, path)) != size:
        raise Trouble(f"GET {path}: {came} bytes came of {size}")


def signed(what: str, size: int, clients: int, lab: Lab) -> Comparison:
    """Requests of another server, whose key is known by then, beside those of a client."""
    lab.origin.fresh()
    lab.mmr.fresh()
    path = client.upload_file(lab.mmr.address, lab.file(size).read_bytes())
    target = f"{_SIGNED}/{path.rpartition('/')[2]}"
    headers, load = lab.origin.signed(SERVER_NAME, target), Load(clients, lab.options.seconds)

    def measure(get: Callable[[Load], wrk.Count]) -> Sample:
        with Watch(lab.mmr.child) as watch:
            count = get(load)
        used = 1e6 * watch.used.server / max(count.requests, 1)
        rate = count.requests / count.seconds
        return Sample(rate, used, watch.used.others, count.p50_ms, count.p99_ms)

    by_server = partial(wrk.get, lab.mmr.address, target, headers=headers)
    by_client = partial(wrk.get, lab.mmr.address, path)
    for get in (by_server, by_client):
        get(Load(clients, 1))
    row = Comparison(what, "/s", 0.8)
    lab.alternate(row, partial(measure, by_server), partial(measure, by_client))
    row.peaks_mb = (lab.mmr.child.peak_mb(),) * 2
    return row


def _start(lab: Lab, size: int) -> None:
    """The origin, with media of this size, and an mmr that has nothing."""
    lab.need_space(size)
    lab.origin.prepare(lab.file(size))
    lab.origin.fresh()
    lab.mmr.fresh()
