"""What a server does while its database, its bucket or its homeserver cannot be reached, and afterwards."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from harness.cluster import Backends, Cluster, running_backends, running_cluster
from harness.http import MatrixHttp, Mxc, assert_server_error, describe
from harness.load import Item
from harness.media import noise
from harness.process import wait_until
from harness.stack import Stack
from harness.tcp_proxy import Link, TcpProxy
from harness.traffic import Traffic

pytestmark = pytest.mark.mmr_only("fails what is behind the media server")

# Larger than what is kept in memory: read from the bucket each time.
LARGE = Item(70, 12_000_000)
SMALL = Item(71, 20_000)
# A read of the bucket that falls silent is given up after 20 s, a statement after 35 s.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """What all servers of this file share."""
    with running_backends(tmp_path_factory.mktemp("backends")) as running:
        yield running


@pytest.fixture
def server(
    stack: Stack, backends: Backends, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """One server with a database and a bucket of its own, each behind a proxy."""
    name = f"outage-{zlib.crc32(request.node.nodeid.encode())}"
    with running_cluster(name, 1, stack.synapse, backends, tmp_path) as cluster:
        yield cluster


@pytest.fixture
def client(stack: Stack, server: Cluster) -> MatrixHttp:
    """A user of that server."""
    return server.nodes[0].client(stack.accounts.new().token)


def link_to(server: Cluster, what: str) -> TcpProxy:
    """The proxy in front of something."""
    links = {
        "database": server.to_postgres,
        "bucket": server.to_s3,
        "homeserver": server.to_homeserver,
    }
    return links[what]


def recovers(client: MatrixHttp, what: str) -> Mxc:
    """Waits until an upload goes through again."""
    stored: list[Mxc] = []

    def uploads() -> bool:
        answer = client.upload(noise(3000, seed=len(what)))
        if answer.status_code == 200:
            stored.append(Mxc.parse(answer.json()["content_uri"]))
        return bool(stored)

    wait_until(uploads, f"recovery after the {what} was back", PATIENCE)
    return stored[0]


@pytest.mark.parametrize("what", ["database", "bucket"])
def test_while_it_is_cut_off_uploads_fail_clearly_and_what_is_at_hand_is_served(
    server: Cluster, client: MatrixHttp, what: str
) -> None:
    hot = client.uploaded(SMALL.data)
    assert client.download(hot).status_code == 200
    link_to(server, what).set(Link.CUT)
    answer = client.upload(noise(5000, seed=72))
    assert_server_error(answer)
    assert answer.status_code == 503, describe(answer)
    assert int(answer.headers["Retry-After"]) > 0
    assert client.download(hot).content == SMALL.data
    link_to(server, what).set(Link.UP)
    assert client.download(recovers(client, what)).status_code == 200


def test_a_database_that_falls_silent_ends_requests_and_not_the_server(
    server: Cluster, client: MatrixHttp
) -> None:
    hot = client.uploaded(SMALL.data)
    assert client.download(hot).status_code == 200
    server.to_postgres.set(Link.STALLED)
    answers: list[requests.Response] = []

    def upload() -> None:
        token = client.token
        slow = server.nodes[0].client(token)
        try:
            answers.append(slow.upload(noise(5000, seed=73)))
        except requests.Timeout:
            # The client was the first to lose its patience.
            pass

    waiting = threading.Thread(target=upload)
    waiting.start()
    assert client.download(hot).content == SMALL.data
    waiting.join()
    for answer in answers:
        assert_server_error(answer)
    server.to_postgres.set(Link.UP)
    recovers(client, "database")


def test_a_bucket_that_falls_silent_in_the_middle_of_a_download_breaks_it_off(
    server: Cluster, client: MatrixHttp
) -> None:
    large = client.uploaded(LARGE.data)
    with client.stream(f"/_matrix/client/v1/media/download/{large.path}") as answer:
        chunks = answer.iter_content(65536)
        got = bytearray(next(chunks))
        server.to_s3.set(Link.CUT)
        with pytest.raises(requests.RequestException):
            for chunk in chunks:
                got += chunk
    assert LARGE.data.startswith(bytes(got))
    server.to_s3.set(Link.UP)
    assert client.download(large).content == LARGE.data


def test_a_download_goes_on_after_a_short_break_of_the_bucket(
    server: Cluster, client: MatrixHttp
) -> None:
    large = client.uploaded(LARGE.data)
    server.to_s3.set(Link.SLOW)
    with client.stream(f"/_matrix/client/v1/media/download/{large.path}") as answer:
        chunks = answer.iter_content(65536)
        got = bytearray(next(chunks))
        server.to_s3.set(Link.CUT)
        server.to_s3.set(Link.UP)
        for chunk in chunks:
            got += chunk
    assert bytes(got) == LARGE.data


def test_an_upload_whose_bucket_goes_away_leaves_nothing_that_is_visible(
    server: Cluster, client: MatrixHttp
) -> None:
    server.to_s3.set(Link.SLOW)
    answers: list[requests.Response] = []
    uploading = threading.Thread(target=lambda: answers.append(client.upload(LARGE.data)))
    uploading.start()
    wait_until(lambda: server.to_s3.connections() > 0, "sending to the bucket")
    server.to_s3.set(Link.CUT)
    uploading.join()
    assert_server_error(answers[0])
    assert server.rows("SELECT count(*) FROM mmr.media") == ["0"]
    server.to_s3.set(Link.UP)
    again = client.uploaded(LARGE.data)
    assert client.download(again).content == LARGE.data


def test_without_its_homeserver_known_tokens_are_served_and_unknown_ones_wait(
    stack: Stack, server: Cluster, client: MatrixHttp
) -> None:
    mxc = client.uploaded(SMALL.data)
    newcomer = server.nodes[0].client(stack.accounts.new().token)
    for link in (Link.CUT, Link.STALLED):
        server.to_homeserver.set(link)
        assert client.download(mxc).content == SMALL.data
        refused = newcomer.download(mxc)
        assert refused.status_code == 503, describe(refused)
    server.to_homeserver.set(Link.UP)
    wait_until(lambda: newcomer.download(mxc).status_code == 200, "recovery", PATIENCE)


def test_load_goes_on_through_outages_of_everything_and_nothing_acknowledged_is_lost(
    stack: Stack, server: Cluster
) -> None:
    token = stack.accounts.new().token
    links = (server.to_postgres, server.to_s3, server.to_homeserver)
    with Traffic(server.nodes, token, seed=5) as traffic:
        for link in (Link.CUT, Link.SLOW):
            # The homeserver is asked about tokens alone, and remembers for long.
            for proxy in links[:2] if link is Link.CUT else links:
                traffic.progress(15)
                failures = traffic.failures()
                proxy.set(link)
                if link is Link.CUT:
                    wait_until(lambda before=failures: traffic.failures() > before, "a failure")
                else:
                    traffic.progress(5)
                proxy.set(Link.UP)
        traffic.progress(15)
        record = traffic.stop()
    assert not record.wrong, record.wrong[:5]
    client = server.nodes[0].client(token)
    for mxc, item in record.acknowledged.items():
        assert client.download(mxc).content == item.data
    assert set(server.rows("SELECT key FROM mmr.blobs")) <= server.objects()
