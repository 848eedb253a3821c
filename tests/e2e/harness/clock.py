"""Programs for which it is another time."""

from __future__ import annotations

from pathlib import Path


def in_two_days() -> dict[str, str]:
    """The environment of a program for which it is the day after tomorrow, and time flies."""
    return _faked("+2d x30")


def in_fast_time() -> dict[str, str]:
    """The environment of a program for which time flies from now on."""
    return _faked("+0 x30")


def _faked(time: str) -> dict[str, str]:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "Debian's libfaketime is not installed"
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": time}
