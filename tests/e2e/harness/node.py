"""Runs our Node scripts beside the packages that `tests/run` installed for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from . import paths


def run_script(name: str, *arguments: str, deadline: float = 60.0) -> dict[str, Any]:
    """Runs `js/NAME` and returns the JSON object on the last line of its output."""
    # Node looks for packages beside the script, and those do not belong into the checkout.
    script = paths.NODE / name
    shutil.copyfile(paths.E2E / "js" / name, script)
    done = subprocess.run(
        [paths.VENV_BIN / "node", script, *arguments],
        cwd=paths.NODE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )
    assert done.returncode == 0, (
        f"{name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
