"""A private Postgres cluster on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .ports import free_port
from .process import Process

USER = "mmr"


def _program(name: str) -> str:
    """A Postgres program; Debian keeps them out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(debian[-1]) if debian else shutil.which(name)
    assert found, f"{name} is not installed (Debian package: postgresql)"
    return found


def _as_postgres(command: list[str]) -> list[str]:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


class Postgres:
    """One server; its data does not survive the machine, so that tests are quick."""

    def __init__(self) -> None:
        self.port = free_port()
        # Where another user gets to: the checkout may lie in somebody's home.
        self._directory = Path(tempfile.mkdtemp(prefix="mmr-postgres-"))
        data = self._directory / "data"
        data.mkdir()
        if os.geteuid() == 0:
            for path in (self._directory, data):
                shutil.chown(path, "postgres", "postgres")
        initialise = [_program("initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(
            _as_postgres([*initialise, "--locale=C", "-U", USER, "-D", str(data)]),
            check=True,
            capture_output=True,
            cwd="/",
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "100",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self.process = Process(
            "postgres",
            _as_postgres([_program("postgres"), "-D", str(data), *options]),
            cwd=Path("/"),
            ready=self._accepts,
        )

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self._directory)

    def url(self, database: str, *, port: int | None = None) -> str:
        """A connection string, past or through a proxy."""
        return f"postgres://{USER}@127.0.0.1:{port or self.port}/{database}?sslmode=disable"

    def create(self, database: str) -> str:
        """Makes an empty database and returns its connection string."""
        self.query("postgres", f'CREATE DATABASE "{database}"')
        return self.url(database)

    def query(self, database: str, sql: str) -> list[str]:
        """The lines that psql prints for a statement, columns separated by tabs."""
        answer = subprocess.run(
            ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)],
            check=True,
            capture_output=True,
            text=True,
        )
        return answer.stdout.splitlines()

    def restart_hard(self) -> None:
        """Drops every connection and what it was doing, recovers, and serves again."""
        self.process.signal(signal.SIGQUIT)
        self.process.wait()
        self.process.start()

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return False
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0
