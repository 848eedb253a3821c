"""How much memory a process and its children take."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

INTERVAL = 0.02


def children(pid: int) -> list[int]:
    """The processes that this one has started and that have not ended."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.extend(int(child) for child in task.read_text().split())
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Resident bytes of a process, the code that it shares with others included; 0 once it has ended."""
    return _status(pid, "VmRSS")


def own(pid: int) -> int:
    """Resident bytes that a process shares with nobody and no file; 0 once it has ended."""
    return _status(pid, "RssAnon")


def _status(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


class Watch:
    """The most that a `server` took, and in `total` with what its children have for themselves, while it is in use."""

    def __init__(self, pid: int) -> None:
        self.server = 0
        self.total = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            server = resident(self._pid)
            total = server + sum(own(child) for child in children(self._pid))
            self.server, self.total = max(self.server, server), max(self.total, total)
            self._stop.wait(INTERVAL)
