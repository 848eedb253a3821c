"""Several equal nodes over one Postgres database and one bucket."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from harness import paths
from harness.balancer import Balancer
from harness.clock import in_fast_time
from harness.cluster import Backends, Cluster, running_backends, running_cluster
from harness.http import Mxc, assert_error, describe
from harness.media import noise
from harness.mmr import OPERATOR
from harness.process import wait_until
from harness.stack import Stack
from harness.tcp_proxy import Link
from harness.traffic import Record, Traffic

pytestmark = pytest.mark.mmr_only("needs several media servers")

ADMIN = "/_matrix/media/unstable/admin"
LATE = noise(2000, seed=7)


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """What all clusters of this file share."""
    with running_backends(tmp_path_factory.mktemp("backends")) as running:
        yield running


@pytest.fixture(scope="module")
def operator(stack: Stack) -> str:
    """Token of an administrator of the repository."""
    return stack.accounts.named(OPERATOR).token


def check_everywhere(cluster: Cluster, token: str, record: Record) -> None:
    """Each acknowledged upload comes back byte for byte from each node."""
    for node in cluster.nodes:
        client = node.client(token)
        for mxc, item in record.acknowledged.items():
            answer = client.download(mxc)
            assert answer.status_code == 200, f"{node.process.name}: {describe(answer)}"
            assert answer.content == item.data, f"{mxc}: other bytes than were acknowledged"


def keys(cluster: Cluster) -> set[str]:
    """Objects that rows name."""
    return set(cluster.rows("SELECT key FROM mmr.blobs"))


def clear_away(cluster: Cluster, directory: Path) -> None:
    """Makes everything look old, and lets one node clear away what nobody names."""
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    cluster.rows("UPDATE mmr.garbage SET since = 0")
    cluster.rows("DELETE FROM mmr.leases")
    node = cluster.nodes[0].process
    node.stop()
    node.start(in_fast_time())
    wait_until(lambda: cluster.objects() <= keys(cluster), "removal of objects without a row", 60)
    node.stop()
    node.start()


def test_nodes_and_database_die_under_load_and_nothing_acknowledged_is_lost(
    stack: Stack, backends: Backends, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = stack.accounts.new().token
    with running_cluster("chaos", 3, stack.synapse, backends, tmp_path) as cluster:
        with Traffic(cluster.nodes, token, seed=1) as traffic:
            for round_number in range(6):
                traffic.progress(25)
                if round_number in (1, 4):
                    backends.postgres.restart_hard()
                node = cluster.nodes[round_number % 3].process
                node.kill()
                traffic.progress(10)
                node.start()
            record = traffic.stop()

        assert not record.wrong, record.wrong[:5]
        assert len(record.acknowledged) >= 200
        check_everywhere(cluster, token, record)
        rows = cluster.rows("SELECT origin, media_id FROM mmr.media")
        assert len(rows) == len(set(rows))
        assert keys(cluster) <= cluster.objects(), "a row names an object that is not there"
        clear_away(cluster, backends.s3.bucket(cluster.name))
        assert keys(cluster) == cluster.objects()
        check_everywhere(cluster, token, record)
        with capsys.disabled():
            print(f"\n  uploads {dict(record.uploads)}, downloads {dict(record.downloads)} ", end="")


def test_nodes_are_replaced_one_by_one_without_a_failed_request(
    stack: Stack, backends: Backends, tmp_path: Path
) -> None:
    token = stack.accounts.new().token
    with running_cluster("rolling", 2, stack.synapse, backends, tmp_path) as cluster:
        balancer = Balancer(cluster.nodes, tmp_path)
        with balancer.process, Traffic([balancer], token, seed=2) as traffic:
            for _ in range(2):
                for node in cluster.nodes:
                    traffic.progress(20)
                    assert node.process.stop() == 0
                    node.process.start()
            record = traffic.stop()
        assert not record.wrong, record.wrong[:5]
        assert set(record.uploads) == {"ok"}, record.uploads
        assert set(record.downloads) == {"ok"}, record.downloads


@pytest.fixture
def pair(stack: Stack, backends: Backends, tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes."""
    name = f"pair-{tmp_path.name}".lower().replace("_", "-")[:40]
    with running_cluster(name, 2, stack.synapse, backends, tmp_path) as cluster:
        yield cluster


def test_what_is_uploaded_to_a_reserved_name_wakes_who_waits_at_another_node(
    stack: Stack, pair: Cluster
) -> None:
    token = stack.accounts.new().token
    first, second = (node.client(token) for node in pair.nodes)
    mxc = Mxc.parse(first.post("/_matrix/media/v1/create", json={}).json()["content_uri"])
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(second.download(mxc, params={"timeout_ms": "25000"}))
    )
    waiting.start()
    assert first.put(f"/_matrix/media/v3/upload/{mxc.path}", data=LATE).status_code == 200
    waiting.join()
    assert answers[0].content == LATE, describe(answers[0])


