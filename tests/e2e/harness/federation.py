"""Homeservers that federate over TLS, each at `localhost:PORT`, trusting one authority of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import trustme

from . import paths
from .http import MatrixHttp
from .mmr import Mmr
from .ports import free_port
from .process import Process, wait_until
from .synapse import Synapse
from .users import Accounts

_CONFIG = Template(
    """\
daemon off;
worker_processes 1;
pid $directory/nginx.pid;
error_log $log warn;
$user
events { worker_connections 1024; }
http {
  client_body_temp_path $directory/body;
  proxy_temp_path $directory/proxy;
  fastcgi_temp_path $directory/fastcgi;
  uwsgi_temp_path $directory/uwsgi;
  scgi_temp_path $directory/scgi;
  log_format requests '$$request_method $$request_uri $$status';
  access_log $access_log requests;
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $directory/certificate.pem;
    ssl_certificate_key $directory/key.pem;
    client_max_body_size 64m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $$http_host;
    proxy_set_header X-Forwarded-For $$remote_addr;
    proxy_set_header X-Forwarded-Proto $$scheme;
    proxy_buffering off;
    location / { proxy_pass http://127.0.0.1:$homeserver_port; }
    location /_matrix/media/ { proxy_pass http://127.0.0.1:$media_port; }
    location ~ ^/_matrix/(client|federation)/(v1|unstable/[^/]+)/media/ {
      proxy_pass http://127.0.0.1:$media_port;
    }
  }
}
"""
)


@dataclass
class Site:
    """One homeserver with its media, behind TLS."""

    name: str
    synapse: Synapse
    mmr: Mmr | None
    accounts: Accounts
    access_log: Path

    @property
    def server_name(self) -> str:
        """`localhost:PORT`."""
        return self.synapse.server_name

    def client(self, token: str | None = None) -> MatrixHttp:
        """A client of this homeserver's media."""
        return MatrixHttp(self.synapse.base, token) if self.mmr is None else self.mmr.client(token)

    def user(self) -> MatrixHttp:
        """A client with an account that no other test uses."""
        return self.client(self.accounts.new(self.name).token)

    def federation_requests(self, path_part: str, at_least: int = 1) -> list[str]:
        """Logged requests of other servers, `METHOD TARGET STATUS`; waits for them."""

        def matching() -> list[str]:
            return [line for line in self.access_log.read_text().splitlines() if path_part in line]

        wait_until(lambda: len(matching()) >= at_least, f"a request with {path_part} at {self.name}")
        return matching()


@dataclass
class Federation:
    """Two homeservers with mmr, and one with Synapse's own media repository."""

    alpha: Site
    beta: Site
    synapse: Site
    certificates: Path
    """Directory with a trusted certificate for localhost and its key."""


class _Tls:
    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        directory.mkdir(parents=True, exist_ok=True)
        self.roots = directory / "roots.pem"
        self._authority.cert_pem.write_to_path(self.roots)

    def issue(self, directory: Path) -> None:
        certificate = self._authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(directory / "key.pem")
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (directory / "certificate.pem").write_bytes(chain)


@contextmanager
def running_federation() -> Iterator[Federation]:
    """Starts everything, and stops it in the opposite order."""
    directory = paths.RUN / "federation"
    tls = _Tls(directory)
    with ExitStack() as running:
        names = {"alpha": False, "beta": False, "synapse": True}
        sites = [
            _site(running, name, own_media, tls, directory / name)
            for name, own_media in names.items()
        ]
        yield Federation(*sites, certificates=directory / "alpha")


def _site(running: ExitStack, name: str, own_media: bool, tls: _Tls, directory: Path) -> Site:
    directory.mkdir(parents=True, exist_ok=True)
    tls_port = free_port()
    synapse = Synapse(
        f"localhost:{tls_port}",
        free_port(),
        directory / "synapse",
        own_media=own_media,
        name=f"synapse-{name}",
        config={
            "federation_custom_ca_list": [str(tls.roots)],
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
        },
    )
    running.enter_context(synapse.process)
    mmr = None
    if not own_media:
        mmr = Mmr(
            f"mmr-{name}",
            synapse,
            directory / "mmr",
            config={
                "federation": {"caFile": str(tls.roots)},
                "egress": {"allowedNetworks": ["127.0.0.0/8", "::1/128"]},
            },
            signing_key=synapse.signing_key,
        )
        running.enter_context(mmr.process)
    media_port = synapse.port if mmr is None else mmr.port
    access_log = paths.LOGS / f"nginx-{name}-access.log"
    running.enter_context(_nginx(name, directory, tls, tls_port, synapse.port, media_port, access_log))
    return Site(name, synapse, mmr, Accounts(synapse), access_log)


def _nginx(
    name: str,
    directory: Path,
    tls: _Tls,
    port: int,
    homeserver_port: int,
    media_port: int,
    access_log: Path,
) -> Process:
    tls.issue(directory)
    log = paths.LOGS / f"nginx-{name}-error.log"
    config = directory / "nginx.conf"
    config.write_text(
        _CONFIG.substitute(
            directory=directory,
            log=log,
            access_log=access_log,
            user="user root;" if os.geteuid() == 0 else "",
            port=port,
            homeserver_port=homeserver_port,
            media_port=media_port,
        )
    )
    return Process(
        f"nginx-{name}",
        ["nginx", "-c", config, "-e", log],
        cwd=directory,
        ready=access_log.exists,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
    )
