"""Thumbnails by libvips, and by Pillow as Synapse uses it and as fast as it can. Run by `thumbnails.py`, in an environment of its own.

    thumbnail_peers.py measure vips|synapse|pillow FILE SIZES ROUNDS OUT    prints the least milliseconds
    thumbnail_peers.py convert PNG OUT                              writes another format
    thumbnail_peers.py quality FILE SIZE THUMBNAIL                  prints our decibels and those of libvips
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pyvips
from PIL import Image, ImageOps

QUALITY = 80
# Box, and whether to fill it and cut off the rest.
Size = tuple[int, int, bool]


def main(arguments: list[str]) -> None:
    """One command."""
    pyvips.cache_set_max(0)
    match arguments:
        case ["measure", peer, file, sizes, rounds, out]:
            _measure(_PEERS[peer], Path(file), [_size(size) for size in sizes.split(",")], int(rounds), out)
        case ["convert", png, out]:
            quality = 60 if out.endswith(".avif") else QUALITY
            Image.open(png).convert("RGB").save(out, quality=quality)
        case ["quality", file, size, thumbnail]:
            _quality(Path(file), _size(size), Path(thumbnail).read_bytes())
        case _:
            sys.exit(__doc__)


def _size(size: str) -> Size:
    width, height = size.removesuffix("c").split("x")
    return int(width), int(height), size.endswith("c")


def _measure(peer: Callable[[bytes, Size], bytes], file: Path, sizes: list[Size], rounds: int, out: str) -> None:
    source = file.read_bytes()
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        made = [peer(source, size) for size in sizes]
        least = min(least, time.process_time() - began)
    for number, thumbnail in enumerate(made):
        Path(f"{out}.{number}").write_bytes(thumbnail)
    print(f"{least * 1000:.2f}")


def _vips(source: bytes, size: Size, quality: int = QUALITY) -> bytes:
    width, height, crop = size
    how = {"crop": "centre"} if crop else {"size": "down"}
    image = pyvips.Image.thumbnail_buffer(source, width, height=height, **how)
    return bytes(image.jpegsave_buffer(Q=quality, strip=True))


def _synapse(source: bytes, size: Size) -> bytes:
    """What Synapse's `Thumbnailer` does: decode in full, resize with Lanczos, cut, save."""
    image = Image.open(io.BytesIO(source))
    width, height, crop = size
    by = (max if crop else min)(width / image.width, height / image.height)
    resized = image.resize((round(image.width * by), round(image.height * by)), Image.Resampling.LANCZOS)
    if crop:
        left, top = (resized.width - width) // 2, (resized.height - height) // 2
        resized = resized.crop((left, top, left + width, top + height))
    return _pillow_jpeg(resized)


def _pillow(source: bytes, size: Size) -> bytes:
    """As fast as Pillow can: JPEGs are scaled while they are decoded."""
    image = Image.open(io.BytesIO(source))
    width, height, crop = size
    if crop:
        image.draft("RGB", (2 * width, 2 * height))
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    else:
        image.thumbnail((width, height), Image.Resampling.LANCZOS)
    return _pillow_jpeg(image)


def _pillow_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


_PEERS: dict[str, Callable[[bytes, Size], bytes]] = {
    "vips": _vips,
    "synapse": _synapse,
    "pillow": _pillow,
}


def _quality(file: Path, size: Size, ours: bytes) -> None:
    """Against all pixels of the source resampled in floating point, by Lanczos; libvips at as many bytes as ours."""
    source = Image.open(file).convert("RGB")
    pixels = Image.open(io.BytesIO(ours)).size
    channels = [channel.convert("F").resize(pixels, Image.Resampling.LANCZOS) for channel in source.split()]
    reference = numpy.clip(numpy.stack([numpy.asarray(channel) for channel in channels], axis=-1), 0, 255)

    def decibels(thumbnail: bytes) -> float:
        shown = numpy.asarray(Image.open(io.BytesIO(thumbnail)).convert("RGB"), dtype=numpy.float64)
        return float(10 * numpy.log10(255**2 / numpy.mean((shown - reference) ** 2)))

    curve = [_vips(file.read_bytes(), size, quality) for quality in range(70, 93, 2)]
    theirs = numpy.interp(len(ours), [len(each) for each in curve], [decibels(each) for each in curve])
    print(f"{decibels(ours):.2f} {theirs:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
