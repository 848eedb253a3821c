"""Media made up on the spot, so that none needs to be committed."""

from __future__ import annotations

import io
import random
from pathlib import Path

import av
from PIL import Image


def noise(size: int, seed: int) -> bytes:
    """Bytes that no compression shortens; the same for the same seed."""
    return random.Random(seed).randbytes(size)


def photo(width: int, height: int, seed: int = 1) -> bytes:
    """A JPEG with coarse and fine detail."""
    base = Image.frombytes("RGB", (40, 30), noise(40 * 30 * 3, seed))
    picture = base.resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height, after decoding every pixel."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture.size


VIDEO_SECONDS = 20
_WIDTH, _HEIGHT, _RATE = 640, 360, 12


def luma_at(second: float) -> int:
    """The grey level of the left half of the test video at this time: one level per second."""
    return 24 + 10 * int(second)


def webm(path: Path) -> None:
    """Writes the test video: VP8, 20 s, some 12 MB, its left half tells the second it belongs to.

    It is far larger than what a browser reads ahead, so that a seek needs a new request.
    """
    randomness = random.Random(7)
    half = _WIDTH // 2
    noisy = [randomness.randbytes(half * _HEIGHT) for _ in range(7)]
    grey = bytes([128]) * (half * (_HEIGHT // 2))
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=_RATE)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.bit_rate = 6_000_000
        stream.gop_size = _RATE
        stream.options = {"deadline": "realtime", "cpu-used": "8", "qmax": "30"}
        for number in range(VIDEO_SECONDS * _RATE):
            luma = bytes([luma_at(number / _RATE)]) * half
            noise_plane = noisy[number % len(noisy)]
            rows = (luma + noise_plane[row * half : (row + 1) * half] for row in range(_HEIGHT))
            frame = av.VideoFrame(_WIDTH, _HEIGHT, "yuv420p")
            for plane, content in zip(frame.planes, (b"".join(rows), grey, grey), strict=True):
                plane.update(content)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
