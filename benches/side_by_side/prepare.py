"""What a run needs: Debian packages, a Python environment with Synapse, a release build of mmr."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import Trouble

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "bench"
# The end-to-end tests pin Synapse and all it pulls in; the benchmark measures that same version.
PINS = ROOT / "tests" / "e2e" / "requirements.txt"
# Of those pins: what is measured, and what makes the credentials of an origin.
_PYTHON_PACKAGES = ("matrix-synapse", "signedjson", "trustme")
_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}


def packages() -> None:
    """Installs the programs that are missing."""
    missing = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], check=False).returncode:
        missing.append("python3-venv")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Trouble(f"this is not Debian; please install: {' '.join(missing)}")
    _say(f"installing {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    _run([*apt, "update"])
    _run([*apt, "install", "-y", "--no-install-recommends", *missing])


def synapse_python() -> Path:
    """The interpreter of the environment that Synapse is installed in, made if need be."""
    venv = WORK / "venv"
    python, stamp = venv / "bin" / "python", venv / "installed"
    wanted = "\n".join((hashlib.sha256(PINS.read_bytes()).hexdigest(), *_PYTHON_PACKAGES))
    if not stamp.exists() or stamp.read_text() != wanted:
        _say("installing Synapse")
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", "--constraint", str(PINS), *_PYTHON_PACKAGES])
        stamp.write_text(wanted)
    return python


def mmr_binary() -> Path:
    """The server under test: `MMR_BIN`, or a release build of this checkout."""
    if given := os.environ.get("MMR_BIN"):
        binary = Path(given).resolve()
    else:
        _say("building mmr-server")
        _run(["cargo", "build", "--release", "--locked", "-p", "mmr-server"], cwd=ROOT)
        target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        binary = ROOT / target / "release" / "mmr-server"
    if not os.access(binary, os.X_OK):
        raise Trouble(f"{binary} is not a program")
    return binary


def _say(what: str) -> None:
    print(f"== {what}", file=sys.stderr, flush=True)


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, cwd=cwd)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(str(error)) from error
