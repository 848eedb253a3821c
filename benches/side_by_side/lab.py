"""The bench itself: the servers, a directory for this run, and measuring in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from . import prepare
from .backends import Backends
from .errors import Trouble
from .origin import Origin
from .processes import wait_until_quiet
from .rows import Comparison, Sample
from .servers import Mmr, Nginx, Server, Synapse

_INODES_REST = 61.0


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int
    # Of each measurement.
    seconds: float
    # How long to wait, before each measurement, for the rest of the machine to be quiet.
    patience: float
    # Only prove that everything works: small files in the rows about memory.
    quick: bool


class Lab:
    """Synapse runs throughout, mmr, nginx and the origin as the rows ask for them."""

    def __init__(self, options: Options, *, storage: bool) -> None:
        """Installs and builds what is missing, for `storage` too if need be; starts nothing."""
        self.options = options
        prepare.packages()
        self.python, self.binary = prepare.synapse_python(), prepare.mmr_binary()
        programs = prepare.storage_programs() if storage else None
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=prepare.WORK))
        self.directory.chmod(0o755)
        self.origin = Origin(self.directory / "origin", self.python)
        self.synapse = Synapse(self.directory / "synapse", self.python, self.origin.roots)
        self.nginx = Nginx(self.directory / "nginx")
        self._mmr: Mmr | None = None
        self._backends = Backends(self.directory / "backends", programs) if programs else None

    def __enter__(self) -> Self:
        try:
            self.synapse.start()
            if self._backends is not None:
                self._backends.start()
            self._mmr = Mmr(self.directory / "mmr", self.binary, self.synapse, self.origin.roots)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def mmr(self) -> Mmr:
        """mmr, once Synapse has been started."""
        if self._mmr is None:
            raise Trouble("the lab is closed")
        return self._mmr

    @property
    def backends(self) -> Backends:
        """Postgres and the S3 server."""
        if self._backends is None:
            raise Trouble("the lab was not asked for storage")
        return self._backends

    def close(self) -> None:
        """Stops every server and removes what it wrote."""
        for server in (self._mmr, self.nginx, self.origin, self.synapse):
            if server is not None:
                server.stop()
        if self._backends is not None:
            self._backends.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def file(self, size: int) -> Path:
        """A file of random bytes, which nginx serves under its name."""
        path = self.nginx.media / str(size)
        if not path.exists():
            self.need_space(size)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(size))
        return path

    def need_space(self, size: int) -> None:
        """Refuses to go on when the disk would be full after `size` more bytes."""
        free = shutil.disk_usage(self.directory).free
        if free < size + (1 << 30):
            raise Trouble(f"{size / 1e9:.1f} GB and a reserve are needed, {free / 1e9:.1f} GB free")

    def compare(
        self, row: Comparison, peer: Server, measure: Callable[[Server], Sample]
    ) -> Comparison:
        """Measures mmr and the peer in turn: A B A B."""
        self.alternate(row, lambda: measure(self.mmr), lambda: measure(peer))
        row.peaks_mb = (self.mmr.child.peak_mb(), peer.child.peak_mb())
        return row

    def alternate(
        self, row: Comparison, ours: Callable[[], Sample], theirs: Callable[[], Sample]
    ) -> None:
        """Measures in turn, whatever is compared."""
        for _ in range(self.options.rounds):
            for measure, samples in ((ours, row.ours), (theirs, row.theirs)):
                self.settle()
                samples.append(measure())

    def settle_files(self) -> None:
        """Waits until making files takes as long as ever.

        An ext4 without a journal gives away no inode that was freed within the last minute, and passes over those one by one:
        after thousands of files were removed, making one takes longer than everything else about it.
        """
        if not self.options.quick:
            os.sync()
            time.sleep(_INODES_REST)

    def settle(self) -> None:
        """Nobody shall wait for what the measurement before left to be written back."""
        os.sync()
        wait_until_quiet(self.options.patience)
