"""kill -9 in the middle of many uploads: what was acknowledged is there, no part is visible."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest
import requests

from harness.clock import in_two_days
from harness.http import MatrixHttp, Mxc, assert_error, describe
from harness.load import Item, Outcome, Uploaders, items
from harness.media import noise
from harness.mmr import Mmr
from harness.process import wait_until
from harness.stack import Stack

pytestmark = pytest.mark.mmr_only("kills the media server")

THREADS = 16
UPLOADS = 240
# Longer than anything that a server keeps in memory of an upload.
LONG = noise(30_000_000, seed=90)
# Everybody may hold as many open reservations as the test needs.
CONFIG = {"uploads": {"maxPending": 0}}


def reserved_first(item: Item) -> bool:
    """Every third upload goes into an address created before."""
    return item.seed % 3 == 0


def crash_during_uploads(mmr: Mmr, token: str, *, seed: int, kill_after: int) -> Outcome:
    """Uploads from 16 threads, kills the server at one acknowledgement, starts it again."""
    outcome = Uploaders(
        lambda: mmr.client(token),
        items(UPLOADS, seed),
        threads=THREADS,
        reserve=reserved_first,
        kill_after=kill_after,
        kill=mmr.process.kill,
    ).run()
    assert not outcome.refused, outcome.refused
    assert len(outcome.acknowledged) >= kill_after
    assert outcome.unanswered, "the kill met no upload on its way: the test tried nothing"
    mmr.process.start()
    return outcome


def check_acknowledged(client: MatrixHttp, outcome: Outcome) -> None:
    """Each acknowledged upload comes back byte for byte."""
    for mxc, item in outcome.acknowledged.items():
        answer = client.download(mxc)
        assert answer.status_code == 200, f"{mxc} of {item.size} bytes: {describe(answer)}"
        assert answer.content == item.data, f"{mxc}: other bytes than were acknowledged"


def check_unanswered(client: MatrixHttp, outcome: Outcome) -> None:
    """An upload that was cut off is either whole or not there; never a part of it."""
    for item, mxc in outcome.unanswered.items():
        if mxc is None:
            continue
        answer = client.download(mxc, params={"timeout_ms": "0"})
        if answer.status_code == 200:
            assert answer.content == item.data, f"{mxc}: a part became visible"
        else:
            assert_error(answer, 504, "M_NOT_YET_UPLOADED")


@contextmanager
def half_sent(mmr: Mmr, method: str, path: str, token: str, data: bytes) -> Iterator[socket.socket]:
    """Holds an upload open of which all but the last byte was sent and the first bytes are stored.

    Hangs up at the end.
    """
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {mmr.server_name}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", mmr.port)) as connection:
        connection.settimeout(30)
        connection.sendall(head.encode() + data[:-1])
        wait_until(lambda: bool(mmr.stored_files()), "storing of the first bytes")
        yield connection


def stored_digests(mmr: Mmr) -> list[str]:
    """SHA-256 of every file in the datastore, in hexadecimal."""
    digests = []
    for path in mmr.stored_files():
        # A file may go while this looks.
        with suppress(FileNotFoundError), path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests


@pytest.fixture
def mmr(stack: Stack, tmp_path: Path) -> Mmr:
    """A server of its own, not started."""
    return Mmr("mmr-crash", stack.synapse, tmp_path, config=CONFIG)


def test_acknowledged_uploads_survive_repeated_kills_and_parts_stay_invisible(
    stack: Stack, mmr: Mmr
) -> None:
    token = stack.accounts.new().token
    client = mmr.client(token)
    acknowledged: list[str] = []
    unanswered: list[str] = []
    with mmr.process:
        for round_number, kill_after in enumerate((25, 80, 150), start=1):
            outcome = crash_during_uploads(mmr, token, seed=round_number, kill_after=kill_after)
            check_acknowledged(client, outcome)
            check_unanswered(client, outcome)
            acknowledged += [item.sha256 for item in outcome.acknowledged.values()]
            unanswered += [item.sha256 for item in outcome.unanswered]

        # Look past the server: the objects on disk.
        stored = stored_digests(mmr)
        assert set(acknowledged) <= set(stored), "an acknowledged upload has no object"
        # One object each, and at most one more, whole or begun, for each upload that was cut off.
        assert len(acknowledged) <= len(stored) <= len(acknowledged) + len(unanswered)


def test_what_a_kill_left_behind_is_removed_when_it_is_old_and_nothing_else(
    stack: Stack, mmr: Mmr
) -> None:
    token = stack.accounts.new().token
    client = mmr.client(token)
    with mmr.process, half_sent(mmr, "POST", "/_matrix/media/v3/upload", token, LONG):
        outcome = crash_during_uploads(mmr, token, seed=5, kill_after=70)
        # Only an upload of which no answer came may be stored without the client knowing of it.
        whole = {item.sha256 for item in (*outcome.acknowledged.values(), *outcome.unanswered)}

        def parts() -> set[str]:
            return set(stored_digests(mmr)) - whole

        assert parts()
        mmr.process.stop()
        mmr.process.start(in_two_days())
        wait_until(lambda: not parts(), "removal of unfinished objects")
        mmr.process.stop()

        mmr.process.start()
        check_acknowledged(client, outcome)
        stored = stored_digests(mmr)
        assert len(stored) == len(set(stored))
        assert {item.sha256 for item in outcome.acknowledged.values()} <= set(stored)


def test_uploads_can_be_repeated_after_a_kill(stack: Stack, mmr: Mmr) -> None:
    token = stack.accounts.new().token
    client = mmr.client(token)
    with mmr.process:
        outcome = crash_during_uploads(mmr, token, seed=9, kill_after=60)
        for item, mxc in outcome.unanswered.items():
            if mxc is None:
                assert client.download(client.uploaded(item.data)).content == item.data
                continue
            again = client.put(f"/_matrix/media/v3/upload/{mxc.path}", data=item.data)
            # 409: it had been stored, only the answer was lost.
            if again.status_code != 200:
                assert_error(again, 409, "M_CANNOT_OVERWRITE_MEDIA")
            assert client.download(mxc).content == item.data


def test_an_upload_that_its_client_cuts_off_is_not_visible_and_leaves_no_object(
    stack: Stack, mmr: Mmr
) -> None:
    token = stack.accounts.new().token
    client = mmr.client(token)
    with mmr.process:
        created = client.post("/_matrix/media/v1/create", json={})
        mxc = Mxc.parse(created.json()["content_uri"])
        with half_sent(mmr, "PUT", f"/_matrix/media/v3/upload/{mxc.path}", token, LONG):
            pass

        answer = client.download(mxc, params={"timeout_ms": "0"})
        assert_error(answer, 504, "M_NOT_YET_UPLOADED")
        wait_until(lambda: not mmr.stored_files(), "removal of the part that was stored")
        assert client.put(f"/_matrix/media/v3/upload/{mxc.path}", data=LONG).status_code == 200
        assert client.download(mxc).content == LONG


def test_a_download_that_the_kill_cuts_off_is_seen_as_cut_off(stack: Stack, mmr: Mmr) -> None:
    token = stack.accounts.new().token
    client = mmr.client(token)
    data = noise(40_000_000, seed=92)
    with mmr.process:
        mxc = client.uploaded(data)
        request = f"{mmr.base}/_matrix/client/v1/media/download/{mxc.path}"
        headers = {"Authorization": f"Bearer {token}", "Host": mmr.server_name}
        with requests.Session() as session:
            session.trust_env = False
            with session.get(request, headers=headers, stream=True, timeout=30) as answer:
                first = next(answer.iter_content(65536))
                mmr.process.kill()
                assert data.startswith(first)
                with pytest.raises(requests.exceptions.RequestException):
                    deque(answer.iter_content(65536), maxlen=0)
        mmr.process.start()
        assert client.download(mxc).content == data


def test_a_server_that_is_asked_to_stop_finishes_the_upload_first(stack: Stack, mmr: Mmr) -> None:
    token = stack.accounts.new().token
    with mmr.process:
        with half_sent(mmr, "POST", "/_matrix/media/v3/upload", token, LONG) as connection:
            mmr.process.signal(signal.SIGTERM)
            connection.sendall(LONG[-1:])
            answer = HTTPResponse(connection)
            answer.begin()
            body = answer.read()
        assert answer.status == 200, body
        assert mmr.process.wait() == 0
        mmr.process.start()
        mxc = Mxc.parse(json.loads(body)["content_uri"])
        assert mmr.client(token).download(mxc).content == LONG
