"""The whole deployment: Synapse, the media server, and nginx in front of both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import paths
from .http import MatrixHttp
from .mmr import Mmr
from .nginx import Nginx
from .ports import free_port
from .synapse import Synapse
from .users import Accounts


def reference_run() -> bool:
    """Whether Synapse's own media repository stands in for mmr, to try the tests themselves."""
    return os.environ.get("MMR_E2E_MEDIA", "mmr") == "synapse"


@dataclass(frozen=True)
class Stack:
    """What the tests talk to. `base` is what a client is configured with."""

    synapse: Synapse
    nginx: Nginx
    mmr: Mmr | None
    accounts: Accounts

    @property
    def base(self) -> str:
        """nginx: what a client is configured with."""
        return self.nginx.base

    @property
    def server_name(self) -> str:
        """The homeserver's name, `localhost:PORT`."""
        return self.synapse.server_name

    def client(self, token: str | None = None) -> MatrixHttp:
        """Plain requests through nginx."""
        return MatrixHttp(self.base, token)

    def media_client(self, token: str | None = None) -> MatrixHttp:
        """Plain requests straight to the media server, past nginx."""
        if self.mmr is None:
            return MatrixHttp(self.synapse.base, token)
        return self.mmr.client(token)


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Starts everything, and stops it in the opposite order."""
    # The server name is nginx's address: clients, cookies and the Host header agree on it.
    server_name = f"localhost:{free_port()}"
    reference = reference_run()
    synapse = Synapse(server_name, free_port(), paths.RUN / "synapse", own_media=reference)
    mmr = None if reference else Mmr("mmr", synapse, paths.RUN / "mmr")
    nginx = Nginx(
        server_name,
        homeserver_port=synapse.port,
        media_port=synapse.port if mmr is None else mmr.port,
        directory=paths.RUN / "nginx",
    )
    with synapse.process:
        if mmr is not None:
            mmr.process.start()
        try:
            with nginx.process:
                yield Stack(synapse, nginx, mmr, Accounts(synapse))
        finally:
            if mmr is not None:
                mmr.process.stop()
