"""A remote server that sends media as slowly as a test wants, over TLS."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class SlowOrigin:
    """Answers every federation download with `data`, whose second half waits until `release`."""

    def __init__(self, certificates: Path, data: bytes) -> None:
        """`certificates` holds `certificate.pem` and `key.pem` for localhost."""
        self.half_sent = threading.Event()
        self.release = threading.Event()
        self.requests = 0
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.requests += 1
                before = b"--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n\r\n"
                after = b"\r\n--B--\r\n"
                self.send_response(200)
                self.send_header("Content-Type", "multipart/mixed; boundary=B")
                self.send_header("Content-Length", str(len(before) + len(data) + len(after)))
                self.end_headers()
                self.wfile.write(before + data[: len(data) // 2])
                origin.half_sent.set()
                origin.release.wait(60)
                self.wfile.write(data[len(data) // 2 :] + after)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificates / "certificate.pem", certificates / "key.pem")
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.server_name = f"localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
