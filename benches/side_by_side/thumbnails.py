"""Thumbnails beside libvips, Synapse's use of Pillow, Pillow at its fastest, and Go's imaging: processor milliseconds on one thread, in process.

    benches/run thumbnails

Each figure is the least of several rounds in each of several processes, the programs in turn. What is missing (Go,
a decoder) is left out and said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .errors import Trouble
from .prepare import ROOT, WORK

HERE = Path(__file__).resolve().parent
DATA = WORK / "thumbnails"
ALL = "32x32c,96x96c,320x240,640x480,800x600"
ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """What to render, and how many times faster than each peer it should be."""

    file: str
    sizes: str
    wanted: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.file} to {'all five' if self.sizes == ALL else self.sizes}"


CASES = [
    Case("photo12.jpg", "800x600", {"vips": 1.4, "synapse": 3.5, "go": 6.0}),
    Case("photo12.jpg", "96x96c", {"vips": 1.2}),
    Case("photo24.jpg", "800x600", {"vips": 1.4, "synapse": 3.5, "go": 6.0}),
    Case("photo24.jpg", "96x96c", {"vips": 1.2}),
    Case("photo12.jpg", ALL),
    Case("photo4.png", "800x600", {"vips": 2.5}),
    Case("photo4.webp", "800x600", {"vips": 1.3}),
    Case("photo4.avif", "800x600", {"vips": 2.0}),
]


def main(arguments: list[str]) -> int:
    """Prints the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benches/run thumbnails", description=__doc__, formatter_class=formatter)
    parser.add_argument("--processes", type=int, default=3, help="of each program for each figure (3)")
    parser.add_argument("--files", type=Path, help="a directory with photographs of the same names, instead of generated ones")
    options = parser.parse_args(arguments)
    try:
        _run(options.processes, options.files)
    except (OSError, subprocess.CalledProcessError, Trouble) as error:
        print(f"thumbnails: {error}", file=sys.stderr)
        return 1
    return 0


def _run(processes: int, files: Path | None) -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    ours, python = _our_program(), _python()
    peers = [str(python), str(HERE / "thumbnail_peers.py")]
    programs = {
        "mmr": [str(ours), "render", "native"],
        "safe": [str(ours), "render", "safe"],
        "vips": [*peers, "measure", "vips"],
        "synapse": [*peers, "measure", "synapse"],
        "pillow": [*peers, "measure", "pillow"],
        **_go(),
    }
    files = files or _sources(ours, peers)
    names = list(programs)
    print(f"| what | {' | '.join(names)} | mmr is faster | wanted | mmr, dB | libvips at as many bytes |")
    print(f"|---|{'---:|' * (len(names) + 4)}", flush=True)
    for case in CASES:
        least: dict[str, float] = {}
        for _ in range(processes):
            for name, program in programs.items():
                took = _milliseconds([*program, str(files / case.file), case.sizes, str(ROUNDS), str(DATA / name)])
                if took is not None:
                    least[name] = min(took, least.get(name, took))
        print(_row(case, least, names, _decibels(peers, files / case.file, case)), flush=True)


def _row(case: Case, least: dict[str, float], names: list[str], decibels: str) -> str:
    times = [f"{least[name]:.1f} ms" if name in least else "-" for name in names]
    ratios = {name: least[name] / least["mmr"] for name in least if name not in ("mmr", "safe") and "mmr" in least}
    said = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    wanted = [
        f"{name} {want:g}{' missed' if ratios[name] < want else ''}"
        for name, want in case.wanted.items()
        if name in ratios
    ]
    return f"| {case} | {' | '.join(times)} | {said} | {', '.join(wanted)} | {decibels} |"


def _milliseconds(command: list[str]) -> float | None:
    quiet = {**os.environ, "VIPS_CONCURRENCY": "1", "GOMAXPROCS": "1"}
    done = subprocess.run(command, env=quiet, check=False, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else None


def _decibels(peers: list[str], file: Path, case: Case) -> str:
    thumbnail = DATA / "mmr.0"
    if "," in case.sizes or not thumbnail.exists():
        return "- | -"
    command = [*peers, "quality", str(file), case.sizes, str(thumbnail)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return " | ".join(done.stdout.split()) if done.returncode == 0 else "- | -"


def _our_program() -> Path:
    """`MMR_THUMBNAIL_CPU`, or a release build of this checkout."""
    if given := os.environ.get("MMR_THUMBNAIL_CPU"):
        return Path(given).resolve()
    build = ["cargo", "build", "--release", "--locked", "-p", "mmr-benches", "--example", "thumbnail-cpu"]
    subprocess.run(build, cwd=ROOT, check=True)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "examples" / "thumbnail-cpu"


def _python() -> Path:
    """The interpreter of an environment with pyvips (which needs Debian's libvips42) and Pillow."""
    venv = DATA / "venv"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "numpy", "pillow", "pyvips"], check=True)
    return python


def _go() -> dict[str, list[str]]:
    """MMR's library, from Debian's golang and golang-github-disintegration-imaging-dev."""
    program = DATA / "thumbnail_peer"
    if shutil.which("go") is None or not Path("/usr/share/gocode/src/github.com/disintegration/imaging").exists():
        print("Left out: Go (golang, golang-github-disintegration-imaging-dev).", file=sys.stderr)
        return {}
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    build = ["go", "build", "-o", str(program), str(HERE / "thumbnail_peer.go")]
    subprocess.run(build, env=environment, check=True)
    return {"go": [str(program)]}


def _sources(ours: Path, peers: list[str]) -> Path:
    files = DATA / "sources"
    if not (files / "photo4.avif").exists():
        subprocess.run([str(ours), "sources", str(files)], check=True)
        for name in ("photo4.webp", "photo4.avif"):
            subprocess.run([*peers, "convert", str(files / "photo4.png"), str(files / name)], check=True)
    return files
