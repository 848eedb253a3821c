"""`mmr-server serve` with a configuration written for the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from . import paths
from .http import MatrixHttp, answers
from .ports import free_port
from .process import Process
from .synapse import MAX_UPLOAD_BYTES, Synapse

TOKEN_CACHE_SECONDS = 300
HOMESERVER_TIMEOUT_SECONDS = 2
# The local part of the repository's administrator.
OPERATOR = "operator"


class Mmr:
    """One mmr process: SQLite and a directory, in front of one Synapse."""

    def __init__(
        self,
        name: str,
        homeserver: Synapse,
        directory: Path,
        *,
        port: int | None = None,
        blobs: Path | None = None,
        database: Path | None = None,
        config: Mapping[str, Mapping[str, Any] | list[Any]] | None = None,
        signing_key: Path | None = None,
    ) -> None:
        """`config` overrides single keys of top-level blocks, and lists as a whole."""
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.server_name = homeserver.server_name
        self.blobs = blobs or directory / "blobs"
        directory.mkdir(parents=True, exist_ok=True)
        self.blobs.mkdir(parents=True, exist_ok=True)
        settings = self._config(homeserver, database or directory / "mmr.db")
        for block, keys in (config or {}).items():
            merged = keys if isinstance(keys, list) else {**settings.get(block, {}), **keys}
            settings[block] = merged
        if signing_key is not None:
            settings["homeservers"][0]["signingKeyPath"] = str(signing_key)
        self.config = path = directory / "media-repo.yaml"
        path.write_text(yaml.safe_dump(settings))
        self.process = Process(
            name,
            [paths.mmr_binary(), "--config", path, "serve"],
            cwd=directory,
            ready=lambda: answers(f"{self.base}/healthz"),
        )

    def client(self, token: str | None = None) -> MatrixHttp:
        """Requests straight to this process, as the proxy would send them."""
        return MatrixHttp(self.base, token, host=self.server_name)

    def stored_files(self) -> list[Path]:
        """Every file below the datastore's directory."""
        return [path for path in self.blobs.rglob("*") if path.is_file()]

    def _config(self, homeserver: Synapse, database: Path) -> dict[str, Any]:
        return {
            "repo": {
                "bindAddress": "127.0.0.1",
                "port": self.port,
                "logDirectory": "-",
                "logLevel": "debug",
            },
            "database": {"sqlite": str(database)},
            "homeservers": [
                {
                    "name": homeserver.server_name,
                    "csApi": homeserver.base,
                    "adminApiKind": "synapse",
                }
            ],
            "datastores": [
                {
                    "id": "directory",
                    "type": "file",
                    "forKinds": ["all"],
                    "opts": {"path": str(self.blobs)},
                }
            ],
            "admins": [f"@{OPERATOR}:{homeserver.server_name}"],
            "accessTokens": {"maxCacheTimeSeconds": TOKEN_CACHE_SECONDS},
            "uploads": {"maxBytes": MAX_UPLOAD_BYTES},
            "timeouts": {"clientServerTimeoutSeconds": HOMESERVER_TIMEOUT_SECONDS},
            "rateLimit": {"enabled": False},
            "metrics": {"enabled": True, "bindAddress": "127.0.0.1", "port": free_port()},
        }
