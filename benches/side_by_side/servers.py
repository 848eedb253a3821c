"""The servers that are compared: mmr, nginx and Synapse, each on a free port of 127.0.0.1."""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import json
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from .client import Address, answers, get_json, post_json
from .errors import Trouble
from .processes import Child, free_port

SERVER_NAME = "bench.test"
_SECRET = "registration secret of the benchmark"


class Server(ABC):
    """A server whose files lie in one directory."""

    name: str
    # Answers 200 once the server is up.
    ready_path: str

    def __init__(self, directory: Path) -> None:
        """Nothing is started."""
        directory.mkdir(parents=True)
        self.directory = directory
        self.media = directory / "media"
        self.address = Address(free_port())
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running program."""
        if self._child is None:
            raise Trouble(f"{self.name} is not running")
        return self._child

    def start(self, pause: float = 0.02) -> None:
        """Starts the program and waits until it answers, asking every `pause` seconds."""
        self._child = Child(self.command(), self.directory / "log")
        try:
            self._child.ready(lambda: answers(self.address, self.ready_path), pause)
        except Trouble as trouble:
            self.stop()
            raise Trouble(f"{self.name} {trouble}") from trouble

    def stop(self) -> None:
        """Ends the program, if it runs."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def fresh(self) -> None:
        """A new process without any media."""
        self.stop()
        self.wipe()
        self.start()

    def stored_bytes(self) -> int:
        """What the media take up."""
        return sum(file.stat().st_size for file in self.media.rglob("*") if file.is_file())

    @abstractmethod
    def command(self) -> list[str | Path]:
        """What starts the program, once the files it reads are written."""

    @abstractmethod
    def wipe(self) -> None:
        """Forgets the media. The program must not be running."""


class Mmr(Server):
    """mmr as it is deployed: SQLite and a directory, tokens checked with the homeserver."""

    name = "mmr"
    ready_path = "/healthz"

    def __init__(self, directory: Path, binary: Path, homeserver: Synapse, roots: Path) -> None:
        """Users are those of `homeserver`, which must be running; `roots` are trusted, too."""
        super().__init__(directory)
        self.address = Address(self.address.port, homeserver.address.token)
        self._binary = binary
        self._homeserver = homeserver
        self._roots = roots

    def command(self) -> list[str | Path]:
        """`serve`, everything synced to disk, which is the default."""
        return [self._binary, "--config", _write_yaml(self.directory / "mmr.yaml", self.config())]

    def config(self) -> dict[str, Any]:
        """What is in the configuration file."""
        homeserver = {
            "name": SERVER_NAME,
            "csApi": self._homeserver.address.base,
            "signingKeyPath": str(self._homeserver.signing_key),
        }
        return {
            "repo": {
                "bindAddress": "127.0.0.1",
                "port": self.address.port,
                "logDirectory": "-",
                "logLevel": "warn",
            },
            "database": {"sqlite": str(self.directory / "mmr.db")},
            "homeservers": [homeserver],
            "datastores": [self.directory_datastore()],
            "accessTokens": {"maxCacheTimeSeconds": 43200},
            "uploads": {"maxBytes": 0, "minBytes": 0},
            "downloads": {"maxBytes": 0},
            "federation": {"caFile": str(self._roots)},
            "egress": {"allowedNetworks": ["127.0.0.0/8", "::1/128"]},
        }

    def directory_datastore(self) -> dict[str, Any]:
        """An entry of `datastores`: the directory `media`."""
        opts = {"path": str(self.media)}
        return {"id": "main", "type": "file", "forKinds": ["all"], "opts": opts}

    def wipe(self) -> None:
        """Starts over with an empty database."""
        shutil.rmtree(self.media, ignore_errors=True)
        for file in self.directory.glob("mmr.db*"):
            file.unlink()


