"""Thumbnails over HTTP of what other programs have made: videos, HEIC, animations; and what clients accept."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image

from harness.http import MatrixHttp, Mxc, assert_error, describe
from harness.mmr import Mmr
from harness.stack import Stack

pytestmark = pytest.mark.mmr_only("formats that Synapse does not know")

TYPES = [
    *("image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/heic"),
    *("video/mp4", "video/webm", "video/quicktime"),
]
# Red on the left, blue on the right, of any size, for one second.
HALVES = "color=red:size=64x96:rate=10:duration=1[l];color=blue:size=64x96:rate=10:duration=1[r];[l][r]hstack"
CODECS = {
    "video.mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "video.mov": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "video.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p"],
}


@pytest.fixture(scope="module")
def mmr(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mmr]:
    """A server to which these types are named."""
    config = {"thumbnails": {"types": TYPES}}
    server = Mmr("mmr-formats", stack.synapse, tmp_path_factory.mktemp("mmr"), config=config)
    with server.process:
        yield server


@pytest.fixture(scope="module")
def client(stack: Stack, mmr: Mmr) -> MatrixHttp:
    """Requests straight to that server."""
    return mmr.client(stack.accounts.new().token)


def ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def thumbnail(client: MatrixHttp, mxc: Mxc, **options: str) -> requests.Response:
    headers = {"Accept": options.pop("accept")} if "accept" in options else {}
    params = {"width": "96", "height": "96", "method": "scale", **options}
    path = f"/_matrix/client/v1/media/thumbnail/{mxc.path}"
    return client.get(path, params=params, headers=headers)


def picture(answer: requests.Response) -> Image.Image:
    assert answer.status_code == 200, describe(answer)
    opened = Image.open(io.BytesIO(answer.content))
    assert opened.get_format_mimetype() == answer.headers["Content-Type"]
    return opened


def assert_red_and_blue(shown: Image.Image) -> None:
    left = shown.convert("RGB").getpixel((shown.width // 4, shown.height // 2))
    right = shown.convert("RGB").getpixel((shown.width * 3 // 4, shown.height // 2))
    assert isinstance(left, tuple) and isinstance(right, tuple)
    assert left[0] > 180 > 80 > left[2], f"{left} is not red"
    assert right[2] > 180 > 80 > right[0], f"{right} is not blue"


@pytest.mark.parametrize("name", CODECS)
def test_a_video_shows_one_of_its_frames(name: str, client: MatrixHttp, tmp_path: Path) -> None:
    file = tmp_path / name
    ffmpeg("-filter_complex", HALVES, *CODECS[name], file)
    assert_red_and_blue(picture(thumbnail(client, client.uploaded(file.read_bytes()))))


def test_a_video_that_is_stored_turned_is_shown_upright(client: MatrixHttp, tmp_path: Path) -> None:
    flat, turned = tmp_path / "flat.mp4", tmp_path / "turned.mp4"
    ffmpeg("-filter_complex", f"{HALVES},transpose=clock", *CODECS["video.mp4"], flat)
    # Newer versions have dropped the older way.
    if "display_rotation" in _help_of_ffmpeg():
        ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", turned)
    else:
        ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned)
    assert_red_and_blue(picture(thumbnail(client, client.uploaded(turned.read_bytes()))))


def _help_of_ffmpeg() -> str:
    command = ["ffmpeg", "-v", "error", "-h", "full"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_heic_photograph_has_a_thumbnail(client: MatrixHttp, tmp_path: Path) -> None:
    source, file = tmp_path / "source.png", tmp_path / "photograph.heic"
    halves = Image.new("RGB", (128, 96), "red")
    halves.paste("blue", (64, 0, 128, 96))
    halves.save(source)
    subprocess.run(["heif-enc", "-q", "90", source, "-o", file], check=True, capture_output=True)
    assert_red_and_blue(picture(thumbnail(client, client.uploaded(file.read_bytes()))))


def test_a_video_cut_in_the_middle_is_refused_clearly(client: MatrixHttp, tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    ffmpeg("-filter_complex", HALVES, *CODECS["video.mp4"], file)
    content = file.read_bytes()
    mxc = client.uploaded(content[: len(content) // 2])
    assert_error(thumbnail(client, mxc), 400, "M_UNKNOWN")


def animation() -> bytes:
    frames = [Image.new("RGB", (200, 100), color) for color in ("red", "lime", "blue")]
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0
    )
    return file.getvalue()


def test_an_animation_moves_where_it_is_asked_to(client: MatrixHttp) -> None:
    mxc = client.uploaded(animation())
    moving = picture(thumbnail(client, mxc, animated="true"))
    assert moving.get_format_mimetype() == "image/webp"
    assert (getattr(moving, "n_frames", 1), moving.size) == (3, (96, 48))
    still = picture(thumbnail(client, mxc, animated="false"))
    assert getattr(still, "n_frames", 1) == 1


def test_a_still_picture_is_webp_for_those_who_accept_it(client: MatrixHttp) -> None:
    file = io.BytesIO()
    Image.effect_noise((300, 200), 40).convert("RGB").save(file, "JPEG", quality=90)
    mxc = client.uploaded(file.getvalue())
    for accept, content_type in (("image/webp,*/*", "image/webp"), ("*/*", "image/jpeg")):
        answer = thumbnail(client, mxc, accept=accept)
        assert picture(answer).get_format_mimetype() == content_type
        assert "Accept" in answer.headers["Vary"]
