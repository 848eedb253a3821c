"""A real Synapse on SQLite, with its own media repository off (or on, as a reference)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from signedjson.key import generate_signing_key, write_signing_keys

from .http import answers
from .process import Process

SHARED_SECRET = "registration secret of the end-to-end tests"
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
_UNLIMITED = {"per_second": 100_000, "burst_count": 100_000}


class AppService:
    """The registration that Synapse is started with: an application service `bridge`."""

    token = "as-token-of-the-end-to-end-tests"
    sender = "bridge"
    user_prefix = "bridge_"

    @classmethod
    def registration(cls) -> dict[str, Any]:
        """The registration file's content."""
        return {
            "id": "bridge",
            "url": None,
            "as_token": cls.token,
            "hs_token": "hs-token-of-the-end-to-end-tests",
            "sender_localpart": cls.sender,
            "rate_limited": False,
            "namespaces": {
                "users": [{"exclusive": True, "regex": f"@{cls.user_prefix}.*"}],
                "rooms": [],
                "aliases": [],
            },
        }


class Synapse:
    """One Synapse process; `base` is its own client listener, past every proxy."""

    def __init__(
        self,
        server_name: str,
        port: int,
        directory: Path,
        *,
        own_media: bool,
        name: str = "synapse",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """`config` overrides top-level keys."""
        self.server_name = server_name
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "homeserver.yaml"
        path.write_text(yaml.safe_dump({**self._config(own_media), **(config or {})}))
        (directory / "appservice.yaml").write_text(yaml.safe_dump(AppService.registration()))
        (directory / "log.yaml").write_text(yaml.safe_dump(_logging()))
        self.signing_key = directory / "signing.key"
        with self.signing_key.open("w") as key:
            write_signing_keys(key, [generate_signing_key("a_e2e")])
        self.process = Process(
            name,
            [sys.executable, "-m", "synapse.app.homeserver", "-c", path],
            cwd=directory,
            ready=lambda: answers(f"{self.base}/_matrix/client/versions"),
        )

    def _config(self, own_media: bool) -> dict[str, Any]:
        directory = self._directory
        names = ["client", "federation"] + (["media"] if own_media else [])
        config: dict[str, Any] = {
            "server_name": self.server_name,
            "public_baseurl": f"http://{self.server_name}/",
            "pid_file": str(directory / "synapse.pid"),
            "signing_key_path": str(directory / "signing.key"),
            "log_config": str(directory / "log.yaml"),
            "database": {"name": "sqlite3", "args": {"database": str(directory / "homeserver.db")}},
            "listeners": [
                {
                    "port": self.port,
                    "type": "http",
                    "tls": False,
                    "x_forwarded": True,
                    "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": names, "compress": False}],
                }
            ],
            "enable_media_repo": own_media,
            "url_preview_enabled": False,
            "media_store_path": str(directory / "media"),
            "max_upload_size": MAX_UPLOAD_BYTES,
            "app_service_config_files": [str(directory / "appservice.yaml")],
            "allow_guest_access": True,
            "registration_shared_secret": SHARED_SECRET,
            "macaroon_secret_key": "macaroon secret of the end-to-end tests",
            "form_secret": "form secret of the end-to-end tests",
            "bcrypt_rounds": 4,
            # Nothing leaves the machine.
            "report_stats": False,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "presence": {"enabled": False},
            "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
            "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), _UNLIMITED),
        }
        limits = ("rc_message", "rc_registration", "rc_media_create", "rc_room_creation")
        config.update(dict.fromkeys(limits, _UNLIMITED))
        return config


def _logging() -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        # Refused tokens are what half of the tests are about.
        "loggers": {"synapse.api.auth.internal": {"level": "ERROR"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
        "disable_existing_loggers": False,
    }