class Nginx(Server):
    """One nginx worker serving the files in `media`, tuned for it."""

    name = "nginx"
    ready_path = "/ready"

    def command(self) -> list[str | Path]:
        """Master and worker in the foreground, as ourselves."""
        self.media.mkdir(exist_ok=True)
        (self.media / "ready").touch()
        here = self.directory
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        (here / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {here}/pid; error_log {here}/log; {user}
            events {{ worker_connections 1024; }}
            http {{
              access_log off;
              sendfile on;
              tcp_nopush on;
              open_file_cache max=100;
              keepalive_requests 1000000000;
              default_type application/octet-stream;
              {" ".join(f"{kind}_temp_path {here}/{kind};" for kind in kinds)}
              {self.sites()}
            }}
        """)
        return ["nginx", "-e", here / "log", "-c", here / "nginx.conf"]

    def sites(self) -> str:
        """The `server` blocks of the configuration."""
        return f"server {{ listen 127.0.0.1:{self.address.port}; root {self.media}; }}"

    def wipe(self) -> None:
        """Keeps the files: nginx only serves them."""


class Synapse(Server):
    """A Synapse of one process on SQLite with its own media repository, and one user."""

    name = "Synapse"
    ready_path = "/_matrix/client/versions"

    def __init__(self, directory: Path, python: Path, roots: Path) -> None:
        """`python` is an interpreter that has Synapse; `roots` are trusted when it fetches."""
        super().__init__(directory)
        self._python = python
        self._roots = roots
        self.signing_key = directory / "signing.key"
        seed = base64.b64encode(os.urandom(32)).decode().rstrip("=")
        self.signing_key.write_text(f"ed25519 a_bench {seed}\n")

    def start(self, pause: float = 0.02) -> None:
        """Starts Synapse; the first time, registers the user as well."""
        super().start(pause)
        if self.address.token is None:
            self.address = Address(self.address.port, self._register("bench"))

    def version(self) -> str:
        """What Synapse says it is."""
        server = get_json(self.address, "/_matrix/federation/v1/version")["server"]
        # In a git checkout, its branch follows.
        return str(server["version"]).partition(" ")[0]

    def command(self) -> list[str | Path]:
        """Media on, nobody asked but the origin of this bench, no log of requests."""
        here = self.directory
        logging = {
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"level": "WARNING", "handlers": ["console"]},
            "disable_existing_loggers": False,
        }
        listener = {
            "port": self.address.port,
            "type": "http",
            "tls": False,
            "bind_addresses": ["127.0.0.1"],
            "resources": [{"names": ["client", "media", "federation"], "compress": False}],
        }
        config = {
            "server_name": SERVER_NAME,
            "pid_file": str(here / "pid"),
            "signing_key_path": str(self.signing_key),
            "log_config": str(_write_yaml(here / "log.yaml", logging)),
            "database": self.database(),
            "listeners": [listener],
            "media_store_path": str(self.media),
            "max_upload_size": "2G",
            "registration_shared_secret": _SECRET,
            "macaroon_secret_key": "macaroon secret of the benchmark",
            "form_secret": "form secret of the benchmark",
            "report_stats": False,
            "trusted_key_servers": [],
            "federation_custom_ca_list": [str(self._roots)],
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
            "suppress_key_server_warning": True,
            "presence": {"enabled": False},
        }
        file = _write_yaml(here / "homeserver.yaml", config)
        return [self._python, "-m", "synapse.app.homeserver", "-c", file]

    def database(self) -> dict[str, Any]:
        """What Synapse keeps its rows in."""
        return {"name": "sqlite3", "args": {"database": str(self.directory / "homeserver.db")}}

    def wipe(self) -> None:
        """Removes the files; their rows stay, for the user's sake."""
        shutil.rmtree(self.media, ignore_errors=True)

    def _register(self, name: str) -> str:
        """Registers a user with the shared secret; returns an access token."""
        path = "/_synapse/admin/v1/register"
        nonce, password = str(get_json(self.address, path)["nonce"]), os.urandom(8).hex()
        signed = "\0".join((nonce, name, password, "notadmin")).encode()
        mac = hmac.new(_SECRET.encode(), signed, hashlib.sha1).hexdigest()
        user = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": mac}
        return str(post_json(self.address, path, user)["access_token"])


def _write_yaml(file: Path, content: object) -> Path:
    # JSON is YAML.
    file.write_text(json.dumps(content, indent=2))
    return file
