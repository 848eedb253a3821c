"""A child process with a log file, a pid file and a readiness check."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import paths

START_DEADLINE = 40.0
STOP_DEADLINE = 15.0


class StartFailed(Exception):
    """The program ended, or did not become ready in time; carries the end of its log."""


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 20.0) -> None:
    """Polls until `condition` holds; `TimeoutError` naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {deadline:g} s")
        time.sleep(0.02)


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a text file, or a note that there is none."""
    if not path.exists():
        return f"(no {path.name})"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _start_time(pid: int) -> str:
    """When the process was started, as the kernel counts; tells it from a later one of this id."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


class Process:
    """One program; output goes to `target/e2e/logs/NAME.log`, the pid to `target/e2e/pids/`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = paths.LOGS / f"{name}.log"
        self._command = [str(part) for part in command]
        self._cwd = cwd
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._pid_file: Path | None = None

    @property
    def pid(self) -> int:
        """Process id; the program must be running."""
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, env: Mapping[str, str] | None = None) -> Self:
        """Starts the program, this time with `env` as well, and waits until it is ready."""
        assert not self.running(), f"{self.name} runs already"
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        paths.PIDS.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env={**self._env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._pid_file = paths.PIDS / str(self._child.pid)
        self._pid_file.write_text(_start_time(self._child.pid))
        try:
            wait_until(lambda: not self.running() or self._ready(), "readiness", START_DEADLINE)
        except TimeoutError as error:
            self.kill()
            raise StartFailed(f"{self.name}: {error}\n{tail(self.log)}") from error
        if not self.running():
            code = self._child.returncode
            self._forget()
            raise StartFailed(f"{self.name} ended with code {code}\n{tail(self.log)}")
        return self

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the running program."""
        os.kill(self.pid, number)

    def stop(self) -> int | None:
        """Asks the program to end (SIGTERM) and returns its exit code; SIGKILL after a deadline."""
        child = self._child
        if child is None:
            return None
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            try:
                child.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._forget()
        return child.returncode

    def wait(self) -> int:
        """Waits until the program has ended by itself; returns its exit code."""
        assert self._child is not None, f"{self.name} is not running"
        code = self._child.wait(STOP_DEADLINE)
        self._forget()
        return code

    def kill(self) -> None:
        """Ends the program at once (SIGKILL), as a power failure would as far as it can tell."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._forget()

    def __enter__(self) -> Self:
        return self if self.running() else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _forget(self) -> None:
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
        self._child = None
