"""What a run needs: Debian packages, a Python environment with Synapse, release builds."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from .errors import Trouble

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "bench"
# The end-to-end tests pin Synapse and all it pulls in; the benchmark measures that same version.
PINS = ROOT / "tests" / "e2e" / "requirements.txt"
# Of those pins: what is measured, and what makes the credentials of an origin.
_PYTHON_PACKAGES = ("matrix-synapse[postgres]", "psycopg2==2.9.10", "signedjson", "trustme")
_PACKAGES = {
    "nginx": "nginx-light",
    "wrk": "wrk",
    # Synapse's driver for Postgres comes as source.
    "pg_config": "libpq-dev",
    "gcc": "gcc",
}
# What Debian's postgresql does when it is installed.
_CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")


@dataclass(frozen=True)
class StoragePrograms:
    """What the rows about storage need, built from this checkout."""

    # The S3 server of the tests.
    server: Path
    # Our writer without a server in front.
    writer: Path


def packages() -> None:
    """Installs the programs that are missing."""
    missing = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    if _found_postgres_program("initdb") is None:
        missing.append("postgresql")
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], check=False).returncode:
        missing.append("python3-venv")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        missing.append("python3-dev")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Trouble(f"this is not Debian; please install: {' '.join(missing)}")
    _say(f"installing {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    _run([*apt, "update"])
    if "postgresql" in missing and not _CLUSTERS.exists():
        # The bench has a cluster of its own; none shall run by itself.
        said = f"mkdir -p {_CLUSTERS.parent} && echo create_main_cluster = false > {_CLUSTERS}"
        _run([*root, "sh", "-c", said])
    kept = ["-o", "Dpkg::Options::=--force-confold"]
    _run([*apt, "install", "-y", "--no-install-recommends", *kept, *missing])


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


def postgres_program(name: str) -> str:
    """A program of Postgres; Debian keeps them out of PATH."""
    found = _found_postgres_program(name)
    if found is None:
        raise Trouble(f"{name} is not installed")
    return found


def storage_programs() -> StoragePrograms:
    """Builds them."""
    _say("building the S3 server of the tests, and its peer")
    _build("--bin", "s3-test-server", "--example", "s3-writer")
    built = _built()
    return StoragePrograms(built / "s3-test-server", built / "examples" / "s3-writer")


def hostile_files(directory: Path) -> list[Path]:
    """Thousands of damaged and malicious files, the same ones each time."""
    _say("building the program that writes damaged files")
    _build("--bin", "hostile-media")
    _run([str(_built() / "hostile-media"), str(directory), "40"])
    return sorted((directory / "damaged").iterdir()) + sorted((directory / "bombs").iterdir())


def mmr_binary() -> Path:
    """The server under test: `MMR_BIN`, or a release build of this checkout."""
    if given := os.environ.get("MMR_BIN"):
        binary = Path(given).resolve()
    else:
        _say("building mmr-server")
        _run(["cargo", "build", "--release", "--locked", "-p", "mmr-server"], cwd=ROOT)
        binary = _built() / "mmr-server"
    if not os.access(binary, os.X_OK):
        raise Trouble(f"{binary} is not a program")
    return binary


def _build(*programs: str) -> None:
    """Always of the same packages, or the core would be built with other features each time."""
    build = ["cargo", "build", "--release", "--locked", "-p", "mmr-benches", "-p", "mmr-tests"]
    _run([*build, *programs], cwd=ROOT)


def _built() -> Path:
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release"


def _found_postgres_program(name: str) -> str | None:
    debian = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(debian, key=lambda path: int(path.parent.parent.name), default=None)
    return str(newest) if newest else shutil.which(name)


def _say(what: str) -> None:
    print(f"== {what}", file=sys.stderr, flush=True)


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, cwd=cwd)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(str(error)) from error
