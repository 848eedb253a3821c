"""nginx in front of both servers: media to one, everything else to the other."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from string import Template

from . import paths
from .http import answers
from .process import Process, wait_until

_CONFIG = Template(
    """\
daemon off;
worker_processes 1;
pid $directory/nginx.pid;
error_log $error_log warn;
$user
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  client_body_temp_path $directory/body;
  proxy_temp_path $directory/proxy;
  fastcgi_temp_path $directory/fastcgi;
  uwsgi_temp_path $directory/uwsgi;
  scgi_temp_path $directory/scgi;
  log_format requests escape=json
    '{"method":"$$request_method","path":"$$uri","query":"$$args","range":"$$http_range","status":$$status,'
    '"sent":$$body_bytes_sent,"content_range":"$$sent_http_content_range","upstream":"$$upstream_addr"}';
  access_log $access_log requests;
  upstream homeserver { server 127.0.0.1:$homeserver_port; keepalive 32; }
  upstream media { server 127.0.0.1:$media_port; keepalive 32; }
  server {
    listen 127.0.0.1:$port;
    client_max_body_size 64m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    # The media server picks the homeserver by this name.
    proxy_set_header Host $server_name;
    proxy_set_header X-Forwarded-Host $server_name;
    proxy_set_header X-Forwarded-For $$remote_addr;
    proxy_set_header X-Forwarded-Proto $$scheme;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_read_timeout 60s;

    location /_matrix/media/ { proxy_pass http://media; }
    location ~ ^/_matrix/client/(v1|unstable/[^/]+)/media/ { proxy_pass http://media; }
    location ~ ^/_matrix/federation/(v1|unstable/[^/]+)/media/ { proxy_pass http://media; }
    # So that the media server forgets the token at once; it passes the call on.
    location ~ ^/_matrix/client/(r0|v3)/logout(/all)?$$ { proxy_pass http://media; }
    # Administration of media.
    location ~ ^/_synapse/admin/v1/(purge_media_cache|media/|quarantine_media/) {
      proxy_pass http://media;
    }
    location ~ ^/_synapse/admin/v1/(user|users|room)/[^/]+/media { proxy_pass http://media; }
    location /_synapse/admin/v1/statistics/users/media { proxy_pass http://media; }
    location /_matrix/ { proxy_pass http://homeserver; }
    location /_synapse/ { proxy_pass http://homeserver; }
    location /web/ { root $web_root; }
    location = /favicon.ico { access_log off; return 204; }
    location = /alive { access_log off; return 200 "alive"; }
  }
}
"""
)


@dataclass(frozen=True)
class Logged:
    """One line of the access log."""

    method: str
    path: str
    query: str
    range: str
    status: int
    sent: int
    content_range: str
    upstream: str


class Nginx:
    """One nginx on `http://SERVER_NAME`, where `SERVER_NAME` is `localhost:PORT`."""

    def __init__(
        self, server_name: str, *, homeserver_port: int, media_port: int, directory: Path
    ) -> None:
        self.base = f"http://{server_name}"
        self.access_log = paths.LOGS / "nginx-access.log"
        self._media = f"127.0.0.1:{media_port}"
        directory.mkdir(parents=True, exist_ok=True)
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        port = server_name.rpartition(":")[2]
        text = _CONFIG.substitute(
            directory=directory,
            error_log=paths.LOGS / "nginx-error.log",
            access_log=self.access_log,
            # As root nginx would drop to a user that cannot read the checkout.
            user="user root;" if os.geteuid() == 0 else "",
            port=port,
            server_name=server_name,
            homeserver_port=homeserver_port,
            media_port=media_port,
            web_root=paths.E2E,
        )
        config = directory / "nginx.conf"
        config.write_text(text)
        self.process = Process(
            "nginx",
            ["nginx", "-c", config, "-e", paths.LOGS / "nginx-error.log"],
            cwd=directory,
            ready=lambda: answers(f"http://127.0.0.1:{port}/alive"),
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
        )

    def mark(self) -> int:
        """A position in the access log, for `requests(since=...)`."""
        return self.access_log.stat().st_size if self.access_log.exists() else 0

    def requests(self, since: int = 0) -> list[Logged]:
        """What was logged after `since`. A request is logged when its answer has ended."""
        with self.access_log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode().split("\n")[:-1]
        return [Logged(**json.loads(line)) for line in lines]

    def media_requests(self, since: int, path_part: str, at_least: int = 1) -> list[Logged]:
        """Logged requests that went to the media server and contain `path_part`; waits for them."""

        def matching() -> list[Logged]:
            return [
                line
                for line in self.requests(since)
                if path_part in line.path and line.upstream == self._media
            ]

        wait_until(
            lambda: len(matching()) >= at_least,
            f"a request with {path_part} through nginx to the media server",
        )
        return matching()
