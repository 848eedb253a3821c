"""Several equal nodes over one Postgres database and one bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .mmr import Mmr
from .postgres import Postgres
from .s3 import S3
from .synapse import Synapse
from .tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Backends:
    """What nodes share."""

    postgres: Postgres
    s3: S3


@dataclass(frozen=True)
class Cluster:
    """Running nodes, and proxies between them and what they share."""

    name: str
    nodes: list[Mmr]
    backends: Backends
    to_postgres: TcpProxy
    to_s3: TcpProxy
    to_homeserver: TcpProxy

    def rows(self, sql: str) -> list[str]:
        """Asks the database, past the proxy."""
        return self.backends.postgres.query(self.name, sql)

    def objects(self) -> set[str]:
        """Keys of all objects."""
        return self.backends.s3.objects(self.name)


@contextmanager
def running_backends(directory: Path) -> Iterator[Backends]:
    """A Postgres cluster and an S3 server."""
    s3 = S3(directory)
    with Postgres() as postgres, s3.process:
        yield Backends(postgres, s3)


@contextmanager
def running_cluster(
    name: str,
    size: int,
    homeserver: Synapse,
    backends: Backends,
    directory: Path,
    config: Mapping[str, Mapping[str, Any] | list[Any]] | None = None,
) -> Iterator[Cluster]:
    """Starts `size` nodes on a new database and a new bucket, both called `name`."""
    backends.postgres.create(name)
    backends.s3.bucket(name)
    with ExitStack() as running:
        to_postgres = running.enter_context(TcpProxy(backends.postgres.port))
        to_s3 = running.enter_context(TcpProxy(backends.s3.port))
        to_homeserver = running.enter_context(TcpProxy(homeserver.port))
        settings: dict[str, Mapping[str, Any] | list[Any]] = {
            "database": {
                "sqlite": None,
                "postgres": backends.postgres.url(name, port=to_postgres.port),
            },
            "datastores": [backends.s3.datastore(name, port=to_s3.port)],
            "homeservers": [
                {
                    "name": homeserver.server_name,
                    "csApi": f"http://127.0.0.1:{to_homeserver.port}",
                    "adminApiKind": "synapse",
                }
            ],
            "uploads": {"maxPending": 0},
            **(config or {}),
        }
        nodes = [
            Mmr(f"{name}-{number}", homeserver, directory / f"{name}-{number}", config=settings)
            for number in range(size)
        ]
        for node in nodes:
            running.enter_context(node.process)
        yield Cluster(name, nodes, backends, to_postgres, to_s3, to_homeserver)
