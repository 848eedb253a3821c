"""The command line of `benches/run`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import prepare, thumbnails
from .errors import Trouble
from .lab import Lab, Options
from .rows import HEADER, Row
from .scenarios import SECTIONS, Scenario, scenarios


def main() -> int:
    """Measures, prints each row as it is done, and writes all to `target/bench`."""
    if sys.argv[1:2] == ["thumbnails"]:
        return thumbnails.main(sys.argv[2:])
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _terminated)
    options = Options(arguments.rounds, arguments.seconds, arguments.patience, arguments.quick)
    chosen = [
        scenario
        for scenario in scenarios(quick=options.quick)
        if scenario.section in arguments.only and arguments.match.search(scenario.what)
    ]
    prepare.WORK.mkdir(parents=True, exist_ok=True)
    try:
        return _measure(chosen, options)
    except Trouble as trouble:
        print(f"benches/run: {trouble}", file=sys.stderr)
        return 1


def _measure(chosen: Sequence[Scenario], options: Options) -> int:
    rows: list[Row] = []
    storage = any(scenario.section == "storage" for scenario in chosen)
    with Lab(options, storage=storage) as lab:
        began = time.monotonic()
        about = _about(lab)
        print(f"{about}\n\n{HEADER}", flush=True)
        for scenario in chosen:
            rows.append(scenario.run(lab))
            print(rows[-1].markdown(), flush=True)
            _save(about, rows)
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes.", flush=True)
    print(f"Written to {prepare.WORK}/results.md, and every sample to results.json.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/run",
        description="mmr beside nginx and Synapse, in turn; benches/README.md explains.",
        epilog="MMR_BIN=PATH measures that server instead of building one. `benches/run thumbnails` compares thumbnails.",
    )
    parser.add_argument(
        "--only",
        type=_sections,
        default=SECTIONS,
        metavar="SECTION,...",
        help=f"some of {','.join(SECTIONS)}",
    )
    parser.add_argument(
        "--match",
        type=re.compile,
        default=re.compile(""),
        metavar="REGEX",
        help="only rows whose first column matches",
    )
    parser.add_argument("--rounds", type=int, help="of each comparison (default 5)")
    parser.add_argument("--seconds", type=int, help="of each measurement (default 5)")
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait before each measurement for others to be quiet (default 0)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 1 second: to see that it works"
    )
    arguments = parser.parse_args()
    rounds, seconds = (2, 1) if arguments.quick else (5, 5)
    arguments.rounds = max(1, rounds if arguments.rounds is None else arguments.rounds)
    arguments.seconds = max(1, seconds if arguments.seconds is None else arguments.seconds)
    return arguments


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(sorted(unknown))}")
    return names


def _about(lab: Lab) -> str:
    """What was measured where, in a few lines."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = model[1] if model else platform.machine()
    nginx = _output("nginx", "-v").removeprefix("nginx version: ")
    revision = _output("git", "-C", str(prepare.ROOT), "describe", "--always", "--dirty")
    build = "given as MMR_BIN" if os.environ.get("MMR_BIN") else f"built from {revision}"
    options = lab.options
    mmr = _output(str(lab.binary), "--version")
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors ({processor}), "
        f"Linux {platform.release()}; {mmr} ({build}), {nginx}, "
        f"Synapse {lab.synapse.version()}; "
        f"{options.rounds} rounds of {options.seconds:g} s{', quick' if options.quick else ''}."
    )


def _output(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stdout + ran.stderr).strip()


def _save(about: str, rows: Sequence[Row]) -> None:
    """Writes what there is so far."""
    table = "\n".join([HEADER, *(row.markdown() for row in rows)])
    (prepare.WORK / "results.md").write_text(f"{about}\n\n{table}\n")
    samples = {"about": about, "rows": [dataclasses.asdict(row) for row in rows]}
    (prepare.WORK / "results.json").write_text(json.dumps(samples, indent=2) + "\n")


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    """Lets `with` blocks stop the servers."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
