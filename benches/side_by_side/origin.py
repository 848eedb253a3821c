"""Another server of the network, whose media mmr and Synapse have to fetch."""

from __future__ import annotations

import itertools
import ssl
import subprocess
from http.client import HTTPSConnection
from pathlib import Path

from .errors import Trouble
from .processes import free_port
from .servers import Nginx

_CREDENTIALS = Path(__file__).with_name("credentials.py")
# As nginx writes it; the media begin with the number of the request, 32 bytes.
_BEFORE = (
    "--bench\\r\\nContent-Type: application/json\\r\\n\\r\\n{}"
    "\\r\\n--bench\\r\\nContent-Type: video/mp4\\r\\n\\r\\n$request_id"
)
_NUMBER = 32
_AFTER = b"\r\n--bench--\r\n"
_PIECE = 4 << 20
# Ways to the same files on which so many bytes go per second. nginx sends those of the first second at once.
PACES = {"slow": 10_000_000, "gigabit": 125_000_000}


class Origin(Nginx):
    """nginx with TLS and multipart answers, of as many media as one likes.

    A media id is `SIZE-NUMBER` or `SIZE-PACE-NUMBER`. No two answers are alike, so that nobody has
    them already.
    """

    name = "origin"

    def __init__(self, directory: Path, python: Path) -> None:
        """`python` is an interpreter that has signedjson and trustme. Nothing is started."""
        super().__init__(directory)
        self._python = python
        self._tls_port = free_port()
        self._numbers = itertools.count()
        self._credentials("files", self.server_name)
        self.roots = directory / "roots.pem"

    @property
    def server_name(self) -> str:
        """The port in it makes it its own address."""
        return f"localhost:{self._tls_port}"

    def sites(self) -> str:
        """Beside the plain port, which tells that it is up, one with TLS."""
        media = "/_matrix/federation/v1/media/download"
        answers = (
            'types {} default_type "multipart/mixed; boundary=bench"; '
            "addition_types *; add_before_body /before"
        )
        paced = "".join(
            f"location ~ ^{media}/([0-9]+)-{pace}- {{ {answers}; limit_rate {rate}; alias {self.media}/$1; }}"
            for pace, rate in PACES.items()
        )
        return f"""
            {super().sites()}
            server {{
              listen 127.0.0.1:{self._tls_port} ssl;
              ssl_certificate {self.directory}/certificate.pem;
              ssl_certificate_key {self.directory}/key.pem;
              location = /_matrix/key/v2/server {{
                default_type application/json; alias {self.directory}/keys.json;
              }}
              location = /before {{ internal; types {{}} return 200 "{_BEFORE}"; }}
              {paced}
              location ~ ^{media}/([0-9]+)- {{ {answers}; alias {self.media}/$1; }}
            }}"""

    def prepare(self, content: Path) -> None:
        """Serves what is in a file from now on, but for its start, under its size."""
        size = content.stat().st_size
        answer = self.media / str(size)
        if answer.exists():
            return
        self.media.mkdir(exist_ok=True)
        with content.open("rb") as source, answer.open("wb") as target:
            source.seek(_NUMBER)
            while piece := source.read(_PIECE):
                target.write(piece)
            target.write(_AFTER)

    def new_id(self, size: int, pace: str | None = None) -> str:
        """A media id of prepared size, which nobody has asked for yet."""
        return f"{size}-{f'{pace}-' if pace else ''}{next(self._numbers)}"

    def download_path(self, media_id: str) -> str:
        """Where clients find it at their own server."""
        return f"/_matrix/client/v1/media/download/{self.server_name}/{media_id}"

    def connect(self) -> HTTPSConnection:
        """A connection that is kept alive, as another server would have one."""
        trusting = ssl.create_default_context(cafile=str(self.roots))
        return HTTPSConnection("localhost", self._tls_port, timeout=300, context=trusting)

    def signed(self, destination: str, target: str) -> dict[str, str]:
        """The header with which the origin asks another server for `target`."""
        return {"Authorization": self._credentials("header", self.server_name, destination, target)}

    def _credentials(self, what: str, *arguments: str) -> str:
        command = [str(self._python), str(_CREDENTIALS), what, str(self.directory), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Trouble(f"{_CREDENTIALS.name}: {ran.stderr}")
        return ran.stdout.strip()
