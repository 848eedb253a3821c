"""A homeserver that hangs or is gone: nobody gets logged out over it, and it passes by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from harness.http import assert_server_error
from harness.media import noise
from harness.process import Process
from harness.stack import Stack

pytestmark = pytest.mark.mmr_only("there the homeserver is the media server")

Outage = Callable[[Process], AbstractContextManager[None]]


@contextmanager
def hanging(process: Process) -> Iterator[None]:
    """The homeserver accepts connections and never answers."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


@contextmanager
def gone(process: Process) -> Iterator[None]:
    """The homeserver has been killed; it is started again afterwards."""
    process.kill()
    try:
        yield
    finally:
        process.start()


@pytest.mark.parametrize("outage", [hanging, gone])
def test_a_token_that_cannot_be_checked_is_a_server_error_and_works_afterwards(
    stack: Stack, outage: Outage
) -> None:
    data = noise(4000, seed=72)
    mxc = stack.client(stack.accounts.new().token).uploaded(data)
    newcomer = stack.client(stack.accounts.new().token)

    with outage(stack.synapse.process):
        assert_server_error(newcomer.download(mxc))
        assert_server_error(newcomer.upload(noise(500, seed=71)))
        assert_server_error(newcomer.get("/_matrix/client/v1/media/config"))

    # Nothing of the outage is remembered: the same token is good at once.
    assert newcomer.download(mxc).content == data
    assert newcomer.download(newcomer.uploaded(data)).content == data


@pytest.mark.parametrize("outage", [hanging, gone])
def test_a_token_that_was_checked_before_keeps_working(stack: Stack, outage: Outage) -> None:
    data = noise(4000, seed=73)
    client = stack.client(stack.accounts.new().token)
    mxc = client.uploaded(data)

    with outage(stack.synapse.process):
        assert client.download(mxc).content == data


@pytest.mark.parametrize("outage", [hanging, gone])
def test_a_logout_during_an_outage_is_a_server_error_and_can_be_repeated(
    stack: Stack, outage: Outage
) -> None:
    mxc = stack.client(stack.accounts.new().token).uploaded(noise(4000, seed=74))
    client = stack.client(stack.accounts.new().token)

    with outage(stack.synapse.process):
        assert_server_error(client.post("/_matrix/client/v3/logout", json={}))

    assert client.post("/_matrix/client/v3/logout", json={}).status_code == 200
    assert client.download(mxc).status_code == 401