def test_a_logout_at_one_node_is_heard_by_the_other(stack: Stack, pair: Cluster) -> None:
    user = stack.accounts.new()
    first, second = (node.client(user.token) for node in pair.nodes)
    mxc = first.uploaded(LATE)
    # Remembered there from here on.
    assert second.download(mxc).status_code == 200
    assert first.post("/_matrix/client/v3/logout", json={}).status_code == 200
    wait_until(lambda: second.download(mxc).status_code == 401, "forgetting of the token", 5)


def test_quarantine_and_purge_at_one_node_hold_at_the_other_within_a_second(
    stack: Stack, pair: Cluster, operator: str
) -> None:
    token = stack.accounts.new().token
    reading = pair.nodes[1].client(token)
    for verb in ("quarantine", "purge"):
        mxc = pair.nodes[0].client(token).uploaded(noise(5000, seed=len(verb)))
        # Record and bytes are remembered there from here on.
        assert reading.download(mxc).status_code == 200
        judged = pair.nodes[0].client(operator).post(f"{ADMIN}/{verb}/{mxc.path}")
        assert judged.status_code == 200, describe(judged)
        wait_until(lambda mxc=mxc: reading.download(mxc).status_code == 404, verb, 1.0)


def test_a_datastore_is_emptied_into_another_while_its_media_is_read(
    stack: Stack, backends: Backends, tmp_path: Path, operator: str
) -> None:
    token = stack.accounts.new().token
    old, new = "transfer-old", "transfer-new"
    for bucket in (old, new):
        backends.s3.bucket(bucket)
    datastores = [backends.s3.datastore(old), backends.s3.datastore(new, kinds=())]
    config = {"datastores": datastores}
    with running_cluster("transfer", 2, stack.synapse, backends, tmp_path, config) as cluster:
        client = cluster.nodes[0].client(token)
        bodies = [noise(size, seed=size) for size in range(1000, 40_000, 1000)]
        names = [client.uploaded(body) for body in bodies]
        admin = cluster.nodes[1].client(operator)
        assert set(admin.get(f"{ADMIN}/datastores").json()) == {old, new}
        begun = admin.post(f"{ADMIN}/datastores/{old}/transfer_to/{new}")
        assert begun.status_code == 200, describe(begun)
        assert begun.json()["media_affected"] == len(bodies)
        task = f"{ADMIN}/tasks/{begun.json()['task_id']}"
        while not admin.get(task).json()["is_finished"]:
            assert client.download(names[0]).content == bodies[0]
        done = admin.get(task).json()
        assert (done["error_message"], done["progress"]["moved"]) == ("", len(bodies)), done
        assert len(backends.s3.objects(new)) == len(bodies)
        for node in cluster.nodes:
            for name, body in zip(names, bodies, strict=True):
                assert node.client(token).download(name).content == body
        assert_error(admin.post(f"{ADMIN}/datastores/{new}/transfer_to/{new}"), 400, "M_INVALID_PARAM")


def test_clients_and_servers_are_sent_to_the_bucket_when_it_is_set_up_so(
    stack: Stack, backends: Backends, tmp_path: Path
) -> None:
    token = stack.accounts.new().token
    backends.s3.bucket("links")
    datastore = backends.s3.datastore("links", presignedRedirects=True, presignedMinBytes=50_000)
    config = {"datastores": [datastore]}
    with running_cluster("links", 1, stack.synapse, backends, tmp_path, config) as cluster:
        client = cluster.nodes[0].client(token)
        body = noise(200_000, seed=3)
        large = client.uploaded(body, "image/png", params={"filename": "a picture.png"})
        small = client.uploaded(noise(40_000, seed=4))
        answer = client.download(large)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
        got = requests.get(answer.headers["Location"], timeout=30)
        assert (got.content, got.headers["Content-Type"]) == (body, "image/png")
        assert got.headers["Content-Disposition"] == 'inline; filename="a picture.png"'
        assert client.download(small).status_code == 200
        legacy = f"/_matrix/media/v3/download/{large.path}"
        assert client.get(legacy, params={"allow_redirect": "true"}).status_code == 307
        # Without being asked to nobody is sent there, and nobody is once the bytes are at hand.
        assert client.get(legacy).status_code == 200
        assert client.download(large).status_code == 200


def doctor(config: Path) -> subprocess.CompletedProcess[str]:
    """`mmr-server doctor` with a server's configuration."""
    command = [paths.mmr_binary(), "--config", config, "doctor"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_doctor_tries_database_and_bucket_and_says_what_is_wrong(pair: Cluster) -> None:
    config = pair.nodes[0].config
    healthy = doctor(config)
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    for line in ("database.postgres: the database answers", ": put an object", ": read a range"):
        assert any(
            said.startswith("ok ") and line in said for said in healthy.stdout.splitlines()
        ), healthy.stdout
    assert keys(pair) == pair.objects() == set()

    pair.to_s3.set(Link.CUT)
    ill = doctor(config)
    assert ill.returncode == 1
    assert "FAIL" in ill.stdout and "look at the endpoint" in ill.stdout, ill.stdout
