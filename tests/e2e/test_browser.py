"""Chromium plays and seeks a video that the media server holds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from harness.http import Mxc
from harness.media import VIDEO_SECONDS, luma_at, webm
from harness.nginx import Logged
from harness.node import run_script
from harness.stack import Stack

pytestmark = pytest.mark.mmr_only("Synapse ignores Range, so that nothing can be seeked")

SEEK_TO = 16.5
SHADE_TOLERANCE = 6


@dataclass(frozen=True)
class Viewing:
    """What the player saw, and what nginx logged meanwhile for this video."""

    seen: dict[str, dict[str, float]]
    logged: list[Logged]
    size: int


@pytest.fixture(scope="module")
def video(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mxc, int]:
    """The uploaded video and its size in bytes."""
    file: Path = tmp_path_factory.mktemp("video") / "video.webm"
    webm(file)
    data = file.read_bytes()
    uploader = stack.client(stack.accounts.new().token)
    return uploader.uploaded(data, "video/webm", params={"filename": "video.webm"}), len(data)


@pytest.fixture(scope="module", params=["service worker", "token in the query"])
def viewing(
    request: pytest.FixtureRequest,
    stack: Stack,
    video: tuple[Mxc, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Viewing:
    """The video watched by a user who did not upload it, with either way to send a token."""
    mxc, size = video
    token = stack.accounts.new("viewer").token
    url = f"/_matrix/client/v1/media/download/{mxc.path}"
    if request.param == "service worker":
        fragment = f"token={quote(token)}&url={quote(url)}"
    else:
        fragment = f"url={quote(f'{url}?access_token={token}')}"
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium is not installed"
    mark = stack.nginx.mark()
    seen: dict[str, Any] = run_script(
        "player.mjs",
        chromium,
        f"{stack.base}/web/player.html#{fragment}",
        str(tmp_path_factory.mktemp("profile")),
        str(SEEK_TO),
        deadline=90,
    )
    return Viewing(seen, stack.nginx.media_requests(mark, mxc.media_id), size)


def assert_shows(state: dict[str, float], second: float) -> None:
    """A frame of this second is on the screen."""
    assert state["readyState"] >= 2, state
    # Video levels: 16 is black and 235 is white.
    expected = (luma_at(second) - 16) * 255 / 219
    assert abs(state["shade"] - expected) <= SHADE_TOLERANCE, (state, expected)


def test_chromium_knows_size_and_duration_at_once(viewing: Viewing) -> None:
    opened = viewing.seen["opened"]
    assert (opened["width"], opened["height"]) == (640, 360)
    assert abs(opened["duration"] - VIDEO_SECONDS) < 0.5


def test_chromium_plays(viewing: Viewing) -> None:
    played = viewing.seen["played"]
    assert played["currentTime"] >= 1
    assert_shows(played, played["currentTime"])


def test_chromium_seeks_forward_and_shows_the_frame_there(viewing: Viewing) -> None:
    forward = viewing.seen["forward"]
    assert abs(forward["currentTime"] - SEEK_TO) < 0.2
    assert_shows(forward, SEEK_TO)


def test_chromium_plays_on_after_the_seek(viewing: Viewing) -> None:
    assert viewing.seen["playedOn"]["currentTime"] >= SEEK_TO + 0.5


def test_chromium_seeks_back(viewing: Viewing) -> None:
    back = viewing.seen["back"]
    assert abs(back["currentTime"] - 0.5) < 0.2
    assert_shows(back, 0.5)


def parts(viewing: Viewing) -> list[tuple[int, Logged]]:
    """The answers with a part of the file, each with the offset that was asked for."""
    return [
        (int(line.range.removeprefix("bytes=").partition("-")[0]), line)
        for line in viewing.logged
        if line.status == 206
    ]


def test_each_request_of_chromium_is_for_a_range_and_answered_with_that_range(
    viewing: Viewing,
) -> None:
    for line in viewing.logged:
        assert line.range.startswith("bytes="), line
        # 304: it had that part. 499: it closed the connection before the answer began.
        assert line.status in (206, 304, 499), line
    answered = parts(viewing)
    assert answered
    for start, line in answered:
        assert line.content_range.startswith(f"bytes {start}-"), line
        assert line.content_range.endswith(f"/{viewing.size}"), line


def test_the_seek_fetched_a_part_that_had_not_been_fetched_before(viewing: Viewing) -> None:
    offsets = [start for start, _ in parts(viewing)]
    # Neither the beginning nor the index at the end, but the frames on the way there.
    assert any(0.1 * viewing.size < start < 0.95 * viewing.size for start in offsets), offsets


def test_chromium_did_not_fetch_the_whole_file_several_times(viewing: Viewing) -> None:
    assert sum(line.sent for line in viewing.logged) < 2 * viewing.size
