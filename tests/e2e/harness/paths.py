"""Where things are. Everything the suite writes lies under `target/e2e`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent
REPOSITORY = E2E.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve()
WORK = REPOSITORY / "target" / "e2e"
LOGS = WORK / "logs"
RUN = WORK / "run"
PIDS = WORK / "pids"
NODE = WORK / "node"
VENV_BIN = Path(sys.prefix) / "bin"


def mmr_binary() -> Path:
    """The server under test: `MMR_BIN`, or what `cargo build` left for `MMR_PROFILE`."""
    override = os.environ.get("MMR_BIN")
    if override:
        return Path(override).resolve()
    return built("mmr-server")


def built(program: str) -> Path:
    """What `cargo build` left for `MMR_PROFILE`."""
    profile = os.environ.get("MMR_PROFILE", "dev")
    return TARGET / ("debug" if profile == "dev" else profile) / program
