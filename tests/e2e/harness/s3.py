"""The S3 server of the tests: it checks signatures, and keeps objects as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import paths
from .ports import free_port
from .process import Process


class S3:
    """One server, its buckets below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._root = directory / "s3"
        self._root.mkdir(parents=True, exist_ok=True)
        program = paths.built("s3-test-server")
        command = [program, "--root", self._root, "--listen", f"127.0.0.1:{self.port}"]
        self.process = Process("s3", command, cwd=directory, ready=lambda: self._said() is not None)

    def bucket(self, name: str) -> Path:
        """Makes a bucket; its objects are files in the directory that is returned."""
        path = self._root / name
        path.mkdir(exist_ok=True)
        return path

    def objects(self, bucket: str) -> set[str]:
        """Keys of all objects in a bucket."""
        root = self._root / bucket
        files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        return {file for file in files if not Path(file).name.startswith(".")}

    def datastore(
        self, bucket: str, *, port: int | None = None, kinds: tuple[str, ...] = ("all",), **opts: str | int
    ) -> dict[str, Any]:
        """An entry of `datastores`, past or through a proxy."""
        said = self._said()
        assert said is not None, "the server runs"
        return {
            "id": bucket,
            "type": "s3",
            "forKinds": list(kinds),
            "opts": {
                "endpoint": f"127.0.0.1:{port or self.port}",
                "bucketName": bucket,
                "accessKeyId": said["access_key_id"],
                "accessSecret": said["secret_access_key"],
                "region": said["region"],
                "ssl": False,
                **opts,
            },
        }

    def _said(self) -> dict[str, str] | None:
        """What the program prints when it listens."""
        lines = self.process.log.read_text().splitlines() if self.process.log.exists() else []
        ready: dict[str, str] | None = json.loads(lines[-1]) if lines and lines[-1][:1] == "{" else None
        return ready
