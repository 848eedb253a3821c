"""A small file system of its own, to be filled up or made read-only."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Takes all free space but `leave` bytes."""
        block = bytes(4096)
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while ballast.write(block) == len(block):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        if leave:
            os.truncate(self._ballast, max(0, self._ballast.stat().st_size - leave))

    def free(self) -> None:
        """Gives the space back."""
        self._ballast.unlink()

    def read_only(self) -> None:
        """Makes every write fail, for root as well."""
        _run("mount", "-o", "remount,ro", str(self.path))

    def writable(self) -> None:
        """Undoes `read_only`."""
        _run("mount", "-o", "remount,rw", str(self.path))


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounts a tmpfs of this size; skips the test where mounting is not permitted."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small tmpfs needs root: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: a test that failed may have left files open.
        _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
