"""What mmr keeps things in besides files: a private Postgres cluster and an S3 server."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .client import Address
from .errors import Trouble
from .prepare import StoragePrograms, postgres_program
from .processes import Child, free_port

USER = "bench"
_LINKS_LIVE = 3600


class Postgres:
    """One server with its own default durability: every commit is synced to the disk."""

    name = "Postgres"

    def __init__(self, directory: Path) -> None:
        """Makes an empty cluster, with `C` as its locale, which Synapse insists on."""
        directory.mkdir(parents=True)
        self.port = free_port()
        self._child: Child | None = None
        self._log = directory / "log"
        # Where another user gets to, and on a disk: the checkout may lie in somebody's home.
        root = os.geteuid() == 0
        place = Path("/var/tmp") if root else directory
        self._data = Path(tempfile.mkdtemp(prefix="mmr-bench-postgres-", dir=place))
        if root:
            shutil.chown(self._data, "postgres", "postgres")
        initdb = [postgres_program("initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8"]
        _run(_as_postgres([*initdb, "--locale=C", "-U", USER, "-D", str(self._data)]), cwd="/")

    @property
    def child(self) -> Child:
        """The running server."""
        if self._child is None:
            raise Trouble("Postgres is not running")
        return self._child

    def start(self) -> None:
        """Starts the server and waits until it accepts connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [postgres_program("postgres"), "-D", str(self._data), *options]
        self._child = Child(_as_postgres(command), self._log)
        self._child.ready(self._accepts)

    def close(self) -> None:
        """Stops the server and removes what it wrote."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        shutil.rmtree(self._data, ignore_errors=True)

    def url(self, database: str) -> str:
        """A connection string."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def fresh(self, database: str) -> None:
        """Makes an empty database, in place of the one of that name."""
        self.query("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        locale = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        self.query("postgres", f'CREATE DATABASE "{database}" {locale}')

    def query(self, database: str, sql: str) -> list[str]:
        """The lines that psql prints for a statement."""
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)]
        return _run(command).splitlines()

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return False
        ready = [postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


class S3:
    """The S3 server of the tests. It checks signatures, and keeps objects as files."""

    name = "S3"

    def __init__(self, directory: Path, programs: StoragePrograms) -> None:
        """Starts nothing."""
        self._root = directory / "buckets"
        self._root.mkdir(parents=True)
        self._log = directory / "log"
        self._programs = programs
        self.address = Address(free_port())
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running server."""
        if self._child is None:
            raise Trouble("the S3 server is not running")
        return self._child

    def start(self) -> None:
        """Starts the server and waits until it tells its keys."""
        listen = f"127.0.0.1:{self.address.port}"
        command: list[str | Path] = [
            self._programs.server,
            "--root",
            self._root,
            "--listen",
            listen,
        ]
        self._child = Child(command, self._log)
        self._child.ready(lambda: bool(self._said()))

    def close(self) -> None:
        """Stops the server."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def fresh(self, bucket: str) -> Path:
        """Makes an empty bucket. Its objects are the files in the directory that is returned."""
        path = self._root / bucket
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def objects(self, bucket: str) -> dict[str, Path]:
        """The files of all objects, by key; what the server notes beside them is hidden."""
        root = self._root / bucket
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(file.relative_to(root)): file for file in files if file.name[0] != "."}

    def datastore(self, bucket: str) -> dict[str, Any]:
        """An entry of `datastores`."""
        said = self._said()
        opts = {
            "endpoint": f"127.0.0.1:{self.address.port}",
            "bucketName": bucket,
            "accessKeyId": said["access_key_id"],
            "accessSecret": said["secret_access_key"],
            "region": said["region"],
            "ssl": False,
        }
        return {"id": "main", "type": "s3", "forKinds": ["all"], "opts": opts}

    def written_directly(self, bucket: str, size: int, seconds: float) -> list[float]:
        """Milliseconds of each object that mmr's own writer wrote, without a server in front."""
        said = self._said()
        keys = {
            "AWS_ACCESS_KEY_ID": said["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": said["secret_access_key"],
            "AWS_REGION": said["region"],
        }
        where = [f"127.0.0.1:{self.address.port}", bucket]
        printed = _run([self._programs.writer, *where, size, seconds], env={**os.environ, **keys})
        return [float(line) for line in printed.split()]

    def presigned(self, bucket: str, key: str) -> str:
        """The target of a GET that needs no header (signature version 4)."""
        said = self._said()
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{said['region']}/s3/aws4_request"
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{said['access_key_id']}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": str(_LINKS_LIVE),
            "X-Amz-SignedHeaders": "host",
        }
        path = quote(f"/{bucket}/{key}", safe="/-_.~")
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        host = f"host:127.0.0.1:{self.address.port}\n"
        request = "\n".join(("GET", path, query, host, "host", "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(request.encode()).hexdigest()
        signing = f"AWS4{said['secret_access_key']}".encode()
        for part in scope.split("/"):
            signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
        text = "\n".join(("AWS4-HMAC-SHA256", now, scope, digest))
        signature = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
        return f"{path}?{query}&X-Amz-Signature={signature}"

    def _said(self) -> dict[str, str]:
        """What the program prints when it listens."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        said: dict[str, str] = json.loads(lines[-1]) if lines and lines[-1][:1] == "{" else {}
        return said


class Backends:
    """Both, running."""

    def __init__(self, directory: Path, programs: StoragePrograms) -> None:
        """Makes them, and starts nothing."""
        self.s3 = S3(directory / "s3", programs)
        self.postgres = Postgres(directory / "postgres")

    def start(self) -> None:
        """Starts both."""
        for server in (self.postgres, self.s3):
            try:
                server.start()
            except Trouble as trouble:
                raise Trouble(f"{server.name} {trouble}") from trouble

    def close(self) -> None:
        """Stops both, and removes what is not in the directory of the run."""
        self.s3.close()
        self.postgres.close()


def _as_postgres(command: list[str]) -> list[str]:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


def _run(
    command: Sequence[object], *, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    words = [str(word) for word in command]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    if ran.returncode:
        raise Trouble(f"{words[0]} failed: {ran.stdout}{ran.stderr}")
    return ran.stdout
