"""Thousands of damaged and malicious files at once: clear answers, bounded memory, nothing left running."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from harness import paths
from harness.http import MatrixHttp, Mxc, describe
from harness.memory import Watch, children, resident
from harness.mmr import Mmr
from harness.process import wait_until
from harness.stack import Stack

pytestmark = pytest.mark.mmr_only("looks at the processes of the media server")

MIB = 1024 * 1024
BUDGET = 192 * MIB
DEADLINE_SECONDS = 20
FLIPS = 30
# Looks at the processes, some 20 ms apart, that must show no work.
LOOKS = 50
TYPES = [
    *("image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif", "image/jxl"),
    *("image/bmp", "image/tiff", "image/heic", "image/heif", "image/svg+xml", "application/pdf"),
    *("audio/mpeg", "audio/ogg", "audio/flac", "audio/wav", "audio/mp4"),
    *("video/mp4", "video/webm", "video/quicktime"),
]
# What the specification and `mmr-server/src/respond/error.rs` have for a picture that cannot be shown.
REFUSALS = {(400, "M_UNKNOWN"), (413, "M_TOO_LARGE")}


@dataclass(frozen=True)
class Arsenal:
    """The files."""

    bombs: list[Path]
    damaged: list[Path]
    golden: list[Path]


@pytest.fixture(scope="module")
def arsenal(tmp_path_factory: pytest.TempPathFactory) -> Arsenal:
    """Written by the same code that the tests in Rust use."""
    directory = tmp_path_factory.mktemp("hostile")
    subprocess.run([paths.built("hostile-media"), directory, str(FLIPS)], check=True)
    return Arsenal(*(sorted((directory / name).iterdir()) for name in ("bombs", "damaged", "golden")))


@pytest.fixture(scope="module")
def mmr(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mmr]:
    """A server that renders everything it can, within less memory than it would take by default."""
    config = {
        "uploads": {"minBytes": 1, "maxBytes": 16 * MIB},
        "thumbnails": {
            "types": TYPES,
            "memoryBudgetBytes": BUDGET,
            "renderTimeoutSeconds": DEADLINE_SECONDS,
        }
    }
    server = Mmr("mmr-storm", stack.synapse, tmp_path_factory.mktemp("mmr"), config=config)
    with server.process:
        yield server


@pytest.fixture(scope="module")
def client(stack: Stack, mmr: Mmr) -> MatrixHttp:
    """Requests straight to that server."""
    return mmr.client(stack.accounts.new().token)


def thumbnail(client: MatrixHttp, mxc: Mxc) -> requests.Response:
    """Asks for what most clients ask for; again while the server says that it is busy."""
    while True:
        answer = client.get(
            f"/_matrix/client/v1/media/thumbnail/{mxc.path}",
            params={"width": "320", "height": "240", "method": "scale"},
        )
        if answer.status_code != 429:
            return answer
        assert "Retry-After" in answer.headers, describe(answer)


def refused(answer: requests.Response) -> bool:
    """Whether a picture was refused as the specification says."""
    if answer.status_code == 200:
        return False
    return (answer.status_code, answer.json()["errcode"]) in REFUSALS


def test_every_golden_file_has_a_thumbnail(arsenal: Arsenal, client: MatrixHttp) -> None:
    refusals = [
        f"{path.name}: {describe(answer)}"
        for path in arsenal.golden
        if (answer := thumbnail(client, client.uploaded(path.read_bytes()))).status_code != 200
    ]
    assert not refusals


def test_no_bomb_has_a_thumbnail(arsenal: Arsenal, client: MatrixHttp) -> None:
    wrong = [
        f"{path.name}: {describe(answer)}"
        for path in arsenal.bombs
        if not refused(answer := thumbnail(client, client.uploaded(path.read_bytes() + b"\0")))
    ]
    assert not wrong


def test_a_storm_of_damaged_files_gets_clear_answers_within_the_memory(
    arsenal: Arsenal, mmr: Mmr, client: MatrixHttp
) -> None:
    files = arsenal.damaged + arsenal.bombs
    answers: Counter[str] = Counter()
    wrong = []

    def attack(path: Path) -> None:
        answer = thumbnail(client, client.uploaded(path.read_bytes()))
        answers[str(answer.status_code)] += 1
        if answer.status_code != 200 and not refused(answer):
            wrong.append(f"{path.name}: {describe(answer)}")

    before = resident(mmr.process.pid)
    with Watch(mmr.process.pid) as memory, ThreadPoolExecutor(16) as threads:
        list(threads.map(attack, files))
    summary = (
        f"{len(files)} files: {dict(answers)}; server {before // MIB} MiB before, {memory.server // MIB} at most; "
        f"with workers {memory.total // MIB} at most"
    )
    print(summary)
    assert not wrong
    assert answers["400"] > len(files) // 4, summary
    assert memory.server - before < 64 * MIB, summary
    assert memory.total < BUDGET + 64 * MIB, summary


def test_nothing_is_still_running_after_the_storm(mmr: Mmr) -> None:
    used: list[int] = []

    def idle() -> bool:
        used.append(sum(_ticks(child) for child in children(mmr.process.pid)))
        return len(used) > LOOKS and used[-1] == used[-LOOKS]

    wait_until(idle, "rest of all workers", DEADLINE_SECONDS + 5)


def _ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
