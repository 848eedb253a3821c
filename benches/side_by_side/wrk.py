"""wrk, the load generator for everything that is counted in requests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .client import UPLOAD, Address
from .errors import Trouble

_SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """How many connections for how many seconds."""

    connections: int
    seconds: float


@dataclass(frozen=True)
class Count:
    """What wrk counted."""

    requests: int
    bytes: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float


def get(address: Address, path: str, load: Load, headers: Mapping[str, str] | None = None) -> Count:
    """Downloads the same path again and again, with these headers or those of the address."""
    return _wrk(address, path, load, [], headers)


def post(address: Address, file: Path, load: Load) -> Count:
    """Uploads bytes of the file's length, different ones each time."""
    return _wrk(address, UPLOAD, load, ["--", str(file), os.urandom(8).hex()])


def _wrk(
    address: Address,
    path: str,
    load: Load,
    arguments: Sequence[str],
    headers: Mapping[str, str] | None = None,
) -> Count:
    # wrk takes whole seconds only.
    options = ["-t1", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s"]
    sent = address.headers() if headers is None else headers
    options += [part for header in sent.items() for part in ("-H", ": ".join(header))]
    command = ["wrk", *options, "--timeout", "60s", "-s", str(_SCRIPT)]
    ran = subprocess.run(
        [*command, address.base + path, *arguments], capture_output=True, text=True, check=False
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        raise Trouble(f"wrk failed: {ran.stdout}{ran.stderr}")
    count = Count(**json.loads(lines[-1]))
    if count.failed or not count.bytes:
        raise Trouble(f"{count.failed} requests of {path} failed: {ran.stdout}")
    return count
