"""nginx as a load balancer in front of several nodes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from . import paths
from .http import MatrixHttp, answers
from .mmr import Mmr
from .ports import free_port
from .process import Process

_CONFIG = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {log} warn;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  # A node that does not take a connection is passed over, and asked again for the next request.
  upstream nodes {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    location = /alive {{ return 200 "alive"; }}
    location / {{ proxy_pass http://nodes; proxy_set_header Host $http_host; }}
  }}
}}
"""


class Balancer:
    """One nginx in front of `nodes`."""

    def __init__(self, nodes: Sequence[Mmr], directory: Path) -> None:
        self.server_name = nodes[0].server_name
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        home = directory / "balancer"
        home.mkdir(parents=True)
        log = paths.LOGS / "balancer-error.log"
        text = _CONFIG.format(
            directory=home,
            log=log,
            # As root nginx would drop to a user that cannot read the directory.
            user="user root;" if os.geteuid() == 0 else "",
            servers=" ".join(f"server 127.0.0.1:{node.port} max_fails=0;" for node in nodes),
            port=port,
        )
        config = home / "nginx.conf"
        config.write_text(text)
        self.process = Process(
            "balancer",
            ["nginx", "-c", config, "-e", log],
            cwd=home,
            ready=lambda: answers(f"{self.base}/alive"),
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
        )

    def client(self, token: str | None = None) -> MatrixHttp:
        """Requests through the balancer."""
        return MatrixHttp(self.base, token, host=self.server_name)
