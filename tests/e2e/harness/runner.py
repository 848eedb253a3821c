"""Runs a coroutine to its end, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(journey: Coroutine[Any, Any, T], deadline: float = 60.0) -> T:
    """The coroutine's result; `TimeoutError` after `deadline` seconds."""
    return asyncio.run(asyncio.wait_for(journey, deadline))
