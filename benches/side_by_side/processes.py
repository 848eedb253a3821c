"""Child processes, and what Linux tells about them and about the machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import Trouble

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START_DEADLINE = 60.0
_STOP_DEADLINE = 20.0
_KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD
# Fields of /proc/PID/stat, counted from the one after the name.
_FLAGS, _USER, _SYSTEM = 6, 11, 12


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """A running program; its output goes to a log file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        """Starts the program; `ready` waits for it."""
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ready(self, answers: Callable[[], bool], pause: float = 0.02) -> None:
        """Polls until the program answers."""
        end = time.monotonic() + _START_DEADLINE
        while not answers():
            if self._process.poll() is not None:
                raise Trouble(f"ended with code {self._process.returncode}:\n{self._tail()}")
            if time.monotonic() > end:
                raise Trouble(f"does not answer:\n{self._tail()}")
            time.sleep(pause)

    def stop(self) -> None:
        """Ends the program: SIGTERM, and SIGKILL if that does not help."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """Processor time of the program and its children so far."""
        return sum(_cpu_ticks(_stat(pid)) for pid in _family(self.pid)) / _TICKS

    def peak_mb(self) -> float:
        """The most memory that was resident since the start, in MB."""
        return sum(_peak_bytes(pid) for pid in _family(self.pid)) / 1e6

    def memory_mb(self) -> float:
        """The memory that the program and what it has started take now, in MB; what they share counts for each."""
        return sum(_resident_bytes(pid) for pid in _family(self.pid)) / 1e6

    @contextmanager
    def with_us_on_one_processor(self) -> Iterator[None]:
        """Keeps the program, this process and what it starts on one processor meanwhile."""
        everywhere = os.sched_getaffinity(0)
        self._run_on({min(everywhere)})
        try:
            yield
        finally:
            self._run_on(everywhere)

    def _run_on(self, processors: set[int]) -> None:
        threads = (Path(f"/proc/{pid}/task").iterdir() for pid in (os.getpid(), *_family(self.pid)))
        for thread in chain.from_iterable(threads):
            os.sched_setaffinity(int(thread.name), processors)

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@dataclass
class Usage:
    """What went on during a measurement."""

    seconds: float = 0.0
    # Processor time of the server, in seconds.
    server: float = 0.0
    # Processors kept busy by programs that are neither the server nor the load generator.
    others: float = 0.0


class Watch:
    """Measures the machine while the `with` block runs."""

    def __init__(self, server: Child | None = None, *helpers: Child) -> None:
        """`server` is under load, by this process, what it waits for, and `helpers`."""
        self._server = server
        self._helpers = helpers
        self.used = Usage()

    def __enter__(self) -> Self:
        self._before = self._now()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        after = self._now()
        wall, machine, server, load = (a - b for a, b in zip(after, self._before, strict=True))
        others = max(0.0, machine - server - load) / wall
        self.used = Usage(seconds=wall, server=server, others=others)

    def _now(self) -> tuple[float, float, float, float]:
        server = self._server.cpu_seconds() if self._server else 0.0
        times = os.times()
        load = times.user + times.system + times.children_user + times.children_system
        load += sum(helper.cpu_seconds() for helper in self._helpers)
        return time.monotonic(), _programs_seconds(), server, load


def wait_until_quiet(patience: float) -> None:
    """Returns once others use less than a fifth of a processor, or after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with Watch() as watch:
            time.sleep(0.5)
        if watch.used.others < 0.2:
            return


def _stat(pid: int | str) -> list[str]:
    """The fields after the name; none for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_ticks(stat: list[str]) -> int:
    return int(stat[_USER]) + int(stat[_SYSTEM]) if stat else 0


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += _family(int(child))
    return found


def _peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _resident_bytes(pid: int) -> int:
    """What is resident now; a page that several processes have mapped counts for each."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return int(pages) * _PAGE


def _programs_seconds() -> float:
    """Processor time so far of the whole machine without the kernel's own threads.

    Those write back and journal what the server under test wrote, so they are no foreign noise.
    """
    first = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first.split()[1:9])
    machine = user + nice + system + irq + softirq + steal
    stats = (_stat(entry) for entry in os.listdir("/proc") if entry.isdigit())
    kernel = sum(_cpu_ticks(stat) for stat in stats if stat and int(stat[_FLAGS]) & _KERNEL_THREAD)
    return (machine - kernel) / _TICKS
