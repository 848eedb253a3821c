"""A TCP proxy that cuts, stalls and slows what runs through it."""

from __future__ import annotations

import asyncio
import threading
from enum import Enum, auto
from types import TracebackType
from typing import Self

CHUNK = 65536
SLOW_BYTES_PER_SECOND = 2_000_000


class Link(Enum):
    """What becomes of bytes."""

    UP = auto()
    # Open connections break, new ones break at once.
    CUT = auto()
    # Connections stay open, new ones are accepted, and nothing arrives.
    STALLED = auto()
    # Everything arrives, slowly.
    SLOW = auto()


class TcpProxy:
    """Forwards connections on a port of its own to a port on loopback."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target = target_port
        self._link = Link.UP
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def set(self, link: Link) -> None:
        """Changes the link, for open connections too; returns when it has happened."""
        asyncio.run_coroutine_threadsafe(self._set(link), self._loop).result()

    def connections(self) -> int:
        """Open connections of clients."""
        return len(self._writers) // 2

    async def _set(self, link: Link) -> None:
        self._link = link
        self._changed.set()
        self._changed = asyncio.Event()
        if link is Link.CUT:
            for writer in list(self._writers):
                writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._link is Link.CUT:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._forward(reader, far_writer), self._forward(far_reader, writer)
            )
        except OSError:
            pass
        finally:
            self._writers -= both
            for end in both:
                end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            while self._link is Link.STALLED:
                await self._changed.wait()
            if self._link is Link.SLOW:
                await asyncio.sleep(len(data) / SLOW_BYTES_PER_SECOND)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
